# GNU General Public License v3.0+ (see https://www.gnu.org/licenses/gpl-3.0.txt)

"""With the real uv; the packages are a few wheels of ours, and the index is empty."""

from __future__ import annotations

import os
import shutil
from contextlib import suppress
from dataclasses import replace

import pytest
from ansible_collections.emprops.comfyui.plugins.module_utils import _python_env
from ansible_collections.emprops.comfyui.plugins.module_utils._command import run
from ansible_collections.emprops.comfyui.plugins.module_utils._python_env import (
    PythonEnv,
    PythonEnvError,
    PythonOptions,
    Requirements,
    Source,
    check_indexes,
    ensure_uv,
    explain_conflict,
    interpreter_version,
    read_requirements,
)


@pytest.fixture(name="source")
def fixture_source(tmp_path):
    def make(name, requirements=None, **more):
        folder = tmp_path / "sources" / name
        folder.mkdir(parents=True)
        files = {"requirements.txt": requirements, **{key.replace("__", "/") + ".txt": text for key, text in more.items()}}
        for file, text in files.items():
            if text is not None:
                (folder / file).parent.mkdir(parents=True, exist_ok=True)
                (folder / file).write_text(text)
        return Source(name, folder)

    return make


@pytest.fixture(name="env")
def fixture_env(workspace, python, account):
    release = workspace.releases / "r"
    release.mkdir(parents=True)
    env = PythonEnv(release, workspace.cache, python, account)
    env.create()
    return env


def resolved(env):
    return dict(line.split(" ")[0].split("==") for line in env.lock.read_text().splitlines() if "==" in line)


# --- what is asked for ---


@pytest.mark.parametrize(
    "text, lines, ignored",
    [
        pytest.param("", (), (), id="empty"),
        pytest.param("numpy\n\n  torch >= 2 \n", ("numpy", "torch >= 2"), (), id="lines"),
        pytest.param("# only a comment\nnumpy # why\nx#y\n", ("numpy", "x#y"), (), id="comments"),
        pytest.param("\ufeffnumpy\r\nscipy\r\n", ("numpy", "scipy"), (), id="Windows"),
        pytest.param("numpy \\\n  --hash=sha256:00 \\\n  --hash=sha256:11\n", ("numpy",), (), id="hashes over several lines"),
        pytest.param(
            'x @ git+https://h.example/x@v1\ny; python_version < "3"\n',
            ("x @ git+https://h.example/x@v1", 'y; python_version < "3"'),
            (),
            id="url, marker",
        ),
        pytest.param(
            "--extra-index-url https://evil.example/simple\nnumpy\n",
            ("numpy",),
            ("--extra-index-url https://evil.example/simple",),
            id="index",
        ),
        pytest.param(
            "-i https://evil.example\n-f /x\n--pre\n-c c.txt\n", (), ("-i https://evil.example", "-f /x", "--pre", "-c c.txt"), id="options"
        ),
        pytest.param(
            "-e .\n.\n./x\n/srv/x.whl\nfile:///srv/x.whl\n", (), ("-e .", ".", "./x", "/srv/x.whl", "file:///srv/x.whl"), id="local files"
        ),
    ],
)
def test_requirements_are_read_and_options_left_out_and_listed(source, text, lines, ignored):
    assert read_requirements(source("pack", text)) == Requirements("pack", lines, ignored)


def test_no_file_is_no_requirements(source):
    assert read_requirements(source("pack")) == Requirements("pack", ())


@pytest.mark.parametrize("option", ["-r more.txt", "-rmore.txt", "--requirement more.txt", "--requirement=more.txt", "-r ./more.txt"])
def test_further_files_of_the_pack_are_followed(source, option):
    assert read_requirements(source("pack", f"a\n{option}\nc\n", more="b\n")).lines == ("a", "b", "c")


def test_further_files_are_found_from_the_file_that_names_them(source):
    pack = source("pack", "-r sub/one.txt\n", sub__one="-r two.txt\n-r ../three.txt\n", sub__two="b\n", three="c\n")
    assert read_requirements(pack).lines == ("b", "c")


