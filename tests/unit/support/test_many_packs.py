# GNU General Public License v3.0+ (see https://www.gnu.org/licenses/gpl-3.0.txt)

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
import venv
from pathlib import Path

import pytest
from ansible_collections.emprops.comfyui.plugins.module_utils._manifest import ManifestError, parse_packs
from packaging.requirements import InvalidRequirement, Requirement
from support import many_packs
from support.many_packs import FAULTS, PYPROJECT, REQUIREMENTS, SETUP_CFG
from support.outside import server

BASE = "http://outside.test/git"
LOAD = """
import importlib.util, json, sys
spec = importlib.util.spec_from_file_location("pack", sys.argv[1] + "/__init__.py", submodule_search_locations=[sys.argv[1]])
module = sys.modules["pack"] = importlib.util.module_from_spec(spec)
spec.loader.exec_module(module)
print(json.dumps(sorted(module.NODE_CLASS_MAPPINGS)))
"""


def git(repository, *words):
    command = ["git", f"--git-dir={repository}", *words]
    return subprocess.run(command, env=many_packs.ENVIRONMENT, check=True, capture_output=True, text=True).stdout.strip()


def clone(url, target, *options):
    environment = many_packs.ENVIRONMENT | {"GIT_TERMINAL_PROMPT": "0"}
    return subprocess.run(["git", "clone", "--quiet", *options, url, target], env=environment, capture_output=True, text=True)


def load(pack, **variables):
    """Import a pack as ComfyUI does, in a process of its own."""
    return subprocess.run(
        [sys.executable, "-B", "-c", LOAD, str(pack)], env={"PATH": os.defpath, **variables}, capture_output=True, text=True
    )


def packed(repositories, name):
    """The files of main, by path."""
    rows = git(repositories / f"{name}.git", "ls-tree", "-r", "main").splitlines()
    return {row.partition("\t")[2]: row.split()[:3] for row in rows}


@pytest.fixture(scope="module")
def many(tmp_path_factory):
    folder = tmp_path_factory.mktemp("outside") / "git"
    folder.mkdir()
    return folder, many_packs.make(folder, BASE)


@pytest.fixture(scope="module")
def broken(many):
    """Beside the good ones; no test changes one."""
    folder, _entries = many
    return folder, {entry["name"]: entry for entry in many_packs.make_broken(folder, BASE)}


@pytest.fixture(scope="module")
def url(broken):
    folder, _entries = broken
    (folder.parent / "token").write_text("a password that nobody has")
    httpd = server.serve(0, folder.parent, folder.parent, listen="127.0.0.1")
    thread = threading.Thread(target=httpd.serve_forever, kwargs={"poll_interval": 0.05})
    thread.start()
    yield f"http://127.0.0.1:{httpd.server_address[1]}/git"
    httpd.shutdown()
    thread.join()
    httpd.server_close()


@pytest.fixture
def checkout(broken, tmp_path):
    def put(name, *options):
        target = tmp_path / "custom_nodes" / name
        done = clone(broken[0] / f"{name}.git", target, *options)
        assert done.returncode == 0, done.stderr
        return target

    return put


# --- the good ones -------------------------------------------------------------------------------------------------


def test_the_same_call_makes_the_same_commits_whatever_git_is_configured_for(many, tmp_path, monkeypatch):
    folder, _entries = many
    (tmp_path / "gitconfig").write_text("[user]\n\tname = Somebody\n[core]\n\tautocrlf = input\n[init]\n\tdefaultBranch = other\n")
    monkeypatch.setenv("GIT_CONFIG_GLOBAL", str(tmp_path / "gitconfig"))
    monkeypatch.setenv("GIT_COMMITTER_DATE", "2001-01-01T00:00:00Z")
    many_packs.make(tmp_path, BASE, 15)
    names = ["many_parts", *(many_packs.name_of(number) for number in range(15))]
    assert {name: many_packs.head(tmp_path / f"{name}.git") for name in names} == {
        name: many_packs.head(folder / f"{name}.git") for name in names
    }


def test_the_entries_are_a_manifest_without_a_warning(many):
    folder, entries = many
    packs, warnings = parse_packs(entries, "x", ["http"])
    assert (len(packs), warnings) == (60, [])
    assert [pack.name for pack in packs if pack.recursive] == [many_packs.name_of(many_packs.SUBMODULE)]
    assert all((folder / f"{pack.name}.git").is_dir() and pack.url == f"{BASE}/{pack.name}.git" for pack in packs)


def test_git_finds_every_repository_sound(many, broken):
    said = {path.name: git(path, "fsck", "--strict") for path in many[0].glob("*.git")}
    assert len(said) == 61 + sum(fault.repository for fault in FAULTS.values())
    assert not any(said.values())


