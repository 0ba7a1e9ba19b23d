# GNU General Public License v3.0+ (see https://www.gnu.org/licenses/gpl-3.0.txt)

"""The states that need no systemd, on the stand-in ComfyUI; a switch to another release is shown by the molecule scenarios."""

from __future__ import annotations

import json
import os

import pytest
import yaml
from ansible_collections.emprops.comfyui.plugins.module_utils._activation import Activation, WantedInstance
from ansible_collections.emprops.comfyui.plugins.module_utils._release import Fork, Lock, LockedPack
from ansible_collections.emprops.comfyui.plugins.modules import release
from unit.fixtures.fake_systemd import FakeSystemd
from unit.fixtures.run_module import run_module
from unit.fixtures.standin import standin


@pytest.fixture(name="ask")
def fixture_ask(workspace, fork, python):
    """Run the module in one of its states on this machine."""
    environment = {
        "uv_version": python.uv_version,
        "index_url": python.index_url,
        "torch_wheels_dir": python.torch_wheels_dir,
    }

    def ask(state, check_mode=False, **options):
        if state == "opened":
            options = {"repository": fork.url, "version": "main", "python": environment, **options}
        return run_module(release, check_mode, root=str(workspace.root), state=state, git={"protocols": ["file"]}, **options)

    return ask


def test_a_release_is_opened_and_sealed_and_then_there_is_nothing_to_do(ask, workspace, fork, machine):
    opened = ask("opened")
    assert (opened["changed"], opened["commit"]) == (True, fork.git("rev-parse", "HEAD"))
    assert opened["diff"]["before"] == {} and opened["diff"]["after"]["fork"]["version"] == "main"
    assert ask("opened")["changed"] is False
    machine.fill()
    sealed = ask("sealed")
    assert (sealed["changed"], sealed["release"]) == (True, opened["release"])
    assert sealed["lock"] == json.loads((workspace.releases / opened["release"] / "release.json").read_text())
    fork.vanish()
    for state in ("opened", "sealed"):
        again = ask(state)
        assert (again["changed"], again["release"]) == (False, opened["release"])


def test_check_mode_predicts_and_makes_nothing(ask, workspace, machine):
    before = sorted(workspace.root.rglob("*"))
    predicted = ask("opened", check_mode=True)
    assert (predicted["changed"], predicted["release"]) == (True, None)
    assert sorted(workspace.root.rglob("*")) == before

    opened = ask("opened")
    machine.fill()
    predicted = ask("sealed", check_mode=True)
    assert (predicted["changed"], predicted["release"]) == (True, None)
    assert not (workspace.releases / opened["release"] / "release.json").exists()
    ask("sealed")
    for state in ("opened", "sealed"):
        assert ask(state, check_mode=True)["changed"] is False


def test_on_a_new_machine_check_mode_predicts_an_activation(ask):
    assert ask("active", check_mode=True, instances=[])["changed"] is True


def test_what_is_not_sealed_is_not_activated(ask, workspace):
    for options in ({}, {"release": "20200101-000000"}):
        answer = ask("active", instances=[], **options)
        assert answer["failed"] and answer["msg"].startswith("there is no sealed release ")
        assert options.get("release", "") in answer["msg"]


SHARED = "class A:\n    INPUT_TYPES = dict\n    RETURN_TYPES = ()\nNODE_CLASS_MAPPINGS = {'Shared': A}\n"