@pytest.mark.parametrize(
    "line, shown",
    [
        pytest.param("-r ../other/requirements.txt", "requirements.txt", id="above"),
        pytest.param("-r /etc/hostname", "hostname", id="absolute"),
        pytest.param("-r absent.txt", "absent.txt", id="nowhere"),
        pytest.param("-r requirements.txt", "requirements.txt", id="itself"),
        pytest.param("-r .", "pack", id="a folder"),
        pytest.param("-r link.txt", "link.txt", id="a link that leads out"),
        pytest.param("-r https://evil.example/x.txt", "x.txt", id="another machine"),
    ],
)
def test_a_file_that_is_not_the_packs_is_refused_with_the_packs_name(source, line, shown):
    other, pack = source("other", "secret\n"), source("pack", f"{line}\n")
    (pack.folder / "link.txt").symlink_to(other.folder / "requirements.txt")
    with pytest.raises(PythonEnvError, match=f"^pack: its requirements refer to {shown}, which is not in its folder$"):
        read_requirements(pack)


def test_a_file_that_is_no_text_is_refused_with_the_packs_name(source):
    pack = source("pack")
    (pack.folder / "requirements.txt").write_bytes("numpy\n".encode("utf-16"))
    with pytest.raises(PythonEnvError, match=r"^pack: requirements.txt cannot be read as text: "):
        read_requirements(pack)


# --- who is to blame ---


def test_everybody_who_asks_for_what_the_resolver_mentions_is_named():
    asked = [Requirements("ComfyUI", ("numpy", "Pillow")), Requirements("one", ("NumPy<2",)), Requirements("two", ("Some_Thing.x>=2",))]
    said = explain_conflict("Because numpy<2 and some-thing-x>=2 depends on numpy>=2, …", asked)
    assert said.splitlines()[1:] == [
        "Who asks for it:",
        "  numpy: ComfyUI asks for numpy; one asks for NumPy<2",
        "  some-thing-x: two asks for Some_Thing.x>=2",
    ]


def test_where_nobody_is_mentioned_the_resolvers_words_stand_alone():
    said = explain_conflict("error: no route to host\n", [Requirements("one", ("numpy",))])
    assert said == "the Python requirements cannot be met together: error: no route to host"


# --- options ---


def test_options_go_into_a_lock_and_come_back():
    options = PythonOptions(uv_version="1", constraints=("numpy<2",), overrides=("x==1",), exclude_newer="2025-02-01")
    assert PythonOptions.of(options.as_dict()) == options
    assert options.as_dict()["constraints"] == ["numpy<2"]
    with pytest.raises(TypeError, match="colour"):
        PythonOptions.of({"colour": "red"})


def test_what_counts_as_another_environment():
    options = PythonOptions(uv_version="1", exclude_newer="2025-02-01")
    assert replace(options, uv_version="2").base == options.base
    assert replace(options, constraints=("x",)).base == options.base
    assert replace(options, constraints=("x",)).identity != options.identity
    assert replace(options, uv_version="2").identity == options.identity
    assert replace(options, exclude_newer="2025-03-01").base != options.base


# --- the tools ---


def test_an_interpreter_that_is_not_there_is_named():
    with pytest.raises(PythonEnvError, match="/nonexistent/python is no Python of this machine"):
        interpreter_version("/nonexistent/python")


@pytest.mark.parametrize("answer, ok", [("3.9.18", False), ("3.10.0", True), ("3.14.1", True)])
def test_an_interpreter_that_is_too_old_is_refused(tmp_path, answer, ok):
    python = tmp_path / "python"
    python.write_text(f"#!/bin/sh\necho {answer}\n")
    python.chmod(0o755)
    if ok:
        assert interpreter_version(str(python)) == answer
    else:
        with pytest.raises(PythonEnvError, match=rf"is Python {answer}; ComfyUI needs 3\.10 or newer"):
            interpreter_version(str(python))


