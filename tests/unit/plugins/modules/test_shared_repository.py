# GNU General Public License v3.0+ (see https://www.gnu.org/licenses/gpl-3.0.txt)

"""With real repositories: an origin that the test may change or take away, and a machine's folders beside it."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import tempfile
from pathlib import Path

import pytest
from ansible.module_utils.basic import AnsibleModule
from ansible_collections.emprops.comfyui.plugins.module_utils._command import Account
from ansible_collections.emprops.comfyui.plugins.module_utils._shared import Shared
from ansible_collections.emprops.comfyui.plugins.modules import shared_repository
from unit.fixtures.run_module import run_module

MANIFEST = {"custom_nodes": [{"name": "demo", "url": "git clone https://git.example/demo.git", "requirements": False}]}
STATIC = {"// now": "", "symlinks": [{"source": "a/x.ckpt", "target": "checkpoints/x.ckpt", "description": "old"}], "no_index": []}
FILES = {
    "config_nodes.json": json.dumps(MANIFEST),
    "static-models.json": json.dumps(STATIC),
    "workflows/http:/Red square (Copy).json": "{}",
    "models/loras/.gitkeep": "",
}
GIT = {"GIT_CONFIG_GLOBAL": os.devnull, "PATH": os.environ["PATH"], "HOME": "/nonexistent"}
GIT |= {f"GIT_{who}_{what}": f"{who.lower()}@git.example" for who in ("AUTHOR", "COMMITTER") for what in ("NAME", "EMAIL")}


class Origin:
    """The repository as its owners see it."""

    def __init__(self, path):
        self.path = path
        path.mkdir()
        self.git("init", "--quiet", "--initial-branch=main")
        self.first = self.commit(FILES)

    @property
    def url(self):
        return f"file://{self.path}"

    def git(self, *arguments):
        return subprocess.run(["git", *arguments], cwd=self.path, env=GIT, check=True, capture_output=True, text=True).stdout.strip()

    def commit(self, files, *, gone=(), amend=False):
        for name in gone:
            self.git("rm", "--quiet", "--", name)
        for name, text in files.items():
            (self.path / name).parent.mkdir(parents=True, exist_ok=True)
            (self.path / name).write_text(text)
        self.git("add", "--all")
        self.git("commit", "--quiet", "--message=x", *(["--amend"] if amend else []))
        return self.git("rev-parse", "HEAD")


class Machine:
    """The folders of a machine, and the module run on them."""

    def __init__(self, root, origin):
        self.root, self.origin = root, origin
        self.path = root / "shared"

    def run(self, *, check_mode=False, **options):
        folders = {"path": str(self.path), "cache": str(self.root / "cache")}
        given = {"repository": self.origin.url, "git": {"protocols": ["file", "https"]}, **folders}
        return run_module(shared_repository, check_mode, **{**given, **options})

    def files(self):
        everything = (path for path in self.path.rglob("*") if path.is_file() and ".git" not in path.relative_to(self.path).parts)
        return {path.relative_to(self.path).as_posix(): path.read_text() for path in everything}


@pytest.fixture(name="warned", autouse=True)
def fixture_warned(monkeypatch):
    warned = []
    monkeypatch.setattr(AnsibleModule, "warn", lambda _self, text: warned.append(text))
    return warned


@pytest.fixture(name="origin")
def fixture_origin(tmp_path):
    return Origin(tmp_path / "origin")


@pytest.fixture(name="machine")
def fixture_machine(tmp_path, origin):
    return Machine(tmp_path / "workspace", origin)


@pytest.fixture(name="installed")
def fixture_installed(machine):
    assert machine.run()["changed"]
    return machine


# --- the usual ---------------------------------------------------------------------------------------------------


def test_a_new_machine_gets_the_files_and_keeps_its_models(machine, origin, warned):
    model = machine.path / "models/loras/mine.safetensors"
    model.parent.mkdir(parents=True)
    model.write_text("model")
    answer = machine.run(version="main")
    assert machine.files() == {**FILES, "models/loras/mine.safetensors": "model"}
    assert answer.items() >= {"changed": True, "commit": origin.first, "commit_before": None, "version": "main"}.items()
    assert answer["manifest"] == str(machine.path / "config_nodes.json")
    assert answer["packs"] == ["demo"]
    assert answer["static_models"] == {"symlinks": STATIC["symlinks"], "no_index": []}
    assert answer["workflows"] == [str(machine.path / "workflows/http:/Red square (Copy).json")]
    assert answer["diff"]["before"] == {} and answer["diff"]["after"] == {"repository": origin.url, "commit": origin.first}
    assert warned == []


def test_a_second_run_needs_no_server_and_no_cache(installed, origin):
    shutil.rmtree(origin.path)
    shutil.rmtree(installed.root / "cache")
    answer = installed.run()
    assert (answer["changed"], answer["commit"], answer["commit_before"], answer["packs"]) == (False, origin.first, origin.first, ["demo"])


def test_the_installed_commit_stays_until_an_update_is_asked_for(installed, origin):
    second = origin.commit({"workflows/new.json": "{}", "config_nodes.json": "[]"}, gone=["workflows/http:/Red square (Copy).json"])
    (installed.path / "workflows/untracked.json").write_text("mine")
    assert installed.run()["commit"] == origin.first
    answer = installed.run(update=True)
    assert answer.items() >= {"changed": True, "commit": second, "commit_before": origin.first, "packs": []}.items()
    assert answer["workflows"] == [str(installed.path / "workflows/new.json")]
    names = {"config_nodes.json", "static-models.json", "workflows/new.json", "workflows/untracked.json", "models/loras/.gitkeep"}
    assert set(installed.files()) == names
    assert not installed.run(update=True)["changed"]


@pytest.mark.parametrize("kind", ["branch", "tag", "commit"])
def test_another_version_is_another_commit(installed, origin, kind):
    origin.git("checkout", "--quiet", "-b", "side")
    second = origin.commit({"x": "2"})
    origin.git("tag", "--annotate", "--message=x", "v2")
    origin.git("checkout", "--quiet", "main")
    answer = installed.run(version={"branch": "side", "tag": "v2", "commit": second}[kind])
    assert (answer["changed"], answer["commit"]) == (True, second)
    assert installed.run(version=None)["commit"] == origin.first


def test_another_repository_replaces_the_files_of_the_first(installed, tmp_path):
    other = Origin(tmp_path / "other")
    other.commit({"y": "2"}, gone=["workflows/http:/Red square (Copy).json"])
    installed.origin = other
    assert installed.run()["changed"]
    assert set(installed.files()) == {"config_nodes.json", "static-models.json", "models/loras/.gitkeep", "y"}


def test_a_clone_that_somebody_made_is_taken_over(machine, origin):
    machine.root.mkdir()
    origin.git("clone", "--quiet", origin.url, str(machine.path))
    second = origin.commit({"x": "2"})
    answer = machine.run()
    assert (answer["commit_before"], answer["commit"]) == (origin.first, second)
    assert machine.files() == {**FILES, "x": "2"}


def test_the_test_manifest_is_a_choice(installed, origin):
    answer = installed.run(manifest="config_nodes_test.json")
    assert "- config_nodes_test.json is not in the repository" in answer["msg"]
    origin.commit({"config_nodes_test.json": "[]"})
    answer = installed.run(manifest="config_nodes_test.json", update=True)
    assert (answer["manifest"], answer["packs"]) == (str(installed.path / "config_nodes_test.json"), [])


def test_conversions_that_the_repository_asks_for_do_not_look_like_changes(machine, origin):
    origin.commit({".gitattributes": "*.json text eol=crlf\n", "workflows/lines.json": "{\n}\n"})
    machine.run()
    assert (machine.path / "workflows/lines.json").read_bytes() == b"{\n}\n"
    assert not machine.run()["changed"]


# --- what must not be lost ---------------------------------------------------------------------------------------


def test_a_changed_file_is_named_and_kept(installed, origin):
    origin.commit({"config_nodes.json": "[]", "x": "2"})
    (installed.path / "config_nodes.json").write_text("mine")
    for options in ({}, {"update": True}):
        answer = installed.run(**options)
        assert "- config_nodes.json was changed here\nMove what was changed here away" in answer["msg"]
    assert installed.files() == {**FILES, "config_nodes.json": "mine"}


def test_a_changed_file_that_is_gone_upstream_is_kept_too(installed, origin):
    origin.commit({}, gone=["static-models.json"])
    (installed.path / "static-models.json").write_text("mine")
    assert "- static-models.json was changed here" in installed.run(update=True)["msg"]
    assert installed.files()["static-models.json"] == "mine"


def test_an_untracked_file_in_the_way_is_named_and_kept(machine):
    (machine.path / "workflows").mkdir(parents=True)
    (machine.path / "workflows/http:").write_text("mine")
    (machine.path / "config_nodes.json").write_text("mine")
    answer = machine.run()
    assert "- config_nodes.json is in the way" in answer["msg"]
    assert "- workflows/http: is in the way of workflows/http:/Red square (Copy).json\n" in answer["msg"]
    assert machine.files() == {"workflows/http:": "mine", "config_nodes.json": "mine"}


def test_what_gives_way_is_saved_first(installed, origin, warned):
    mine = {"config_nodes.json": "mine", "static-models.json": "mine, gone upstream", "workflows/new.json": "mine, new upstream"}
    origin.commit({"workflows/new.json": "{}"}, gone=["static-models.json"])
    for name, text in mine.items():
        (installed.path / name).write_text(text)
    answer = installed.run(update=True, discard_changes=True)
    saved = Path(answer["saved"])
    assert saved.parent == installed.path / "local_changes"
    assert {name: (saved / name).read_text() for name in mine} == mine
    assert str(saved) in warned[0]
    shutil.rmtree(saved.parent)
    assert installed.files() == {name: text for name, text in FILES.items() if name != "static-models.json"} | {"workflows/new.json": "{}"}
    assert "saved" not in installed.run(discard_changes=True)


def test_a_folder_in_the_way_never_gives_way(machine):
    (machine.path / "config_nodes.json").mkdir(parents=True)
    (machine.path / "config_nodes.json/mine").write_text("mine")
    answer = machine.run(discard_changes=True)
    assert "- config_nodes.json is a folder here, and holds config_nodes.json/mine\nMove away what is in the way." in answer["msg"]
    assert machine.files() == {"config_nodes.json/mine": "mine"}


def test_a_file_that_somebody_staged_is_not_removed(installed, origin):
    (installed.path / "mine.json").write_text("mine")
    subprocess.run(["git", "add", "mine.json"], cwd=installed.path, env=GIT, check=True)
    origin.commit({"x": "2"})
    assert installed.run(update=True)["changed"]
    assert installed.files() == {**FILES, "x": "2", "mine.json": "mine"}


def test_what_somebody_committed_here_counts_as_changed_here(installed, origin):
    (installed.path / "static-models.json").write_text("{}")
    (installed.path / "mine.json").write_text("mine")
    for arguments in (["add", "--all"], ["commit", "--quiet", "--message=x"]):
        subprocess.run(["git", *arguments], cwd=installed.path, env=GIT, check=True)
    origin.commit({"x": "2"})
    assert "- static-models.json was changed here" in installed.run()["msg"]
    assert installed.run(update=True, discard_changes=True)["changed"]
    assert installed.files().items() >= {**FILES, "x": "2", "mine.json": "mine"}.items()


def test_what_somebody_committed_here_and_pushed_is_no_change(installed, origin):
    (installed.path / "x").write_text("2")
    origin.git("config", "receive.denyCurrentBranch", "updateInstead")
    for arguments in (["add", "--all"], ["commit", "--quiet", "--message=x"], ["push", "--quiet", "origin", "HEAD:main"]):
        subprocess.run(["git", *arguments], cwd=installed.path, env=GIT, check=True)
    assert not installed.run(update=True)["changed"]
    assert not installed.run()["changed"]


def test_a_file_that_was_deleted_comes_back(installed):
    (installed.path / "static-models.json").unlink()
    assert installed.run()["changed"]
    assert installed.files() == FILES
    assert not installed.run()["changed"]


# --- bad input ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "files, message",
    [
        pytest.param({"config_nodes.json": "{"}, "- config_nodes.json is not JSON", id="manifest that is no JSON"),
        pytest.param(
            {"config_nodes.json": json.dumps([{"name": "../x", "url": "https://h/x"}])},
            "- config_nodes.json: entry 1 ('../x'): the name '../x' cannot be a folder",
            id="hostile name",
        ),
        pytest.param(
            {"config_nodes.json": json.dumps(MANIFEST["custom_nodes"] * 2)},
            "- config_nodes.json: entry 2 ('demo'): the name is already that of entry 1",
            id="name twice",
        ),
        pytest.param(
            {"static-models.json": json.dumps({"symlinks": [{"source": "a", "target": "../b"}]})},
            "- static-models.json: symlinks entry 1: target: '../b'",
            id="link that leads out",
        ),
    ],
)
def test_a_bad_commit_leaves_the_machine_with_what_it_has(installed, origin, files, message):
    origin.commit({**files, "x": "2"})
    answer = installed.run(update=True)
    assert answer["failed"] and message in answer["msg"]
    assert installed.files() == FILES
    assert installed.run().items() >= {"changed": False, "commit": origin.first}.items()


def test_a_symlink_out_of_the_repository_is_refused(installed, origin):
    (origin.path / "passwords").symlink_to("/etc/passwd")
    origin.commit({})
    assert "holds the link passwords, which leads out" in installed.run(update=True)["msg"]
    assert installed.files() == FILES


def test_oddities_are_warnings(machine, origin, warned):
    origin.commit({"workflows/broken.json": "{", "config_nodes.json": json.dumps({**MANIFEST, "extra": 1})})
    answer = machine.run()
    assert warned[0] == "config_nodes.json: unknown key 'extra' beside 'custom_nodes' is ignored"
    assert warned[1].startswith("workflows/broken.json is no workflow, because it is not JSON")
    assert len(answer["workflows"]) == 1


def test_a_rewritten_branch_is_refused_until_accepted(installed, origin):
    second = origin.commit({"x": "2"}, amend=True)
    answer = installed.run(update=True)
    assert f"was rewritten: {origin.first}, installed here, is no longer part of it (it is at {second} now)" in answer["msg"]
    assert installed.files() == FILES
    assert installed.run(update=True, accept_rewritten=True)["commit"] == second


@pytest.mark.parametrize(
    "options, message",
    [
        pytest.param({"version": "nowhere"}, "has no branch or tag 'nowhere'; its branches are: main", id="branch"),
        pytest.param({"version": "1" * 40}, f"has no commit {'1' * 40}", id="commit"),
        pytest.param({"version": "--upload-pack=x"}, "'--upload-pack=x' is no branch, tag or commit", id="option in disguise"),
        pytest.param({"repository": "file:///nonexistent/x"}, "cannot read file:///nonexistent/x", id="repository"),
        pytest.param({"repository": "http://h/x"}, "allowed: file, https", id="protocol"),
        pytest.param({"repository": "https://me:hidden@h/x"}, "holds a password", id="password"),
        pytest.param({"manifest": "../x.json"}, "'../x.json' does not lead straight down", id="manifest"),
        pytest.param({"account": "nobody-of-that-name"}, "there is no account 'nobody-of-that-name'", id="account"),
    ],
)
def test_what_is_not_there_is_named(installed, options, message):
    answer = installed.run(**options)
    assert answer["failed"] and message in answer["msg"]
    assert installed.files() == FILES


def test_a_worktree_of_another_repository_is_left_alone(machine):
    machine.path.mkdir(parents=True)
    (machine.path / ".git").write_text("gitdir: /elsewhere")
    assert "belongs to another repository" in machine.run()["msg"]


# --- killed ------------------------------------------------------------------------------------------------------


class Killed(BaseException):
    pass


@pytest.mark.parametrize("step", ["config", "fetch", "read-tree", "update-index", "checkout", "half of the files", "after checkout"])
@pytest.mark.parametrize("then", ["plain", "newer"])
def test_a_run_that_was_killed_is_finished_by_the_next(installed, origin, monkeypatch, step, then):
    second = origin.commit({"config_nodes.json": "[]", "a/new": "2", "b": "2"}, gone=["static-models.json"])
    git = Shared.git

    def killed_git(self, *arguments, local=False):
        if step == "half of the files" and arguments[0] == "checkout":
            git(self, f"--work-tree={self.path}", "checkout", second, "--", "a", "config_nodes.json")
            (self.path / "b").touch()
        if step == "after checkout" and arguments[0] == "checkout":
            git(self, *arguments)
        if arguments[0] == ("checkout" if step in ("half of the files", "after checkout") else step):
            (self.git_dir / "index.lock").touch()
            raise Killed
        return git(self, *arguments, local=local)

    with monkeypatch.context() as patch, pytest.raises(Killed):
        patch.setattr(Shared, "git", killed_git)
        installed.run(update=True)

    third = origin.commit({"b": "3", "c": "3"}, gone=["a/new"]) if then == "newer" else second
    settled = step not in ("config", "fetch")
    answer = installed.run(update=then != "plain")
    assert answer["commit"] == (third if then != "plain" or settled else origin.first)
    wanted = dict(FILES)
    if answer["commit"] != origin.first:
        del wanted["static-models.json"]
        wanted |= {"config_nodes.json": "[]", **({"b": "3", "c": "3"} if then == "newer" else {"a/new": "2", "b": "2"})}
    assert installed.files() == wanted
    again = installed.run()
    assert (again["changed"], again["commit_before"]) == (False, answer["commit"])


def test_a_new_machine_that_was_killed_half_way_is_finished_too(machine, origin, monkeypatch):
    git = Shared.git

    def killed_git(self, *arguments, local=False):
        if arguments[0] == "checkout":
            git(self, "checkout", origin.first, "--", "workflows")
            raise Killed
        return git(self, *arguments, local=local)

    with monkeypatch.context() as patch, pytest.raises(Killed):
        patch.setattr(Shared, "git", killed_git)
        machine.run()
    shutil.rmtree(origin.path)
    assert machine.run().items() >= {"changed": True, "commit": origin.first}.items()
    assert machine.files() == FILES


def test_a_lost_git_folder_is_made_again(installed, origin):
    shutil.rmtree(installed.path / ".git")
    assert installed.run().items() >= {"changed": True, "commit": origin.first}.items()
    assert not installed.run()["changed"]


# --- check mode --------------------------------------------------------------------------------------------------


def test_check_mode_on_a_new_machine_only_resolves(machine, origin):
    answer = machine.run(check_mode=True)
    assert answer.items() >= {"changed": True, "commit": origin.first, "commit_before": None, "packs": []}.items()
    assert not machine.root.exists()


@pytest.mark.parametrize(
    "options, lacking",
    [
        pytest.param({"account": "nobody-of-that-name"}, "no account nobody-of-that-name", id="account"),
        pytest.param({"git": {"protocols": ["file"], "ssh_key_file": "/nonexistent/key"}}, "no /nonexistent/key", id="key"),
    ],
)
def test_check_mode_before_the_machine_is_prepared_says_what_it_cannot_know(machine, warned, options, lacking):
    answer = machine.run(check_mode=True, **options)
    assert (answer["changed"], answer["commit"]) == (True, None)
    assert lacking in warned[0]


def test_check_mode_foretells_and_changes_nothing(installed, origin):
    second = origin.commit({"x": "2"})
    assert not installed.run(check_mode=True)["changed"]
    answer = installed.run(check_mode=True, update=True)
    assert answer.items() >= {"changed": True, "commit": second, "commit_before": origin.first}.items()
    assert answer["diff"]["before"]["commit"] == origin.first and answer["diff"]["after"]["commit"] == second
    assert installed.files() == FILES
    (installed.path / "config_nodes.json").write_text("mine")
    assert "config_nodes.json was changed here" in installed.run(check_mode=True)["msg"]


# --- another account ---------------------------------------------------------------------------------------------


def give_all(path, uid):
    for folder, names, files in os.walk(path):
        for name in (".", *names, *files):
            os.chown(Path(folder, name), uid, -1)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can run git as another account")
def test_git_runs_as_the_account_in_folders_that_root_made(monkeypatch):
    nobody = Account.named("nobody")
    with tempfile.TemporaryDirectory() as scratch:
        root = Path(scratch)
        root.chmod(0o755)
        monkeypatch.chdir("/root")
        origin = Origin(root / "origin")
        machine = Machine(root / "workspace", origin)
        # As the owners' own installer left it: a clone of root's, with models in it.
        machine.root.mkdir()
        origin.git("clone", "--quiet", origin.url, str(machine.path))
        (machine.path / "models/loras/mine").write_text("model")
        origin.commit({"models/loras/new": "2"})
        give_all(origin.path, nobody.uid)
        answer = machine.run(account="nobody")
        assert answer.get("msg") is None and answer["changed"]
        assert machine.files() == {**FILES, "models/loras/new": "2", "models/loras/mine": "model"}
        assert [(machine.path / name).stat().st_uid for name in ("models/loras/new", "models/loras/mine")] == [nobody.uid, 0]
        assert not machine.run(account="nobody")["changed"]

        # What the account put there leads root nowhere.
        roots = root / "roots"
        roots.mkdir()
        shutil.rmtree(machine.path / ".git/info")
        (machine.path / ".git/info").symlink_to(roots)
        give_all(origin.path, 0)
        origin.commit({"more": "3"})
        give_all(origin.path, nobody.uid)
        assert "Permission denied" in machine.run(account="nobody", update=True)["msg"]
        assert list(roots.iterdir()) == []
        (machine.path / ".git/info").unlink()
        assert machine.run(account="nobody", update=True)["changed"]