def test_a_shallow_copy_has_no_history_and_not_the_weights_that_were_deleted(many, url, tmp_path):
    assert clone(f"{url}/many_01.git", tmp_path / "deep").returncode == 0
    assert clone(f"{url}/many_01.git", tmp_path / "shallow", "--depth=1").returncode == 0
    deep, shallow = (tmp_path / name / ".git" for name in ("deep", "shallow"))
    assert (git(deep, "rev-list", "--count", "HEAD"), git(shallow, "rev-list", "--count", "HEAD")) == ("4", "1")
    sizes = [sum(path.stat().st_size for path in (one / "objects").rglob("*") if path.is_file()) for one in (deep, shallow)]
    assert sizes[0] - sizes[1] > 900_000
    assert not (tmp_path / "deep/weights").exists()


def test_the_packs_differ_as_packs_do(many):
    files = [packed(many[0], many_packs.name_of(number)) for number in range(60)]
    assert all(15 <= len(one) <= 50 for one in files)
    assert sum("assets/lookup.bin" in one for one in files) == 15
    for name, numbers in (
        ("requirements.txt", REQUIREMENTS),
        ("pyproject.toml", PYPROJECT),
        ("setup.cfg", SETUP_CFG),
        ("install.py", many_packs.INSTALLS),
        (".gitmodules", [many_packs.SUBMODULE]),
    ):
        assert [number for number, one in enumerate(files) if name in one] == sorted(numbers), name
    sizes = [int(git(many[0] / f"many_{number:02}.git", "cat-file", "-s", "main:assets/lookup.bin")) for number in range(0, 60, 4)]
    assert 100_000 == min(sizes) < max(sizes) <= 310_000


def test_who_reads_only_requirements_txt_misses_no_package():
    read = {Requirement(line.partition("#")[0]).name for text in REQUIREMENTS.values() for line in text.splitlines() if line[0] != "#"}
    assert {Requirement(line).name for lines in [*PYPROJECT.values(), *SETUP_CFG.values()] for line in lines} <= read


@pytest.mark.parametrize("number", [0, 2, 3, many_packs.SUBMODULE, many_packs.SLOW, many_packs.NO_NODES])
def test_a_pack_brings_its_node_types(checkout, number):
    done = load(checkout(many_packs.name_of(number)))
    assert json.loads(done.stdout) == sorted(many_packs.classes_of(number)), done.stderr


def test_no_two_packs_bring_the_same_node_type():
    classes = [one for number in range(60) for one in many_packs.classes_of(number)]
    assert len(classes) == len(set(classes)) > 100


def test_the_submodule_comes_with_its_pack(many, url, tmp_path):
    assert clone(f"{url}/many_13.git", tmp_path / "a", "--recurse-submodules").returncode == 0
    assert (tmp_path / "a/parts/__init__.py").is_file()


def test_an_install_script_writes_into_its_own_folder_alone(checkout):
    pack = checkout("many_03")
    done = subprocess.run([sys.executable, "install.py"], cwd=pack, capture_output=True, text=True, check=True)
    assert done.stdout == "many_03 prepares itself\n"
    assert [path.name for path in pack.parent.rglob("*") if path.name.startswith("prepared")] == ["prepared.txt"]


def test_main_moves_on_by_a_commit_and_is_put_back(tmp_path):
    many_packs.make(tmp_path, BASE, 1)
    repository = tmp_path / "many_00.git"
    before = many_packs.head(repository)
    after = many_packs.advance(repository)
    assert git(repository, "rev-list", f"{before}..main") == after == many_packs.head(repository)
    assert git(repository, "diff", "--name-only", before, after) == "CHANGES.md"
    many_packs.make(tmp_path, BASE, 1)
    assert many_packs.head(repository) == before


def test_the_command_prints_the_manifest(tmp_path):
    command = [sys.executable, many_packs.__file__, tmp_path / "git", "--url", BASE, "--count", "2", "--broken", "link"]
    manifest = json.loads(subprocess.run(command, capture_output=True, check=True).stdout)
    assert [entry["name"] for entry in manifest["custom_nodes"]] == ["many_00", "many_01", "broken_link"]


# --- the broken ones -----------------------------------------------------------------------------------------------


def test_a_broken_pack_is_called_after_its_fault_and_broken_in_nothing_else(broken):
    folder, entries = broken
    assert list(entries) == [f"broken_{fault}" for fault in FAULTS]
    refused = {"broken_branch"}
    packs, warnings = parse_packs([entry for name, entry in entries.items() if name not in refused], "x", ["http"])
    assert (len(packs), warnings) == (len(FAULTS) - 1, [])
    for fault, row in FAULTS.items():
        assert (folder / f"broken_{fault}.git").is_dir() == row.repository