def test_what_the_running_instance_brings_of_each_pack_is_returned_and_written_down(ask, workspace, python, tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", f"{tmp_path}/systemd:{os.environ['PATH']}")
    warned = []
    # In a process that has loaded parts of the controller, warnings go to its display instead of the answer.
    monkeypatch.setattr(release.AnsibleModule, "warn", lambda _self, text: warned.append(text))
    packs = tuple(LockedPack(name, "", "a" * 40, node_types=("Shared",)) for name in ("early", "late"))
    lock = Lock("r1", "", Fork("", "", ""), python, "", packs, flags=("--cpu",))
    place = workspace.releases / "r1/ComfyUI"
    place.parent.mkdir(parents=True)
    instance = {"name": "gpu0", "unit": "comfyui@gpu0.service", "settings": {"COMFYUI_ARGS": "--cpu"}}
    digest = Activation(workspace, tmp_path)._digest(WantedInstance(**instance, url=""))
    with standin(place, {"early": SHARED, "late": SHARED}, {"EMPROPS_CONFIG_DIGEST": digest}) as running:
        (place.parent / "release.json").write_text(json.dumps(lock.as_dict()))
        workspace.point("current", "r1")
        FakeSystemd(tmp_path / "systemd").unit(instance["unit"], running.log, MainPID=running.pid)
        instances = [{**instance, "url": running.url}]
        first, record = ask("active", instances=instances), workspace.state / "packs.json"
        written = record.stat().st_mtime_ns
        again, predicted = ask("active", instances=instances), ask("active", True, instances=instances)
    assert (first["changed"], again["changed"], predicted["changed"]) == (False, False, False)
    early, late = first["packs"]
    assert (early["name"], early["node_types"], early["missing"], early["error"]) == ("early", [], [], None)
    assert early["shadowed"] == [{"class": "Shared", "by": "late"}] and early["import_seconds"] is not None
    assert (late["name"], late["node_types"], late["shadowed"]) == ("late", ["Shared"], [])
    assert warned == ["the pack early and the pack late both bring Shared; late won"] * 2, "once in each run"
    assert json.loads(record.read_text()) == {"release": "r1", "packs": first["packs"]} and record.stat().st_mtime_ns == written
    assert set(early) == set(yaml.safe_load(release.RETURN)["packs"]["contains"])
    assert first["packs"] == again["packs"] and "packs" not in predicted


def test_pruning_tells_what_it_removes(ask, workspace):
    ids = ["r1", "r2", "r3"]
    for name in ids:
        (workspace.releases / name).mkdir(parents=True)
        (workspace.releases / name / "release.json").write_text("{}")
    workspace.point("current", "r1")
    for check_mode in (True, False):
        answer = ask("pruned", check_mode, keep=1)
        assert (answer["changed"], answer["removed"]) == (True, ["r2"])
    assert workspace.sealed() == ["r1", "r3"]
    answer = ask("pruned", keep=1)
    assert (answer["changed"], answer["removed"]) == (False, [])


@pytest.mark.parametrize(
    "state, options, message",
    [
        pytest.param("opened", {"version": "develop"}, "has no branch or tag 'develop'; its branches are: main", id="no such branch"),
        pytest.param(
            "opened", {"version": "f" * 40}, f"has no commit {'f' * 40}; it may have been removed by a forced push", id="no such commit"
        ),
        pytest.param("opened", {"repository": "file:///nonexistent"}, "cannot read file:///nonexistent: ", id="no such repository"),
        pytest.param(
            "opened", {"repository": "https://h.example/x"}, "is no repository address that is allowed here (allowed: file)", id="protocol"
        ),
        pytest.param("opened", {"repository": "file://[x"}, "'file://[x' is no repository address", id="no address"),
        pytest.param("opened", {"account": "nobody-of-that-name"}, "there is no account 'nobody-of-that-name'", id="no such account"),
        pytest.param("opened", {"python": {}}, "uv_version", id="no version of uv"),
        pytest.param("active", {}, "state is active but all of the following are missing: instances", id="no instances"),
        pytest.param("gone", {}, "value of state must be one of", id="no such state"),
    ],
)
def test_a_failure_names_the_culprit_and_leaves_nothing_open(ask, workspace, state, options, message):
    answer = ask(state, **options)
    assert answer["failed"] and message in answer["msg"]
    assert workspace.opened() is None


def test_what_is_opened_must_be_said():
    answer = run_module(release, state="opened")
    assert answer["failed"] and answer["msg"].startswith("state is opened but all of the following are missing: repository, version")


def test_sealing_before_filling_says_what_to_run(ask):
    opened = ask("opened")
    answer = ask("sealed")
    assert answer["failed"]
    assert answer["msg"] == f"release {opened['release']} has no custom nodes and Python packages yet; run the custom_nodes role first"


def test_a_second_run_on_the_machine_is_told_who_is_there(ask, workspace):
    with workspace.exclusive(0):
        answer = ask("opened", wait_seconds=0)
    assert answer["failed"] and "the releases are being changed by process " in answer["msg"]


def test_the_token_is_in_no_answer(workspace, python):
    answer = run_module(
        release,
        state="opened",
        root=str(workspace.root),
        repository="http://127.0.0.1:9/x",
        version="main",
        python={"uv_version": python.uv_version},
        git={"protocols": ["http"], "token": "s3cret-value", "token_url": "http://127.0.0.1:9/"},
    )
    assert answer["failed"] and "cannot read http://127.0.0.1:9/x" in answer["msg"]
    assert "s3cret-value" not in json.dumps(answer)
