# GNU General Public License v3.0+ (see https://www.gnu.org/licenses/gpl-3.0.txt)

from __future__ import annotations

import importlib
import re
import sys
from dataclasses import replace

import pytest
from ansible_collections.emprops.comfyui.plugins.module_utils._pack_requirements import (
    Requirements,
    RequirementsError,
    Rules,
    Source,
    name_of,
    read_requirements,
)
from hypothesis import given
from hypothesis import strategies as st

RULES = Rules(("h.example", "h.example:8443"), ("https://index.example/simple",))


@pytest.fixture(name="pack")
def fixture_pack(tmp_path):
    """A pack of these files; __ in a name is a slash."""

    def make(**files):
        folder = tmp_path / "pack"
        for name, text in files.items():
            path = folder / re.sub("_(txt|toml|cfg|py)$", r".\1", name.replace("__", "/"))
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)
        folder.mkdir(exist_ok=True)
        return Source("pack", folder)

    return make


def lines(pack, rules=RULES):
    return read_requirements(pack, rules).lines


@pytest.mark.parametrize(
    "text, kept",
    [
        pytest.param("", (), id="empty"),
        pytest.param("numpy\n\n  torch >= 2 \n", ("numpy", "torch >= 2"), id="lines"),
        pytest.param("# only a comment\nnumpy # why\n", ("numpy",), id="comments"),
        pytest.param("\ufeffnumpy\r\nscipy\r\n", ("numpy", "scipy"), id="Windows"),
        pytest.param("numpy\nnumpy\n", ("numpy",), id="twice"),
        pytest.param("numpy==1.0 \\\n  --hash=sha256:00 \\\n  --hash=sha256:11\n", ("numpy==1.0",), id="hashes over several lines"),
        pytest.param(
            'a[x,y]>=1,<2 ; python_version < "3"\nb (>=1.0)\nc~=1.0.*\nd===1+local\n',
            ('a[x,y]>=1,<2 ; python_version < "3"', "b (>=1.0)", "c~=1.0.*", "d===1+local"),
            id="all of PEP 508",
        ),
        pytest.param("x @ git+https://h.example/x@v1\n", ("x @ git+https://h.example/x@v1",), id="a repository"),
        pytest.param("git+https://h.example/x@v1#egg=x\n", ("x @ git+https://h.example/x@v1",), id="a repository with its name behind"),
        pytest.param("git+https://h.example/x.git\n", ("git+https://h.example/x.git",), id="a repository without a name"),
        pytest.param(
            "git+https://h.example/x@v1#egg=x&subdirectory=sub\n",
            ("x @ git+https://h.example/x@v1#subdirectory=sub",),
            id="a folder of a repository",
        ),
        pytest.param("-e git+https://h.example/x#egg=x\n", ("x @ git+https://h.example/x",), id="an editable repository"),
        pytest.param("--editable=git+ssh://git@h.example/x#egg=x\n", ("x @ git+ssh://git@h.example/x",), id="by SSH"),
        pytest.param(
            "https://h.example:8443/a/x_y-1.0-py3-none-any.whl\n",
            ("x_y @ https://h.example:8443/a/x_y-1.0-py3-none-any.whl",),
            id="a wheel on a server",
        ),
        pytest.param(
            "https://h.example/x-1.0-py3-none-any.whl ; sys_platform == 'linux'\n",
            ("x @ https://h.example/x-1.0-py3-none-any.whl ; sys_platform == 'linux'",),
            id="a wheel for one system",
        ),
        pytest.param("x @ https://h.example/x.zip ; python_version<'3'", ("x @ https://h.example/x.zip ; python_version<'3'",), id="named"),
    ],
)
def test_a_line_is_kept_or_written_as_the_resolver_reads_it(pack, text, kept):
    assert read_requirements(pack(requirements_txt=text), RULES) == Requirements("pack", kept)


@pytest.mark.parametrize(
    "line, note",
    [
        ("--extra-index-url https://evil.example/simple", "could allow that index"),
        ("-i https://evil.example", "could allow that index"),
        ("-f /x", "could allow that index"),
        ("--find-links=https://evil.example", "could allow that index"),
        ("--pre", "is ignored"),
        ("--trusted-host evil.example", "is ignored"),
        ("--no-binary :all:", "is ignored"),
    ],
)
def test_an_option_that_is_not_the_packs_to_set_is_left_out_and_told(pack, line, note):
    asked = read_requirements(pack(requirements_txt=f"{line}\nnumpy\n"), RULES)
    assert asked.lines == ("numpy",) and asked.indexes == ()
    (told,) = asked.notes
    assert told.startswith(f"pack: the line {line!r} of its requirements is ignored") and note in told


@pytest.mark.parametrize("line", ["--extra-index-url https://index.example/simple/", "-i https://index.example/simple"])
def test_an_index_that_the_inventory_allows_is_kept(pack, line):
    asked = read_requirements(pack(requirements_txt=line), RULES)
    assert [url.rstrip("/") for url in asked.indexes] == ["https://index.example/simple"] and asked.notes == ()


