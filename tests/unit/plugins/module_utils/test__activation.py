# GNU General Public License v3.0+ (see https://www.gnu.org/licenses/gpl-3.0.txt)

"""Activation on a machine whose systemd is played here; the molecule scenarios do the same with the real one."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest
from ansible_collections.emprops.comfyui.plugins.module_utils import _activation
from ansible_collections.emprops.comfyui.plugins.module_utils._activation import (
    Activation,
    ActivationError,
    Target,
    WantedInstance,
    check_flags,
)
from ansible_collections.emprops.comfyui.plugins.module_utils._comfyui_api import ImportFailure
from ansible_collections.emprops.comfyui.plugins.module_utils._command import Account, CommandError
from ansible_collections.emprops.comfyui.plugins.module_utils._instance_state import InstanceSpec, InstanceState
from ansible_collections.emprops.comfyui.plugins.module_utils._ports import Listener
from ansible_collections.emprops.comfyui.plugins.module_utils._python_env import PythonOptions
from ansible_collections.emprops.comfyui.plugins.module_utils._release import Fork, Lock, LockedPack, Workspace
from ansible_collections.emprops.comfyui.plugins.module_utils._systemd import SystemdError, UnitState

PACK = LockedPack("demo", "https://h.example/demo", "a" * 40, node_types=("Demo", "More"))
FLAGS = ("--cpu", "--listen", "--port", "--lowvram")


def instance(number, **settings):
    arguments = {"COMFYUI_ARGS": f"--port {8188 + number}"}
    return WantedInstance(f"gpu{number}", f"comfyui@gpu{number}.service", f"http://127.0.0.1:{8188 + number}", arguments | settings)


class Machine:
    """What systemd and the processes would do; `reads` is how often anybody looked."""

    def __init__(self, workspace, settings_dir):
        self.workspace, self.settings_dir = workspace, settings_dir
        self.running = {}  # unit → release and digest of its process
        self.old = {}  # unit → what still runs for so many looks after a restart
        self.linger = 0
        self.crashing = set()  # releases that do not come up
        self.looping = set()  # releases that are started again and again
        self.failed_imports = {}  # release → what its instances say
        self.node_types = {"Demo": "custom_nodes.demo", "More": "custom_nodes.demo", "KSampler": "nodes"}
        self.strangers = {}  # port → listener
        self.commands = []
        self.prepared = []
        self.systemctl_fails = False
        self.reads = 0
        self.asked = 0  # looks that made every instance answer

    def run(self, argv, **_options):
        if argv[1] in ("daemon-reload", "--create"):
            self.prepared.append(" ".join(argv))
            return
        self.commands.append(argv[1])
        if argv[1] == "reset-failed" or self.systemctl_fails:
            raise CommandError(f"systemctl {argv[1]} failed")
        assert argv[:4] == ["systemctl", "restart", "--no-block", "--"]
        for unit in argv[4:]:
            text = (self.settings_dir / f"{unit.removeprefix('comfyui@').removesuffix('.service')}.env").read_text()
            digest = dict(line.split("=", 1) for line in text.splitlines())["EMPROPS_CONFIG_DIGEST"].strip('"')
            self.old[unit] = self.linger, self.running.get(unit)
            self.running[unit] = self.workspace.link("current"), digest

    def read_instances(self, specs, ask=True):
        self.reads += 1
        self.asked += ask
        states = [self.look(spec) for spec in specs]
        silent = {"comfyui_version": None, "node_types": None, "failed_imports": None}
        return states if ask else [replace(state, **silent) for state in states]

    def look(self, spec: InstanceSpec):
        port = int(spec.url.rpartition(":")[2])
        left, before = self.old.get(spec.unit, (0, None))
        self.old[spec.unit] = left - 1, before
        release, digest = (before if left > 0 else self.running.get(spec.unit)) or (None, None)
        unit = UnitState(spec.unit, "loaded", "active", "running", main_pid=100)
        state = InstanceState(spec, port, unit, (Listener(100, "python", spec.unit, "127.0.0.1"),), 100, release, digest)
        if port in self.strangers:
            return replace(state, listening=(self.strangers[port],), pid=None, release=None, unit=replace(unit, active_state="inactive"))
        if release is None:
            return replace(state, listening=(), pid=None, unit=replace(unit, active_state="inactive", sub_state="dead", main_pid=0))
        if release in self.crashing:
            return replace(state, listening=(), unit=replace(unit, active_state="failed", sub_state="failed", main_pid=0))
        if release in self.looping:
            return replace(state, listening=(), unit=replace(unit, active_state="activating", n_restarts=5 + self.reads))
        return replace(state, comfyui_version="0.3", node_types=self.node_types, failed_imports=self.failed_imports.get(release, ()))


@pytest.fixture(name="workspace")
def fixture_workspace(tmp_path):
    """Two sealed releases, r1 and r2."""
    workspace = Workspace(tmp_path / "workspace", Account.named(None))
    for release in ("r1", "r2"):
        fork = Fork("https://h.example/ComfyUI", "main", "a" * 40)
        lock = Lock(release, "", fork, PythonOptions(), "3.11", (PACK,), comfyui_version="0.3.10", flags=FLAGS)
        (workspace.releases / release).mkdir(parents=True)
        (workspace.releases / release / "release.json").write_text(json.dumps(lock.as_dict()))
    return workspace


@pytest.fixture(name="activation")
def fixture_activation(workspace, tmp_path):
    return Activation(workspace, tmp_path / "settings", (tmp_path / "packs.env",), ready_seconds=3600)


@pytest.fixture(name="machine")
def fixture_machine(workspace, activation, monkeypatch):
    machine = Machine(workspace, activation.settings_dir)
    monkeypatch.setattr(_activation, "run", machine.run)
    monkeypatch.setattr(_activation, "read_instances", machine.read_instances)
    monkeypatch.setattr(_activation, "journal", lambda **_options: "first words\nlast words\n")
    monkeypatch.setattr(_activation.time, "sleep", lambda _seconds: None)
    return machine


def activate(activation, release, *instances):
    plan = activation.plan(release, instances)
    return plan, activation.apply(plan)


def proved(workspace):
    return json.loads((workspace.state / "active.json").read_text())["release"]


# --- switching ---


def test_the_first_activation_starts_everything_and_remembers_what_passed(machine, activation, workspace):
    plan, outcome = activate(activation, "r1", instance(0), instance(1))
    assert plan.changed and dict(plan.restarts) == {"gpu0": "it does not run", "gpu1": "it does not run"}
    assert plan.diff == {"before": {"release": None}, "after": {"release": "r1", "restarts": dict(plan.restarts)}}
    assert [state.release for state in outcome.states] == ["r1", "r1"] and (outcome.problems, outcome.warnings) == ([], [])
    assert (workspace.link("current"), workspace.link("previous"), proved(workspace)) == ("r1", None, "r1")
    assert machine.commands == ["reset-failed", "restart"]


def test_a_second_activation_plans_nothing_and_starts_nothing(machine, activation, tmp_path):
    activate(activation, "r1", instance(0), instance(1))
    machine.commands.clear()
    before = {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*")}
    plan, _outcome = activate(activation, "r1", instance(0), instance(1))
    assert (plan.changed, dict(plan.restarts), machine.commands) == (False, {}, [])
    machine.asked = 0
    activation.apply(plan)
    assert machine.asked == 1, "every instance says once that it is ready, and is not held up more than that"
    assert {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*")} == before


def test_another_release_starts_all_anew_and_keeps_the_way_back(machine, activation, workspace):
    activate(activation, "r1", instance(0), instance(1))
    plan, _outcome = activate(activation, "r2", instance(0), instance(1))
    assert dict(plan.restarts) == {"gpu0": "it runs release r1", "gpu1": "it runs release r1"}
    assert (workspace.link("current"), workspace.link("previous"), proved(workspace)) == ("r2", "r1", "r2")


def test_other_settings_start_only_that_instance_anew(machine, activation, workspace):
    activate(activation, "r1", instance(0), instance(1))
    plan, _outcome = activate(activation, "r1", instance(0), instance(1, LEVEL="debug"))
    assert dict(plan.restarts) == {"gpu1": "its settings changed"}
    assert workspace.link("previous") is None


def test_other_variables_of_the_packs_start_all_anew(machine, activation, tmp_path):
    activate(activation, "r1", instance(0), instance(1))
    (tmp_path / "packs.env").write_text('HF_TOKEN="new"\n')
    plan, _outcome = activate(activation, "r1", instance(0), instance(1))
    assert set(plan.restarts.values()) == {"its settings changed"} and len(plan.restarts) == 2


def test_one_that_died_is_started_and_the_other_left_alone(machine, activation):
    activate(activation, "r1", instance(0), instance(1))
    del machine.running["comfyui@gpu1.service"]
    plan, _outcome = activate(activation, "r1", instance(0), instance(1))
    assert dict(plan.restarts) == {"gpu1": "it does not run"}


@pytest.mark.parametrize("settings, release", [({}, "r2"), ({"LEVEL": "debug"}, "r1")], ids=["other release", "other settings"])
def test_the_old_process_that_still_answers_is_not_taken_for_the_new_one(machine, activation, settings, release):
    activate(activation, "r1", instance(0))
    machine.linger = 3
    before = machine.reads
    _plan, outcome = activate(activation, release, instance(0, **settings))
    assert machine.reads > before + machine.linger
    assert (outcome.states[0].release, outcome.states[0].config_digest) == machine.running["comfyui@gpu0.service"]


def test_a_link_that_is_behind_is_put_right_without_starting_anything(machine, activation, workspace):
    activate(activation, "r1", instance(0))
    workspace.point("current", "r2")
    machine.commands.clear()
    plan, _outcome = activate(activation, "r1", instance(0))
    assert plan.changed and machine.commands == [] and workspace.link("current") == "r1"


def test_the_settings_file_holds_what_the_unit_reads(machine, activation):
    odd = instance(0, QUOTED='say "hi" $HOME `id` \\', NUMBER=5)
    activate(activation, "r1", odd)
    digest = machine.running[odd.unit][1]
    assert (activation.settings_dir / "gpu0.env").read_text() == (
        f'COMFYUI_ARGS="--port 8188"\nEMPROPS_CONFIG_DIGEST="{digest}"\nNUMBER="5"\nQUOTED="say \\"hi\\" \\$HOME \\`id\\` \\\\"\n'
    )
    assert activation.plan("r1", [odd]).restarts == {}


def test_the_digest_tells_settings_and_files_apart_and_nothing_else(activation, tmp_path):
    one, same = instance(0, A="1", B="2"), WantedInstance("x", "x", "http://x:1", {"B": "2", "A": "1", "COMFYUI_ARGS": "--port 8188"})
    digest = activation._digest(one)
    assert digest == activation._digest(same)
    assert digest != activation._digest(instance(0, A="1", B="3"))
    assert digest != replace(activation, digest_files=())._digest(one)
    (tmp_path / "packs.env").write_text("x")
    assert digest != activation._digest(one)


# --- when it does not work ---


def test_a_release_that_does_not_come_up_is_taken_back(machine, activation, workspace):
    activate(activation, "r1", instance(0), instance(1))
    machine.crashing.add("r2")
    with pytest.raises(ActivationError) as caught:
        activate(activation, "r2", instance(0), instance(1))
    said = str(caught.value)
    assert said.startswith(
        "gpu0 is not ready: comfyui@gpu0.service is failed (failed)\n    first words\n    last words\ngpu1 is not ready: "
    )
    assert said.endswith("Went back to release r1; it serves again: gpu0 on port 8188, gpu1 on port 8189.")
    assert (workspace.link("current"), proved(workspace)) == ("r1", "r1")
    assert {release for release, _digest in machine.running.values()} == {"r1"}


def test_one_that_starts_again_and_again_is_past_hope_before_the_time_is_up(machine, activation):
    activate(activation, "r1", instance(0))
    machine.looping.add("r2")
    before = machine.reads
    with pytest.raises(ActivationError, match="Went back to release r1"):
        activate(activation, "r2", instance(0))
    assert machine.reads - before < 10


def test_restarts_of_another_time_are_no_reason_to_give_up(machine, activation, monkeypatch):
    look = machine.look

    def slow(spec):
        state = look(spec)
        state = replace(state, unit=replace(state.unit, n_restarts=7))
        return replace(state, comfyui_version=None) if machine.reads < 5 else state

    monkeypatch.setattr(machine, "look", slow)
    _plan, outcome = activate(activation, "r1", instance(0))
    assert outcome.states[0].ready and machine.reads == 5


def test_when_the_time_is_up_what_is_missing_is_said(machine, activation, monkeypatch):
    look = machine.look
    monkeypatch.setattr(machine, "look", lambda spec: replace(look(spec), comfyui_version=None, answer_error="it says 502"))
    monkeypatch.setattr(_activation, "journal", lambda **_options: (_ for _ in ()).throw(SystemdError("no journal here")))
    with pytest.raises(ActivationError) as caught:
        activate(replace(activation, ready_seconds=-1), "r1", instance(0))
    assert str(caught.value) == (
        "gpu0 is not ready: it says 502\nNothing served before on this machine, so release r1 was left as it is, to be looked at."
    )


def test_settings_that_fail_are_taken_back(machine, activation, monkeypatch):
    activate(activation, "r1", instance(0))
    served, look = machine.running["comfyui@gpu0.service"], machine.look

    def picky(spec):
        state = look(spec)
        return state if state.config_digest == served[1] else replace(state, comfyui_version=None, answer_error="bad settings")

    monkeypatch.setattr(machine, "look", picky)
    with pytest.raises(ActivationError, match=r"gpu0 is not ready: bad settings(?s:.)*Went back to release r1; it serves again: gpu0"):
        activate(replace(activation, ready_seconds=-1), "r1", instance(0, LEVEL="bad"))
    assert machine.running["comfyui@gpu0.service"] == served
    assert "LEVEL" not in (activation.settings_dir / "gpu0.env").read_text()


def test_when_neither_serves_both_are_told(machine, activation):
    activate(activation, "r1", instance(0))
    machine.crashing |= {"r1", "r2"}
    with pytest.raises(ActivationError, match="Went back to release r1, which does not serve either: gpu0 is not ready: "):
        activate(activation, "r2", instance(0))


def test_a_way_back_that_was_removed_is_no_way_back(machine, activation, workspace):
    activate(activation, "r1", instance(0))
    machine.crashing.add("r2")
    (workspace.releases / "r1/release.json").unlink()
    with pytest.raises(ActivationError, match="so release r2 was left as it is"):
        activate(activation, "r2", instance(0))
    assert workspace.link("current") == "r2"


def test_what_passed_and_now_fails_has_nothing_to_go_back_to(machine, activation):
    activate(activation, "r1", instance(0))
    machine.running.clear()
    machine.crashing.add("r1")
    with pytest.raises(ActivationError, match="Release r1 is also what passed last, so there is nothing to go back to"):
        activate(activation, "r1", instance(0))


def test_a_new_instance_is_not_among_those_that_go_back(machine, activation, workspace):
    activate(activation, "r1", instance(0))
    machine.crashing.add("r2")
    with pytest.raises(ActivationError, match=r"it serves again: gpu0 on port 8188\.$"):
        activate(activation, "r2", instance(0), instance(1))


def test_where_systemctl_fails_the_link_goes_back(machine, activation, workspace):
    activate(activation, "r1", instance(0))
    machine.systemctl_fails = True
    with pytest.raises(
        ActivationError, match=r"^cannot start the instances: systemctl restart failed\nWent back to release r1; it serves again"
    ):
        activate(activation, "r2", instance(0))
    assert workspace.link("current") == "r1"


def test_a_settings_folder_that_cannot_be_written_is_told_and_nothing_is_started(machine, activation, tmp_path):
    (tmp_path / "settings").write_text("a file")
    with pytest.raises(ActivationError, match="Nothing served before"):
        activate(activation, "r1", instance(0))
    assert machine.commands == []


def test_a_port_that_somebody_else_holds_is_refused_before_anything_changes(machine, activation, workspace):
    activate(activation, "r1", instance(0), instance(1))
    machine.strangers[8189] = Listener(4711, "nginx", "nginx.service", "0.0.0.0")
    machine.commands.clear()
    with pytest.raises(ActivationError) as caught:
        activate(activation, "r2", instance(0), instance(1))
    assert str(caught.value) == "port 8189 of gpu1 is held by nginx (pid 4711, nginx.service); it was left alone"
    assert (workspace.link("current"), machine.commands) == ("r1", [])


def test_instances_may_take_over_each_others_ports(machine, activation):
    activate(activation, "r1", instance(0), instance(1))
    # The base port moves by one: until both are started anew, gpu1 holds what is gpu0's now.
    machine.strangers[8189] = Listener(101, "python", "comfyui@gpu1.service", "127.0.0.1")
    first = replace(instance(0), url="http://127.0.0.1:8189", settings={"COMFYUI_ARGS": "--port 8189"})
    second = replace(instance(1), url="http://127.0.0.1:8190", settings={"COMFYUI_ARGS": "--port 8190"})
    plan = activation.plan("r1", [first, second])
    run = machine.run

    def restart(argv, **options):
        run(argv, **options)
        if argv[1] == "restart":
            machine.strangers.clear()

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(_activation, "run", restart)
        outcome = activation.apply(plan)
    assert [state.ready for state in outcome.states] == [True, True]


def test_a_port_that_an_instance_keeps_for_itself_is_refused(machine, activation):
    activate(activation, "r1", instance(0), instance(1))
    machine.strangers[8188] = Listener(101, "python", "comfyui@gpu1.service", "127.0.0.1")
    with pytest.raises(ActivationError, match=r"^port 8188 of gpu0 is held by python \(pid 101, comfyui@gpu1\.service\)"):
        activate(activation, "r1", instance(0), instance(1))


def test_units_and_folders_of_a_run_that_was_killed_are_made_good_before_a_start(machine, activation, workspace):
    activate(activation, "r1", instance(0))
    assert machine.prepared == [f"systemd-tmpfiles --create --prefix={workspace.root}", "systemctl daemon-reload"]


@pytest.mark.parametrize("text", ["", "{", "[]", '{"release": "r1"}', '{"release": "r1", "instances": [{"colour": "red"}]}'])
def test_a_state_that_cannot_be_read_is_as_if_nothing_served_before(machine, activation, workspace, text):
    workspace.state.mkdir()
    (workspace.state / "active.json").write_text(text)
    activate(activation, "r1", instance(0))
    assert proved(workspace) == "r1"


def test_what_passed_is_read_as_it_was_written():
    target = Target("r1", (instance(0, NUMBER=5), instance(1)))
    assert Target.of(json.loads(json.dumps(target.as_dict()))) == target


# --- packs ---


BROKEN = ImportFailure(
    "demo", "/w/releases/r2/ComfyUI/custom_nodes/demo", "No module named 'x'", "Traceback:\n  File x\nModuleNotFoundError"
)
LOCK = Lock("r1", "", Fork("", "", ""), PythonOptions(), "", (PACK,), comfyui_version="0.3.10", flags=FLAGS)
MISSING = "the pack demo should bring node types that the running program does not have: More"


def recorded(workspace):
    """The release that packs.json tells of and, of each pack, what went wrong."""
    record = json.loads((workspace.state / "packs.json").read_text())
    return record["release"], [(pack["name"], pack["error"], pack["missing"]) for pack in record["packs"]]


def test_a_pack_that_cannot_be_imported_is_told_once_and_the_release_taken_back(machine, activation, workspace):
    activate(activation, "r1", instance(0), instance(1))
    machine.failed_imports["r2"] = (BROKEN,)
    with pytest.raises(ActivationError) as caught:
        activate(activation, "r2", instance(0), instance(1))
    assert str(caught.value).count("the pack demo could not be imported") == 1
    assert "ModuleNotFoundError" in str(caught.value) and workspace.link("current") == "r1"
    assert recorded(workspace) == ("r1", [("demo", None, [])]), "what is written down is what serves again"


def test_a_first_release_with_a_broken_pack_stays_and_what_its_packs_bring_is_written_down(machine, activation, workspace):
    machine.failed_imports["r2"] = (BROKEN,)
    with pytest.raises(ActivationError, match="so release r2 was left as it is"):
        activate(activation, "r2", instance(0))
    assert recorded(workspace) == ("r2", [("demo", "No module named 'x'", [])])


def test_missing_node_types_fail_or_are_warned_of(machine, activation, workspace):
    machine.node_types = {"Demo": "custom_nodes.demo"}
    with pytest.raises(ActivationError, match="does not have: More"):
        activate(activation, "r1", instance(0))
    _plan, outcome = activate(replace(activation, missing_node_types="warn"), "r1", instance(0), instance(1))
    assert outcome.warnings == [MISSING] and [pack.missing for pack in outcome.packs] == [("More",)]
    assert proved(workspace) == "r1" and recorded(workspace) == ("r1", [("demo", None, ["More"])])


def test_what_a_node_type_of_two_packs_is_worth_is_said_in_every_run(machine, activation):
    machine.node_types |= {"More": "custom_nodes.other"}
    for _run in range(2):
        _plan, outcome = activate(activation, "r1", instance(0), instance(1))
        assert outcome.warnings == ["the pack demo and the pack other both bring More; other won"]


def test_what_an_instance_that_is_not_ready_lacks_is_not_held_against_its_packs(machine, activation, workspace, monkeypatch):
    look = machine.look
    monkeypatch.setattr(machine, "look", lambda spec: replace(look(spec), comfyui_version=None, node_types={}, answer_error="it says 502"))
    with pytest.raises(ActivationError) as caught:
        activate(replace(activation, ready_seconds=-1), "r1", instance(0))
    assert "the pack" not in str(caught.value) and not (workspace.state / "packs.json").exists()


def test_seconds_that_the_log_has_forgotten_stay_written_down(machine, activation, workspace, monkeypatch):
    look, path = machine.look, str(workspace.releases / "r1/ComfyUI/custom_nodes/demo")
    monkeypatch.setattr(machine, "look", lambda spec: replace(look(spec), import_seconds={path: 1.5}))
    activate(activation, "r1", instance(0))
    monkeypatch.setattr(machine, "look", look)
    activate(activation, "r1", instance(0))
    record = json.loads((workspace.state / "packs.json").read_text())
    assert [pack["import_seconds"] for pack in record["packs"]] == [1.5]
    activate(activation, "r2", instance(0))
    record = json.loads((workspace.state / "packs.json").read_text())
    assert (record["release"], [pack["import_seconds"] for pack in record["packs"]]) == ("r2", [None])


@pytest.mark.parametrize("text", ["", "{", "[]", "{}"])
def test_a_record_of_packs_that_cannot_be_read_is_written_anew(machine, activation, workspace, text):
    workspace.state.mkdir()
    (workspace.state / "packs.json").write_text(text)
    activate(activation, "r1", instance(0))
    assert recorded(workspace)[0] == "r1"


def test_a_record_of_packs_that_cannot_be_written_stops_nothing(machine, activation, workspace):
    (workspace.state / "packs.json/in the way").mkdir(parents=True)
    activate(activation, "r1", instance(0))
    assert proved(workspace) == "r1"


# --- flags ---


@pytest.mark.parametrize(
    "arguments, message",
    [
        pytest.param("", None, id="none"),
        pytest.param("--port 8188 --listen=127.0.0.1 --cpu", None, id="known"),
        pytest.param("--port 8188 -- x", "does not know --", id="two dashes"),
        pytest.param("--prot 8188 --nothing-like-it", "does not know --prot, --nothing-like-it; it does know --port", id="misspelt"),
        pytest.param("--xyzxyzxyz=1", "main.py of release r1 (ComfyUI 0.3.10) does not know --xyzxyzxyz", id="nothing like it"),
    ],
)
def test_flags_are_checked_against_what_main_py_knows(arguments, message):
    instances = [instance(0), instance(1, COMFYUI_ARGS=arguments)]
    if message is None:
        check_flags(LOCK, instances)
    else:
        with pytest.raises(ActivationError) as caught:
            check_flags(LOCK, instances)
        assert str(caught.value).endswith(message)


def test_unknown_flags_are_refused_before_anything_is_looked_at(machine, activation, workspace):
    with pytest.raises(ActivationError, match=r"does not know --lowvarm; it does know --lowvram"):
        activation.plan("r1", [instance(0, COMFYUI_ARGS="--lowvarm")])
    assert machine.reads == 0 and not Path(activation.settings_dir).exists()