def test_gone_and_password_are_what_git_says_of_them(broken, url, tmp_path):
    assert "not found" in clone(f"{url}/broken_gone.git", tmp_path / "a").stderr
    address = broken[1]["broken_password"]["url"].replace(BASE.removesuffix("/git"), url.removesuffix("/git"))
    assert "could not read Username" in clone(address, tmp_path / "b").stderr


def test_the_commit_is_in_no_history(broken):
    folder, entries = broken
    with pytest.raises(subprocess.CalledProcessError):
        git(folder / "broken_commit.git", "cat-file", "-e", entries["broken_commit"]["commit"])


def test_a_rewritten_branch_leads_to_its_old_commit_no_more(tmp_path):
    many_packs.make_broken(tmp_path, BASE, ["rewritten"])
    repository = tmp_path / "broken_rewritten.git"
    before, files = many_packs.head(repository), packed(tmp_path, "broken_rewritten")
    after = many_packs.rewrite(repository)
    assert git(repository, "rev-list", "main") == after != before
    assert {path: row for path, row in packed(tmp_path, "broken_rewritten").items() if path != "CHANGES.md"} == files
    assert git(repository, "cat-file", "-t", before) == "commit"


def test_the_branch_is_an_option_in_disguise(broken):
    entry = broken[1]["broken_branch"]
    assert entry["branch"].startswith("--upload-pack=")
    with pytest.raises(ManifestError, match="upload-pack"):
        parse_packs([entry], "x", ["http"])


def test_the_submodule_is_not_there(url, tmp_path):
    done = clone(f"{url}/broken_submodule.git", tmp_path / "a", "--recurse-submodules")
    assert done.returncode != 0
    assert "many_nobody" in done.stderr
    assert clone(f"{url}/broken_submodule.git", tmp_path / "b").returncode == 0


def test_the_link_leads_to_the_accounts_of_the_machine(checkout):
    assert (checkout("broken_link") / "assets/passwd").readlink() == Path("/etc/passwd")


def test_requirements_that_nobody_can_read_or_meet(broken):
    folder, _entries = broken

    def asked(fault):
        return git(folder / f"broken_{fault}.git", "show", "main:requirements.txt")

    with pytest.raises(InvalidRequirement):
        Requirement(asked("requirements_syntax"))
    assert Requirement(asked("requirements_unknown")).name == "emprops-there-is-no-such-package"
    one, other = Requirement(asked("contradicts_a")), Requirement(asked("contradicts_b"))
    versions = ["4.0", "4.9", "4.9.99", "4.10", "4.11", "4.12.3", "5"]
    assert one.name == other.name
    assert list(one.specifier.filter(versions)) and list(other.specifier.filter(versions))
    assert not list((one.specifier & other.specifier).filter(versions))


def test_an_install_script_hangs(checkout):
    command = [sys.executable, "install.py"]
    with subprocess.Popen(command, cwd=checkout("broken_install_hangs"), stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout.readline() == "this may take a while\n"
            assert process.poll() is None
        finally:
            process.kill()


def test_an_install_script_fails_with_words(checkout):
    done = subprocess.run([sys.executable, "install.py"], cwd=checkout("broken_install_fails"), capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (3, "there is no compiler here\n")


def test_an_install_script_edits_another_pack(checkout):
    other = checkout("many_00") / "__init__.py"
    before = other.read_text()
    subprocess.run([sys.executable, "install.py"], cwd=checkout("broken_install_edits_another"), check=True)
    assert other.read_text() == before + "# edited by somebody else's install.py\n"


def test_install_scripts_write_into_the_environment(checkout, tmp_path):
    venv.create(tmp_path / "venv", symlinks=True)
    (packages,) = (tmp_path / "venv").glob("lib/python*/site-packages")
    (packages / "yaml").mkdir()
    (packages / "yaml/__init__.py").write_text("")
    for fault in ("install_adds_package", "install_changes_package"):
        subprocess.run([tmp_path / "venv/bin/python", "install.py"], cwd=checkout(f"broken_{fault}"), check=True)
    assert (packages / "smuggled.py").is_file()
    assert (packages / "yaml/__init__.py").read_text() == "# changed by an install.py\n"


def test_a_module_is_missing(checkout):
    assert "No module named 'emprops_there_is_no_such_module'" in load(checkout("broken_missing_module")).stderr


def test_two_packs_bring_the_same_node_type(checkout):
    assert load(checkout("broken_same_class_a")).stdout == load(checkout("broken_same_class_b")).stdout == '["BrokenSameClass"]\n'


def test_a_pack_needs_its_environment(broken, checkout):
    pack = checkout("broken_env")
    (name,) = broken[1]["broken_env"]["env"]
    assert f"KeyError: '{name}'" in load(pack).stderr
    assert load(pack, **{name: "a value"}).stdout == '["BrokenEnv"]\n'