@pytest.mark.parametrize(
    "line, why",
    [
        pytest.param("this is = no requirement", "the line 'this is = no requirement' of requirements.txt is no requirement", id="words"),
        pytest.param("pip install numpy", "is no requirement", id="a command"),
        pytest.param("numpy>=", "is no requirement", id="no version"),
        pytest.param("git+https://evil.example/x", "evil.example is not among the hosts", id="host of a repository"),
        pytest.param("x @ https://evil.example/x.whl", "evil.example is not among the hosts", id="host of a file"),
        pytest.param("https://h.example:1/x-1-py3-none-any.whl", "h.example:1 is not among the hosts", id="port"),
        pytest.param("git+http://h.example/x", "allowed are https", id="git without encryption"),
        pytest.param("http://h.example/x-1-py3-none-any.whl", "allowed are https", id="without encryption"),
        pytest.param("git+file:///srv/x", "allowed are https", id="a repository here"),
        pytest.param("x @ git+https://me:s3cret@h.example/x", "with a user name or password in it", id="password"),
        pytest.param("/srv/x-1.0-py3-none-any.whl", "which is not in its folder", id="absolute"),
        pytest.param("../x-1.0-py3-none-any.whl", "which is not in its folder", id="above"),
        pytest.param("file:///etc/passwd", "which is not in its folder", id="file"),
        pytest.param("x @ file:///etc/passwd", "which is not in its folder", id="named file"),
        pytest.param("./absent", "which is not in its folder", id="nowhere"),
        pytest.param("-e ../other", "which is not in its folder", id="editable above"),
        pytest.param("-r ../other.txt", "refer to other.txt, which is not in its folder", id="-r above"),
        pytest.param("-r /etc/hostname", "refer to hostname, which is not in its folder", id="-r absolute"),
        pytest.param("-r absent.txt", "refer to absent.txt, which is not in its folder", id="-r nowhere"),
        pytest.param("-r link.txt", "refer to link.txt, which is not in its folder", id="-r by a link"),
        pytest.param("-r requirements.txt", "in a circle", id="-r itself"),
        pytest.param("-r https://evil.example/x.txt", "which is not in its folder", id="-r another machine"),
        pytest.param("a" * 30_000, "longer than anybody", id="long"),
        pytest.param("\n" * 5000, "longer than anybody", id="many"),
        pytest.param("x" * 600_000, "longer than anybody", id="large"),
        pytest.param("foo @ https://[bad/x", "its requirements cannot be read: ", id="no address"),
        pytest.param("-r a\0b", "its requirements cannot be read: ", id="no path"),
        pytest.param("foo @ file:///%00", "its requirements cannot be read: ", id="no file"),
    ],
)
def test_what_is_refused_names_the_pack(pack, tmp_path, line, why):
    source = pack(requirements_txt=f"{line}\n")
    (tmp_path / "other.txt").write_text("secret\n")
    (source.folder / "link.txt").symlink_to(tmp_path / "other.txt")
    with pytest.raises(RequirementsError) as caught:
        read_requirements(source, RULES)
    assert str(caught.value).startswith("pack: ") and why in str(caught.value) and "s3cret" not in str(caught.value)


def test_files_of_the_pack_itself_are_kept_under_their_place(pack):
    source = pack(requirements_txt="./wheels/x_y-1.0-py3-none-any.whl\n./sub\n", wheels__x="", sub__setup_py="")
    (source.folder / "wheels/x_y-1.0-py3-none-any.whl").write_text("")
    assert lines(source) == (f"x_y @ file://{source.folder}/wheels/x_y-1.0-py3-none-any.whl", f"file://{source.folder}/sub")


@pytest.mark.parametrize("option", ["-r more.txt", "-rmore.txt", "--requirement more.txt", "--requirement=more.txt", "-r ./more.txt"])
def test_further_files_of_the_pack_are_followed(pack, option):
    assert lines(pack(requirements_txt=f"a\n{option}\nc\n", more_txt="b\n")) == ("a", "b", "c")


def test_further_files_are_found_from_the_file_that_names_them(pack):
    source = pack(requirements_txt="-r sub/one.txt\n", sub__one_txt="-r two.txt\n-r ../three.txt\n", sub__two_txt="b\n", three_txt="c\n")
    assert lines(source) == ("b", "c")


def test_constraints_count_for_what_the_pack_itself_asks_for(pack):
    assert lines(pack(requirements_txt="a\n-c limits.txt\n", limits_txt="a<2\nb<2\n")) == ("a", "a<2")


def test_a_file_that_is_no_text_is_refused_with_the_packs_name(pack):
    source = pack()
    (source.folder / "requirements.txt").write_bytes("numpy\n".encode("utf-16"))
    with pytest.raises(RequirementsError, match=r"^pack: requirements.txt cannot be read as text: "):
        lines(source)


# --- projects ---


