# GNU General Public License v3.0+ (see https://www.gnu.org/licenses/gpl-3.0.txt)

from __future__ import annotations

import json
import os
import re
from dataclasses import replace

import pytest
from ansible_collections.emprops.comfyui.plugins.module_utils._instance_state import (
    InstanceSpec,
    InstanceState,
    InstanceStateError,
    missing_node_types,
    read_instances,
    to_result,
    unit_gave_up,
    why_not_ready,
)
from ansible_collections.emprops.comfyui.plugins.module_utils._ports import Listener
from ansible_collections.emprops.comfyui.plugins.module_utils._systemd import UnitState
from unit.fixtures.fake_systemd import FakeSystemd
from unit.fixtures.scripted_server import scripted_server
from unit.fixtures.standin import free_port, standin

UNIT = "comfyui@gpu0.service"
OURS = Listener(4711, "python main.py", UNIT, "127.0.0.1")
STRANGER = Listener(99, "nginx", "nginx.service", "127.0.0.1")
READY = InstanceState(
    InstanceSpec("gpu0", UNIT, "http://127.0.0.1:8188"),
    8188,
    unit=UnitState(UNIT, "loaded", "active", "running", "success", "enabled", "0" * 32, 4711),
    listening=(OURS,),
    pid=4711,
    release="r1",
    comfyui_version="0.3.12",
    queue_running=0,
    queue_pending=0,
    node_types={"SaveImage": "nodes"},
    failed_imports=(),
)