def test_uv_is_there_once_and_for_all(tools, python, account, monkeypatch):
    def refuse(*_arguments, **_options):
        raise AssertionError("nothing needs to run")

    monkeypatch.setattr(_python_env, "run", refuse)
    uv = ensure_uv(tools, python.uv_version, account, {})
    assert uv == tools / f"uv-{python.uv_version}/uv"
    monkeypatch.undo()
    assert run([str(uv), "--version"]).split()[1] == python.uv_version
    assert [path.name for path in uv.parent.iterdir()] == ["uv"]


def test_a_version_of_uv_that_is_not_there_is_named_and_leaves_nothing(tmp_path, account):
    (tmp_path / "empty").mkdir()
    with pytest.raises(PythonEnvError, match=r"cannot install uv 0\.0\.0 from the package index: "):
        ensure_uv(tmp_path / "tools", "0.0.0", account, {"UV_DEFAULT_INDEX": (tmp_path / "empty").as_uri()})
    assert list((tmp_path / "tools").glob("*/*")) == []


# --- environments ---


def test_an_environment_is_made_resolved_and_installed(env, source):
    fork = source("ComfyUI", "torch<9\n")
    packs = [source("one", "old_fashioned\n--pre\n"), source("two", "shared-part\n"), source("three")]
    assert env.resolve(fork, packs) == ["one: the line '--pre' of its requirements is ignored"]
    assert resolved(env) == {"torch": "2.0", "shared-part": "1.0", "old-fashioned": "1.0"}
    assert env.lock.read_text().count("--hash=sha256:") == 3
    env.install()
    code = "import torch, shared_part, old_fashioned; print(torch.version, shared_part.version)"
    assert run([str(env.python), "-c", code]).split() == ["2.0", "1.0"]


def test_an_environment_that_is_there_is_kept(env):
    inode = env.venv.stat().st_ino
    assert env.create().startswith("3.")
    assert env.venv.stat().st_ino == inode


def test_half_an_environment_is_made_anew(env):
    env.python.unlink()
    env.create()
    assert run([str(env.python), "-c", "print(1)"]) == "1\n"


def test_installing_makes_equal_and_removes_what_is_no_longer_asked_for(env, source):
    env.resolve(source("ComfyUI", "torch<9\nshared_part\n"), [])
    env.install()
    env.resolve(source("ComfyUI-2", "torch<2\n"), [])
    env.install()
    code = "import importlib.util as u, torch; print(torch.version, u.find_spec('shared_part'))"
    assert run([str(env.python), "-c", code]).split() == ["1.0", "None"]


@pytest.mark.parametrize("asked", ["torch==9.0", "torch", "Torch>=9"])
def test_a_pack_does_not_move_the_torch_of_the_fork(env, source, asked):
    env.resolve(source("ComfyUI", "torch<9\n"), [source("greedy", f"{asked}\n")])
    assert resolved(env) == {"torch": "2.0"}


@pytest.mark.parametrize("overrides", [("torch==1.0",), ("torch<2",)], ids=["pinned", "range"])
def test_the_operator_outvotes_the_fork_and_the_packs(env, source, overrides):
    env = replace(env, options=replace(env.options, overrides=(*overrides, "shared_part==2.0")))
    env.resolve(source("ComfyUI", "torch>=2\n"), [source("one", "torch==9.0\nold_fashioned\n")])
    assert resolved(env) == {"torch": "1.0", "old-fashioned": "1.0", "shared-part": "2.0"}


def test_the_operator_limits_versions(env, source):
    env = replace(env, options=replace(env.options, constraints=("shared_part<2", "torch<2")))
    env.resolve(source("ComfyUI", "torch\n"), [source("one", "shared_part\n")])
    assert resolved(env) == {"torch": "1.0", "shared-part": "1.0"}