PYPROJECT = '[project]\ndependencies = ["a>=1", "b"]\n'
DYNAMIC = '[project]\ndynamic = ["dependencies"]\n[tool.setuptools.dynamic]\ndependencies = {file = ["needs.txt"]}\n'
SETUP_CFG = "[options]\ninstall_requires =\n  a\n  # why\n  b<2\n"
BY_FILE = "[options]\ninstall_requires = file: needs.txt\n"


@pytest.mark.parametrize(
    "files, kept, note",
    [
        pytest.param({}, (), "", id="nothing"),
        pytest.param({"pyproject_toml": PYPROJECT}, ("a>=1", "b"), "", id="pyproject"),
        pytest.param({"requirements_txt": "x", "pyproject_toml": PYPROJECT}, ("x",), "", id="requirements first"),
        pytest.param({"pyproject_toml": "[project]\ndependencies = []\n", "setup_cfg": SETUP_CFG}, (), "", id="says none"),
        pytest.param({"pyproject_toml": "[tool.black]\n", "setup_cfg": SETUP_CFG}, ("a", "b<2"), "", id="setup.cfg"),
        pytest.param({"setup_cfg": BY_FILE, "needs_txt": "a\n"}, ("a",), "", id="setup.cfg by a file"),
        pytest.param({"pyproject_toml": DYNAMIC, "needs_txt": "a\n"}, ("a",), "", id="pyproject by a file"),
        pytest.param({"requirements_txt": "-e .\nx\n", "pyproject_toml": PYPROJECT}, ("a>=1", "b", "x"), "", id="itself"),
        pytest.param({"pyproject_toml": '[tool.poetry.dependencies]\na = "^1"\n'}, (), "poetry is not read", id="poetry"),
        pytest.param({"setup_py": "raise SystemExit"}, (), "setup.py is not run", id="setup.py"),
    ],
)
def test_a_project_says_what_it_needs(pack, files, kept, note):
    asked = read_requirements(pack(**files), RULES)
    assert asked.lines == kept
    assert note in "".join(asked.notes) and bool(note) == bool(asked.notes)


@pytest.mark.parametrize(
    "files, why",
    [
        ({"pyproject_toml": "[project"}, "pyproject.toml cannot be read: "),
        ({"pyproject_toml": "[project]\ndependencies = 5\n"}, "the dependencies in pyproject.toml are no list of texts"),
        ({"pyproject_toml": '[project]\ndependencies = ["x = y"]\n'}, "the line 'x = y' of pyproject.toml is no requirement"),
        ({"pyproject_toml": "a = " + "[" * 5000}, "pyproject.toml cannot be read: "),
        ({"pyproject_toml": "[project]\ndynamic = 5\n"}, "its requirements cannot be read: "),
        ({"pyproject_toml": DYNAMIC.replace('["needs.txt"]', "5")}, "its requirements cannot be read: "),
        ({"setup_cfg": "[options]\ninstall_requires = file: a\0b\n"}, "its requirements cannot be read: "),
        ({"setup_cfg": "nothing"}, "setup.cfg cannot be read: "),
        ({"setup_cfg": "[options]\ninstall_requires = file: ../x.txt\n"}, "which is not in its folder"),
    ],
)
def test_a_project_that_cannot_be_read_names_the_pack(pack, files, why):
    with pytest.raises(RequirementsError) as caught:
        read_requirements(pack(**files), RULES)
    assert str(caught.value).startswith("pack: ") and why in str(caught.value)


def test_a_python_without_a_reader_of_toml_says_so(pack, monkeypatch):
    monkeypatch.setattr(importlib, "import_module", lambda name: (_ for _ in ()).throw(ImportError(name)))
    with pytest.raises(RequirementsError, match=r"pack: pyproject.toml cannot be read: this Python has no reader of TOML"):
        read_requirements(pack(pyproject_toml="[project]\n"), RULES)
    assert sys.version_info >= (3, 10)


@pytest.mark.parametrize(
    "line, name", [("Some_Thing.x>=2", "some-thing-x"), ("a[b]==1", "a"), ("  a @ https://x", "a"), ("-e x", ""), ("", "")]
)
def test_a_line_is_about_one_package(line, name):
    assert name_of(line) == name


@given(st.text(max_size=300))
def test_whatever_is_written_is_read_or_refused(tmp_path_factory, text):
    folder = tmp_path_factory.mktemp("p")
    (folder / "requirements.txt").write_text(text, encoding="utf-8", errors="replace")
    try:
        asked = read_requirements(Source("pack", folder), RULES)
    except RequirementsError as error:
        assert str(error).startswith("pack: ")
    else:
        assert all("\n" not in line and not line.startswith("-") for line in asked.lines)


def test_a_file_of_somebody_else_is_not_read(pack, tmp_path):
    source = pack(requirements_txt="secret\n")
    with pytest.raises(RequirementsError, match=r"^pack: requirements.txt is not a file of its own$"):
        read_requirements(replace(source, owner=source.folder.stat().st_uid + 1), RULES)