@pytest.fixture(name="systemd")
def fixture_systemd(tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", f"{tmp_path}/systemd:{os.environ['PATH']}")
    return FakeSystemd(tmp_path / "systemd")


@pytest.fixture(name="comfyui", scope="module")
def fixture_comfyui(tmp_path_factory):
    place = tmp_path_factory.mktemp("workspace") / "releases" / "20250201-3f2a91c" / "ComfyUI"
    place.parent.mkdir(parents=True)
    fine = "class A:\n    INPUT_TYPES = dict\n    RETURN_TYPES = ()\nNODE_CLASS_MAPPINGS = {'FineNode': A}"
    packs = {"broken": "import module_of_nobody", "fine": fine}
    with standin(place, packs, {"EMPROPS_CONFIG_DIGEST": "sha256:cafe", "API_TOKEN": "hunter2"}) as running:
        yield running


def unit(**properties):
    return replace(READY, unit=replace(READY.unit, **properties))


@pytest.mark.parametrize(
    "state, reason",
    [
        pytest.param(READY, None, id="ready"),
        pytest.param(
            unit(active_state="failed", sub_state="failed", result="exit-code", exec_main_status=2),
            f"{UNIT} is failed (failed), result exit-code, exit status 2",
            id="failed",
        ),
        pytest.param(
            unit(active_state="activating", sub_state="auto-restart", result="signal", exec_main_status=9, n_restarts=3),
            f"{UNIT} is activating (auto-restart), result signal, exit status 9, 3 restarts",
            id="between two tries",
        ),
        pytest.param(unit(load_state="not-found", active_state="inactive"), f"{UNIT} does not exist", id="no such unit"),
        pytest.param(replace(READY, listening=()), "nothing listens on port 8188 yet", id="still loading"),
        pytest.param(
            replace(READY, listening=(STRANGER,)),
            f"port 8188 is held by nginx (pid 99, nginx.service), not by {UNIT}",
            id="a stranger on the port",
        ),
        pytest.param(
            replace(READY, listening=(Listener(None, None, None, "0.0.0.0"),)),
            f"port 8188 is held by a process that cannot be seen from here, not by {UNIT}",
            id="somebody unseen on the port",
        ),
        pytest.param(replace(READY, listening=(replace(OURS, pid=4712),)), None, id="a child of ours on the port"),
        pytest.param(replace(READY, listening=(replace(OURS, cgroup_unit=None),)), None, id="the main process, whatever its group"),
        pytest.param(replace(READY, node_types=None, answer_error="http://x: HTTP status 500"), "http://x: HTTP status 500", id="no nodes"),
        pytest.param(
            replace(READY, unit=None, systemd_error="there is no systemctl"),
            "the unit's state is unknown (there is no systemctl); the instance itself answers",
            id="no systemd, and it answers",
        ),
        pytest.param(
            replace(READY, unit=None, systemd_error="no", listening=(), comfyui_version=None),
            "the unit's state is unknown (no); nothing listens on port 8188 yet",
            id="no systemd, and nobody there",
        ),
    ],
)
def test_what_stands_in_the_way_is_said_in_words(state, reason):
    assert why_not_ready(state) == reason
    assert state.ready is (reason is None)


@pytest.mark.parametrize(
    "predicate, yes, no",
    [
        pytest.param(unit_gave_up, unit(active_state="failed"), unit(active_state="activating"), id="systemd gave up"),
        pytest.param(unit_gave_up, unit(load_state="masked"), READY, id="masked"),
    ],
)
def test_a_state_is_asked_one_question_at_a_time(predicate, yes, no):
    assert predicate(yes) and not predicate(no)


def test_missing_node_types_are_listed():
    assert missing_node_types(READY, ["SaveImage", "Zoom", "Blur"]) == ["Blur", "Zoom"]
    assert missing_node_types(replace(READY, node_types=None), ["Zoom"]) == ["Zoom"]


def test_an_instance_in_health_is_ready(systemd, comfyui):
    systemd.unit(UNIT, comfyui.log, MainPID=comfyui.pid)
    [state] = read_instances([InstanceSpec("gpu0", UNIT, comfyui.url)], 30)
    assert why_not_ready(state) is None
    assert (state.pid, state.port, state.release, state.config_digest) == (comfyui.pid, comfyui.port, "20250201-3f2a91c", "sha256:cafe")
    assert [(listener.pid, listener.address) for listener in state.listening] == [(comfyui.pid, "127.0.0.1")]
    assert (state.queue_running, state.queue_pending) == (0, 0) and state.devices[0]["type"] == "cpu" and state.comfyui_version
    assert state.node_types["FineNode"] == "custom_nodes.fine" and state.node_types["SaveImage"] == "nodes"
    [failure] = state.failed_imports
    assert (failure.pack, failure.error) == ("broken", "No module named 'module_of_nobody'")
    assert failure.traceback.startswith("Traceback")
    assert {str(comfyui.place / "custom_nodes" / name) for name in ("broken", "fine")} <= set(state.import_seconds)
    result = json.dumps(to_result(state))
    assert "hunter2" not in result
    result = json.loads(result)
    assert result["node_types"] == len(state.node_types)
    assert [one["missing_module"] for one in result["failed_imports"]] == ["module_of_nobody"]
    assert result["import_seconds"] == state.import_seconds


def test_without_asking_the_process_is_seen_and_nothing_is_requested(systemd):
    with scripted_server({}) as server:
        systemd.unit(UNIT, "", MainPID=os.getpid())
        [state] = read_instances([InstanceSpec("gpu0", UNIT, server.url)], 30, ask=False)
    assert (state.pid, state.answer_error, state.node_types) == (os.getpid(), None, None)
    assert (state.failed_imports, state.import_seconds) == (None, None)
    assert [listener.pid for listener in state.listening] == [os.getpid()]


def test_many_instances_come_back_in_the_order_asked(systemd, comfyui):
    systemd.unit(UNIT, comfyui.log, MainPID=comfyui.pid)
    down = {"ActiveState": "inactive", "SubState": "dead", "InvocationID": ""}
    systemd.unit("comfyui@gpu1.service", **down)
    systemd.unit("comfyui@gpu2.service", **{**down, "LoadState": "not-found"})
    specs = [
        InstanceSpec("gpu2", "comfyui@gpu2", f"http://127.0.0.1:{free_port()}"),
        InstanceSpec("gpu0", "comfyui@gpu0", comfyui.url),
        InstanceSpec("gpu1", "comfyui@gpu1", f"http://127.0.0.1:{free_port()}"),
    ]
    found = read_instances(specs, 30)
    assert [(state.spec.name, why_not_ready(state)) for state in found] == [
        ("gpu2", "comfyui@gpu2.service does not exist"),
        ("gpu0", None),
        ("gpu1", "comfyui@gpu1.service is inactive (dead)"),
    ]
    assert found[2].failed_imports is None and found[2].import_seconds is None and found[2].log_error == "no log tells how the imports went"


def test_a_stranger_on_the_port_is_named_and_not_asked(systemd):
    with scripted_server({}) as server:
        systemd.unit(UNIT, "", MainPID=1)
        [state] = read_instances([InstanceSpec("gpu0", UNIT, server.url)], 30)
    assert re.fullmatch(rf"port {state.port} is held by .+ \(pid {os.getpid()}.*\), not by {UNIT}", why_not_ready(state))
    assert server.seen == []


def test_the_same_port_on_another_address_is_not_in_the_way(systemd, comfyui):
    systemd.unit(UNIT, comfyui.log, MainPID=comfyui.pid)
    [state] = read_instances([InstanceSpec("gpu0", UNIT, comfyui.url.replace("127.0.0.1", "127.0.0.2"))], 30)
    assert why_not_ready(state) == f"nothing listens on port {comfyui.port} yet"


def test_an_instance_that_answers_strangely_is_not_ready(systemd):
    answers = {"GET /system_stats": {"system": {"comfyui_version": "1"}, "devices": ["?"]}, "GET /queue": {}}
    with scripted_server(answers) as server:
        systemd.unit(UNIT, "", MainPID=os.getpid())
        [state] = read_instances([InstanceSpec("gpu0", UNIT, server.url)], 30)
    assert why_not_ready(state) == f"{server.url}/queue: the answer is not ComfyUI's"
    assert (state.comfyui_version, state.devices, state.node_types) == ("1", (), None)


def test_without_systemd_what_can_be_seen_is_still_told(monkeypatch, tmp_path, comfyui):
    monkeypatch.setenv("PATH", str(tmp_path))
    [state] = read_instances([InstanceSpec("gpu0", UNIT, comfyui.url, str(comfyui.log_file))], 30)
    assert why_not_ready(state) == "the unit's state is unknown (there is no systemctl on this machine); the instance itself answers"
    assert (state.pid, state.release) == (comfyui.pid, "20250201-3f2a91c")
    assert [failure.pack for failure in state.failed_imports] == ["broken"]
    assert to_result(state)["unit_state"] == "unknown"


def test_the_log_file_is_read_where_the_journal_has_forgotten_the_start(systemd, comfyui):
    systemd.unit(UNIT, "got prompt\n", MainPID=comfyui.pid)
    [state] = read_instances([InstanceSpec("gpu0", UNIT, comfyui.url, str(comfyui.log_file))], 30)
    assert [failure.pack for failure in state.failed_imports] == ["broken"]


def test_a_log_file_that_is_a_pipe_is_not_waited_for(systemd, comfyui, tmp_path):
    os.mkfifo(tmp_path / "output.log")
    systemd.unit(UNIT, "", MainPID=comfyui.pid)
    [state] = read_instances([InstanceSpec("gpu0", UNIT, comfyui.url, str(tmp_path / "output.log"))], 30)
    assert state.failed_imports is None and "is not a regular file" in state.log_error


def test_no_instances_are_no_trouble():
    assert read_instances([]) == []


@pytest.mark.parametrize(
    "unit_name, url",
    [pytest.param("--all", "http://127.0.0.1:1", id="not a unit"), pytest.param(UNIT, "127.0.0.1:8188", id="not an address")],
)
def test_an_instance_that_cannot_be_looked_at_is_named(unit_name, url):
    with pytest.raises(InstanceStateError, match="^gpu7: "):
        read_instances([InstanceSpec("gpu7", unit_name, url)])