@pytest.mark.parametrize(
    "fork, one, two, named",
    [
        pytest.param("", "shared_part<2", "shared_part>=2", ["one asks for shared_part<2", "two asks for shared_part>=2"], id="directly"),
        pytest.param(
            "shared_part",
            "old_fashioned",
            "shared_part>=2",
            ["one asks for old_fashioned", "two asks for shared_part>=2"],
            id="by way of another package",
        ),
        pytest.param(
            "torch<9\nshared_part>=2",
            "shared_part==1.0",
            "torch",
            ["ComfyUI asks for shared_part>=2", "one asks for shared_part==1.0"],
            id="with the fork",
        ),
        pytest.param("", "no_such_package", "torch", ["one asks for no_such_package"], id="not there"),
    ],
)
def test_requirements_that_contradict_each_other_name_who_asks_for_what(env, source, fork, one, two, named):
    with pytest.raises(PythonEnvError) as caught:
        env.resolve(source("ComfyUI", f"{fork}\n"), [source("one", f"{one}\n"), source("two", f"{two}\n")])
    said = str(caught.value)
    assert said.startswith("the Python requirements cannot be met together: ")
    assert all(who in said for who in named), said
    assert not env.lock.exists()


def test_a_line_that_is_no_requirement_names_the_file_of_its_pack(env, source):
    with pytest.raises(PythonEnvError, match=r"001-greedy\.txt"):
        env.resolve(source("ComfyUI"), [source("greedy", "this is = no requirement\n")])


def test_resolving_again_forgets_the_packs_of_the_time_before(env, source):
    fork = source("ComfyUI", "torch<9\n")
    env.resolve(fork, [source("one", "shared_part\n")])
    env.resolve(fork, [])
    assert resolved(env) == {"torch": "2.0"}
    assert sorted(path.name for path in (env.release / "requirements").iterdir()) == ["000-ComfyUI.txt", "constraints.txt", "overrides.txt"]


def test_a_pack_called_like_a_path_stays_in_the_folder(env, source):
    pack = source("x")
    env.resolve(source("ComfyUI"), [Source("a b+c", pack.folder)])
    assert (env.release / "requirements/001-a_b_c.txt").read_text() == ""


@pytest.mark.parametrize("name", ["requirements.lock", "requirements/overrides.txt"])
def test_a_link_that_a_package_left_is_not_written_through(env, source, tmp_path, name):
    victim = tmp_path / "victim"
    victim.write_text("untouched")
    owner = victim.stat().st_uid
    shutil.rmtree(env.release / "requirements", ignore_errors=True)
    (env.release / name).parent.mkdir(exist_ok=True)
    (env.release / name).symlink_to(victim)
    env.resolve(source("ComfyUI", "torch<9\n"), [])
    assert (victim.read_text(), victim.stat().st_uid) == ("untouched", owner)
    assert resolved(env) == {"torch": "2.0"}


def test_the_secrets_of_the_index_stay_out_of_commands_and_messages(env, source, monkeypatch):
    env = replace(
        env,
        options=replace(env.options, index_url=""),
        index_environment={"UV_DEFAULT_INDEX": "http://user:s3cret-value@127.0.0.1:9/simple", "UV_HTTP_RETRIES": "0"},
    )
    commands = []
    monkeypatch.setattr(_python_env, "run", lambda argv, **options: commands.append(argv) or run(argv, **options))
    with pytest.raises(PythonEnvError) as caught:
        env.resolve(source("ComfyUI", "no_such_package\n"), [])
    assert "127.0.0.1:9" in str(caught.value) and "s3cret-value" not in str(caught.value)
    assert commands and "s3cret-value" not in str(commands)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become somebody else")
def test_folders_that_uv_writes_to_belong_to_the_account(workspace, python, tmp_path):
    nobody = _python_env.Account.named("nobody")
    env = PythonEnv(tmp_path / "release", workspace.cache, python, nobody)
    with suppress(PythonEnvError):  # pytest's own folders are closed to others
        env._uv(workspace.cache / "tools" / f"uv-{python.uv_version}/uv", "--version")
    assert {(workspace.cache / name).stat().st_uid for name in ("uv", "tmp")} == {nobody.uid}


@pytest.mark.parametrize("name", ["index_url", "torch_index_url"])
def test_an_index_with_a_password_is_refused_because_the_lock_would_show_it(name):
    with pytest.raises(PythonEnvError, match=f"{name} holds a user name or password") as caught:
        check_indexes(PythonOptions.of({"uv_version": "1", name: "https://me:hunter2@packages.example.com/simple"}))
    assert "hunter2" not in str(caught.value)
