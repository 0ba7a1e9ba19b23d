# GNU General Public License v3.0+ (see https://www.gnu.org/licenses/gpl-3.0.txt)

from __future__ import annotations

import json

import pytest
from ansible.module_utils.basic import AnsibleModule
from ansible_collections.emprops.comfyui.plugins.module_utils._fill import adopted_packs
from ansible_collections.emprops.comfyui.plugins.module_utils._release import open_release, plan_open, seal
from ansible_collections.emprops.comfyui.plugins.modules import custom_nodes
from unit.fixtures.run_module import run_module

NODES = "NODE_CLASS_MAPPINGS = {'A': 1}\n"


class Machine:
    def __init__(self, workspace, folder):
        self.workspace, self.manifest, self.env_file = workspace, folder / "config_nodes.json", folder / "etc/custom_nodes.env"

    def write(self, *entries):
        self.manifest.write_text(json.dumps({"custom_nodes": entries}))

    def ask(self, *entries, check_mode=False, **options):
        """Run the module with a manifest of these entries."""
        self.write(*entries)
        options = {"manifest_file": str(self.manifest), "env_file": str(self.env_file), "git": {"protocols": ["file"]}, **options}
        return run_module(custom_nodes, check_mode, root=str(self.workspace.root), **options)


@pytest.fixture(name="bare")
def fixture_bare(workspace, tmp_path):
    """A machine without any release."""
    return Machine(workspace, tmp_path)


@pytest.fixture(name="machine")
def fixture_machine(bare, fork, python, access):
    """A machine with an open release."""
    open_release(bare.workspace, plan_open(bare.workspace, fork.url, "main", python, access), access)
    return bare


def entry(repository, **values):
    return {"name": repository.path.name, "url": repository.url, **values}


def test_the_whole_manifest_is_put_in_and_a_second_run_changes_nothing(machine, origin, monkeypatch):
    warned = []
    # In a process that has loaded parts of the controller, warnings go to its display instead of the answer.
    monkeypatch.setattr(AnsibleModule, "warn", lambda _self, text: warned.append(text))
    one, two = origin("one", {"__init__.py": NODES, "requirements.txt": "shared_part<2\n--pre\n"}), origin("two", {"__init__.py": NODES})
    entries = [
        entry(one, url=f"git clone {one.url}", odd=1),
        entry(two, env={"HF_TOKEN": "${HF_TOKEN}", "OTHER": "${OTHER}"}, install_order=1),
    ]
    options = {"secrets": {"HF_TOKEN": "s3cret-value", "OTHER": None}}
    answer = machine.ask(*entries, **options)
    assert answer["changed"] and [(row["name"], row["changed"]) for row in answer["packs"]] == [("two", True), ("one", True)]
    assert answer["packs"][1]["commit"] == one.git("rev-parse", "HEAD")
    assert set(answer["seconds"]) == {"fetch", "resolve", "install", "scripts"} and answer["unset"] == ["OTHER"]
    said = "\n".join(warned)
    assert f"{machine.manifest}: entry 1 ('one'): unknown key 'odd' is ignored" in said
    assert "one: the line '--pre' of its requirements is ignored" in said
    assert "no value in custom_nodes_secrets, so empty for the packs: OTHER" in said
    assert answer["diff"] == {"before": {}, "after": {name: answer["diff"]["after"][name] for name in ("one", "two")}}
    assert machine.env_file.read_text().splitlines()[1:] == ['HF_TOKEN="s3cret-value"', 'OTHER=""']
    assert machine.env_file.stat().st_mode & 0o777 == 0o600
    assert "s3cret-value" not in json.dumps(answer)

    release, _changed = seal(machine.workspace)
    assert release == answer["release"]
    for repository in (one, two):
        repository.vanish()
    for check_mode in (False, True):
        again = machine.ask(*entries, check_mode=check_mode, **options)
        assert (again["changed"], again["release"], again["seconds"]) == (False, release, {})
        assert [row["changed"] for row in again["packs"]] == [False, False]


def test_check_mode_predicts_commits_and_makes_nothing(machine, origin):
    repository = origin("one", {"__init__.py": NODES})
    before = sorted(machine.workspace.root.rglob("*"))
    answer = machine.ask(entry(repository, env={"A": "1"}), check_mode=True)
    assert answer["changed"] and answer["packs"][0]["commit"] == repository.git("rev-parse", "HEAD")
    assert sorted(machine.workspace.root.rglob("*")) == before and not machine.env_file.parent.exists()


def test_on_a_new_machine_check_mode_predicts_a_change_without_a_manifest(bare):
    answer = run_module(custom_nodes, True, root=str(bare.workspace.root), manifest_file=str(bare.manifest))
    assert (answer["changed"], answer["packs"], answer["release"]) == (True, [], None)


def test_other_variables_alone_are_a_change_of_the_file_and_not_of_the_release(machine, origin):
    repository = origin("one", {"__init__.py": NODES})
    machine.ask(entry(repository, env={"A": "${A}"}), secrets={"A": "s3cret-a"})
    release, _changed = seal(machine.workspace)
    answer = machine.ask(entry(repository, env={"A": "${A}"}), secrets={"A": "s3cret-b"})
    assert (answer["changed"], answer["release"]) == (True, release)
    assert 'A="s3cret-b"' in machine.env_file.read_text() and machine.workspace.unsealed() == []


