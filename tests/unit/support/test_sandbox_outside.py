# GNU General Public License v3.0+ (see https://www.gnu.org/licenses/gpl-3.0.txt)

from __future__ import annotations

import hashlib
import json
import shutil
import subprocess
import threading
import urllib.error
import urllib.request
from contextlib import contextmanager
from pathlib import Path

import pytest
import yaml
from support.outside import server
from support.sandbox import outside
from support.sandbox.commands import ROOT, SUPPORT, SandboxError

TOKEN = "secret-for-tests"


@pytest.fixture
def pack(tmp_path):
    folder = tmp_path / "pack"
    (folder / "__pycache__").mkdir(parents=True)
    (folder / "__init__.py").write_text("NODE_CLASS_MAPPINGS = {}\n")
    (folder / "__pycache__" / "x.pyc").write_bytes(b"x")
    return folder


def tree(repository, commit="main"):
    return outside.git(repository, "ls-tree", "-r", "--name-only", commit).split()


def head(repository):
    return outside.git(repository, "rev-parse", "main")


def clone(url, target, *options):
    environment = outside.ENVIRONMENT | {"GIT_TERMINAL_PROMPT": "0"}
    return subprocess.run(["git", "clone", "-q", *options, url, target], env=environment, capture_output=True, text=True)


def test_the_same_folder_gives_the_same_commit_everywhere(tmp_path, pack):
    copy = tmp_path / "copy"
    shutil.copytree(pack, copy, ignore=shutil.ignore_patterns("__pycache__"))
    assert outside.seed(tmp_path / "a.git", pack) == outside.seed(tmp_path / "b.git", copy)
    assert tree(tmp_path / "a.git") == ["__init__.py"]


def test_a_second_seed_changes_nothing_and_keeps_what_was_pushed(tmp_path, pack):
    repository = tmp_path / "a.git"
    outside.seed(repository, pack)
    outside.move_on(repository)
    moved = head(repository)
    outside.seed(repository, pack)
    assert head(repository) == moved


def test_a_changed_folder_becomes_a_commit_on_top(tmp_path, pack):
    repository = tmp_path / "a.git"
    first = outside.seed(repository, pack)
    (pack / "new.py").touch()
    second = outside.seed(repository, pack)
    assert outside.git(repository, "rev-list", "main").split() == [second, first]
    assert tree(repository) == ["__init__.py", "new.py"]


def test_main_moves_on_to_something_that_does_not_import(tmp_path, pack):
    repository = tmp_path / "a.git"
    pinned = outside.seed(repository, pack)
    outside.move_on(repository)
    assert outside.git(repository, "show", "main:__init__.py").startswith("raise RuntimeError")
    assert outside.git(repository, "show", f"{pinned}:__init__.py") == "NODE_CLASS_MAPPINGS = {}"


def test_a_repository_knows_nothing_of_this_computers_git_settings(tmp_path, pack, monkeypatch):
    (tmp_path / "gitconfig").write_text("[user]\n\tname = Somebody\n[core]\n\tautocrlf = input\n")
    expected = outside.seed(tmp_path / "a.git", pack)
    monkeypatch.setenv("GIT_CONFIG_GLOBAL", str(tmp_path / "gitconfig"))
    monkeypatch.setenv("GIT_AUTHOR_NAME", "Somebody")
    assert outside.seed(tmp_path / "b.git", pack) == expected


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    folder = tmp_path_factory.mktemp("outside")
    assert outside.prepare(folder) == ("http://outside.test/git/ComfyUI.git", "main")
    (folder / "token").write_text(TOKEN)
    return folder


@contextmanager
def serving(world, www):
    httpd = server.serve(0, world, www, listen="127.0.0.1")
    thread = threading.Thread(target=httpd.serve_forever, kwargs={"poll_interval": 0.05})
    thread.start()
    try:
        yield f"http://127.0.0.1:{httpd.server_address[1]}"
    finally:
        httpd.shutdown()
        thread.join()
        httpd.server_close()


@pytest.fixture
def url(world, tmp_path):
    (tmp_path / "www").mkdir()
    (tmp_path / "www" / "gpgkey").write_text("a key")
    with serving(world, tmp_path / "www") as address:
        yield address


def test_every_pack_and_the_stand_in_have_a_repository(world):
    names = {path.stem for path in (world / "git").glob("*.git")}
    packs = {path.name for path in (SUPPORT / "packs").iterdir() if path.is_dir() and not path.name.startswith((".", "_"))}
    assert names == packs | {"ComfyUI"}


def test_the_manifest_names_repositories_commits_and_branches_that_are_there(world):
    for name in ("config_nodes.json", "config_nodes_test.json"):
        manifest = json.loads(outside.git(world / "private" / "shared.git", "show", f"main:{name}"))
        for entry in manifest["custom_nodes"]:
            repository = world / "git" / Path(entry["url"].removeprefix("git clone ")).with_suffix(".git").name
            wanted = entry.get("commit") or f"refs/heads/{entry.get('branch', 'main')}"
            assert "raise RuntimeError" not in outside.git(repository, "show", f"{wanted}:__init__.py"), entry