def test_a_pack_that_is_asked_to_update_moves_and_the_others_stay(machine, origin):
    one, two = origin("one", {"__init__.py": NODES}), origin("two", {"__init__.py": NODES})
    machine.ask(entry(one), entry(two))
    seal(machine.workspace)
    moved = {repository.path.name: repository.commit({"new": ""}) for repository in (one, two)}
    assert machine.ask(entry(one), entry(two))["changed"] is False
    answer = machine.ask(entry(one), entry(two), update=["two"])
    assert {row["name"]: (row["commit"] == moved[row["name"]], row["changed"]) for row in answer["packs"]} == {
        "one": (False, False),
        "two": (True, True),
    }


def test_the_inventorys_packs_replace_those_of_the_manifest(machine, origin):
    one, other = origin("one", {"__init__.py": NODES}), origin("other", {"__init__.py": NODES})
    answer = machine.ask(entry(one), packs=[{"name": "one", "url": other.url}])
    assert [row["commit"] for row in answer["packs"]] == [other.git("rev-parse", "HEAD")]


def test_without_any_pack_the_packages_of_the_fork_are_installed(machine):
    answer = machine.ask()
    assert answer["changed"] and answer["packs"] == []
    assert seal(machine.workspace)[1] is True


CULPRITS = [
    pytest.param([{"name": "../x", "url": "file:///x"}], {}, "entry 1 ('../x'): the name '../x' cannot be a folder", id="hostile name"),
    pytest.param(
        [{"name": "a", "url": "https://h.example/a"}], {}, "entry 1 ('a'): 'https://h.example/a' is no repository address", id="protocol"
    ),
    pytest.param([{"name": "a", "url": "file:///nonexistent"}], {}, "a: cannot read file:///nonexistent: ", id="no such repository"),
    pytest.param([], {"manifest_file": "/nonexistent.json"}, "the manifest /nonexistent.json cannot be read: ", id="no such manifest"),
    pytest.param([], {"packs": [{"name": "a"}]}, "custom_nodes_packs: entry 1 ('a'): it has no url", id="inventory's pack"),
    pytest.param([], {"update": ["a"]}, "asked to update a, which the manifest does not list", id="update of nothing"),
    pytest.param([], {"account": "nobody-of-that-name"}, "there is no account 'nobody-of-that-name'", id="no such account"),
    pytest.param([], {"constraints": ["no = requirement"]}, "constraints.txt", id="no constraint"),
]


@pytest.mark.parametrize("entries, options, message", CULPRITS)
def test_a_failure_names_the_culprit_and_leaves_the_variables_as_they_were(machine, entries, options, message):
    answer = machine.ask(*entries, **options)
    assert answer["failed"] and message in answer["msg"]
    assert not machine.env_file.exists() and machine.workspace.link("candidate") is None


def test_a_manifest_that_is_not_json_is_named(machine):
    machine.write = lambda: machine.manifest.write_text("<html>")
    answer = machine.ask()
    assert answer["failed"] and answer["msg"].startswith(f"{machine.manifest} is not JSON: ")


def test_contradictory_requirements_name_both_packs_and_leave_the_variables_as_they_were(machine, origin):
    one, two = origin("one", {"requirements.txt": "shared_part<2\n"}), origin("two", {"requirements.txt": "shared_part>=2\n"})
    answer = machine.ask(entry(one, env={"A": "1"}), entry(two))
    assert answer["failed"] and "  one asks for shared_part<2\n  two asks for shared_part>=2\n" in answer["msg"]
    assert not machine.env_file.exists()


def test_two_values_of_one_variable_name_the_packs_and_no_value(machine, origin):
    one, two = origin("one", {"x": ""}), origin("two", {"x": ""})
    answer = machine.ask(entry(one, env={"KEY": "${A}"}), entry(two, env={"KEY": "${B}"}), secrets={"A": "s3cret-a", "B": "s3cret-b"})
    assert answer["failed"] and answer["msg"] == "one and two want different values of KEY, and an instance can hold only one"
    assert "s3cret" not in json.dumps(answer)


def test_without_a_release_it_says_what_to_run(bare):
    answer = bare.ask()
    assert answer["failed"] and answer["msg"].endswith("to put custom nodes into; run the comfyui_fork role first")


def test_a_second_run_on_the_machine_is_told_who_is_there(machine):
    with machine.workspace.exclusive(0):
        answer = machine.ask(wait_seconds=0)
    assert answer["failed"] and "the releases are being changed by process " in answer["msg"]


def test_what_was_adopted_is_the_manifests_once_that_lists_it(machine, origin):
    one, mine = origin("one", {"__init__.py": NODES}), origin("mine", {"__init__.py": NODES})
    machine.ask(entry(one))
    release = seal(machine.workspace)[0]
    machine.workspace.point("current", release)
    mine.git("clone", "--quiet", mine.url, str(machine.workspace.releases / release / "ComfyUI/custom_nodes/mine"))
    adopted = machine.ask(entry(one), unlisted="adopt")
    assert [row["name"] for row in adopted["packs"]] == ["one", "mine"]
    assert [row["name"] for row in adopted_packs(machine.workspace)] == ["mine"]
    machine.workspace.point("current", seal(machine.workspace)[0])
    assert not machine.ask(entry(one), unlisted="adopt")["changed"]
    listed = machine.ask(entry(one), entry(mine), unlisted="adopt")
    assert (listed["changed"], adopted_packs(machine.workspace)) == (False, [])
    removed = machine.ask(entry(one), unlisted="adopt")
    assert [(row["name"], row["state"]) for row in removed["packs"]] == [("one", "installed"), ("mine", "removed")]


def test_a_branch_that_the_manifest_only_names_now_is_kept_where_it_is(machine, origin):
    one = origin("one", {"__init__.py": NODES})
    machine.ask(entry(one))
    seal(machine.workspace)
    assert not machine.ask(entry(one, branch="main"))["changed"]
    one.commit({"more": ""})
    assert not machine.ask(entry(one, branch="main"))["changed"]