def test_a_pin_of_a_pack_that_is_not_there_is_an_error(tmp_path, monkeypatch):
    (tmp_path / "support" / "shared_repo").mkdir(parents=True)
    (tmp_path / "support" / "shared_repo" / "config_nodes.json").write_text('{"commit": "@commit:nobody@"}')
    monkeypatch.setattr(outside, "SUPPORT", tmp_path / "support")
    with pytest.raises(SandboxError, match="pins nobody"):
        outside._seed_shared(tmp_path)


def test_the_inventory_names_the_models_that_the_hub_has(world):
    inventory = yaml.safe_load((ROOT / "inventories/sandbox/group_vars/all/models.yml").read_text())["models_list"]
    assert [entry["url"] for entry in inventory] == [model.url for model in outside.MODELS]
    for entry, model in zip(inventory, outside.MODELS, strict=True):
        content = (world / "hub" / model.path).read_bytes()
        assert (entry["name"], entry["directory"], entry["size"]) == (model.name, model.directory, len(content))
        assert entry["sha256"] == hashlib.sha256(content).hexdigest()


def test_a_model_is_a_well_formed_safetensors_file():
    content = outside.MODELS[0].content()
    length = int.from_bytes(content[:8], "little")
    begin, end = json.loads(content[8 : 8 + length])["weight"]["data_offsets"]
    assert (begin, 8 + length + end) == (0, len(content))


def test_a_clone_brings_submodules_and_a_partial_one_works(url, tmp_path):
    assert clone(f"{url}/git/demo_recursive", tmp_path / "a", "--recurse-submodules").returncode == 0
    assert (tmp_path / "a" / "parts" / "__init__.py").is_file()
    assert clone(f"{url}/git/demo_image.git", tmp_path / "b", "--depth=1").returncode == 0


@pytest.mark.parametrize(
    "path",
    [
        pytest.param("git/nobody.git", id="unknown"),
        pytest.param("git/../private/shared.git", id="a way round the password"),
        pytest.param("git/%2e%2e/private/shared.git", id="the same, disguised"),
    ],
)
def test_no_other_repository_is_served(url, tmp_path, path):
    assert clone(f"{url}/{path}", tmp_path / "a").returncode != 0


@pytest.mark.parametrize(
    ("token", "ends"),
    [pytest.param(TOKEN, 0, id="the token"), pytest.param("wrong", 128, id="another"), pytest.param("", 128, id="none")],
)
def test_the_private_repository_wants_the_token(url, tmp_path, token, ends):
    address = f"{url}/private/shared.git".replace("//", f"//anyone:{token}@" if token else "//")
    assert clone(address, tmp_path / "a").returncode == ends


def test_what_tests_push_is_what_is_served_next(world, url, tmp_path):
    clone(world / "git" / "demo_broken.git", tmp_path / "work")
    (tmp_path / "work" / "__init__.py").write_text("fixed = True\n")
    for command in (["commit", "-qam", "Fix"], ["push", "-q", "origin", "HEAD:repaired"]):
        subprocess.run(["git", "-C", tmp_path / "work", *command], env=outside.ENVIRONMENT, check=True, capture_output=True)
    assert clone(f"{url}/git/demo_broken.git", tmp_path / "a", "--branch=repaired").returncode == 0
    assert (tmp_path / "a" / "__init__.py").read_text() == "fixed = True\n"


def test_other_paths_are_files(url):
    with urllib.request.urlopen(f"{url}/gpgkey") as answer:
        assert answer.read() == b"a key"
    with pytest.raises(urllib.error.HTTPError, match="404"):
        urllib.request.urlopen(f"{url}/nothing")


def test_a_path_as_source_is_mirrored_with_its_branch(tmp_path, world, pack, url):
    outside.seed(tmp_path / "origin.git", pack)
    clone(tmp_path / "origin.git", tmp_path / "source")
    git = ["git", "-C", tmp_path / "source"]
    subprocess.run([*git, "switch", "-qc", "mine"], env=outside.ENVIRONMENT, check=True, capture_output=True)
    assert outside._fork(world, str(tmp_path / "source")) == ("http://outside.test/git/comfyui-source.git", "mine")
    mirror = world / "git" / "comfyui-source.git"
    assert outside.git(mirror, "for-each-ref", "--format=%(refname:short)", "refs/heads").split() == ["main", "mine"]
    assert clone(f"{url}/git/comfyui-source.git", tmp_path / "a").returncode == 0
    shutil.rmtree(mirror)


def test_a_source_that_is_not_there_is_named(tmp_path):
    with pytest.raises(SandboxError, match="COMFYUI_SOURCE=/not/there"):
        outside._fork(tmp_path, "/not/there")
