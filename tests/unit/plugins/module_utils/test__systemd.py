# GNU General Public License v3.0+ (see https://www.gnu.org/licenses/gpl-3.0.txt)

from __future__ import annotations

import pytest
from ansible_collections.emprops.comfyui.plugins.module_utils._systemd import (
    SystemdError,
    UnitState,
    journal,
    read_units,
    unit_name,
    unit_of,
)

ACTIVE = """\
MainPID=4711
NRestarts=2
ExecMainStartTimestampMonotonic=123456789
ExecMainStatus=0
Result=success
LoadState=loaded
ActiveState=active
SubState=running
UnitFileState=enabled
InvocationID=0123456789abcdef0123456789abcdef
"""
MISSING = """\
MainPID=0
NRestarts=0
ExecMainStartTimestampMonotonic=0
ExecMainStatus=0
Result=success
LoadState=not-found
ActiveState=inactive
SubState=dead
UnitFileState=
InvocationID=
"""
# A target has no process.
TARGET = "LoadState=loaded\nActiveState=active\nSubState=active\nUnitFileState=static\nInvocationID=\n"
INVOCATION = "0123456789abcdef0123456789abcdef"


@pytest.fixture(name="tool")
def fixture_tool(tmp_path, monkeypatch):
    """Puts a systemctl or journalctl on the PATH that notes how it was called and prints a recording."""
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")

    def make(name, answer, rc=0):
        (tmp_path / "answer").write_text(answer)
        program = tmp_path / name
        program.write_text(f'#!/bin/sh\nprintf "%s\\n" "$@" > {tmp_path}/called\ncat {tmp_path}/answer\nexit {rc}\n')
        program.chmod(0o755)
        return lambda: (tmp_path / "called").read_text().splitlines()

    return make


def test_units_are_read_in_one_call(tool):
    called = tool("systemctl", "\n".join([ACTIVE, MISSING, TARGET]))
    found = read_units(["comfyui@gpu0", "comfyui@gpu1.service", "comfyui.target"])
    assert found == {
        "comfyui@gpu0": UnitState(
            "comfyui@gpu0.service", "loaded", "active", "running", "success", "enabled", INVOCATION, 4711, 2, 0, 123456789
        ),
        "comfyui@gpu1.service": UnitState("comfyui@gpu1.service", "not-found", "inactive", "dead", "success"),
        "comfyui.target": UnitState("comfyui.target", "loaded", "active", "active", unit_file_state="static"),
    }
    assert called()[-4:] == ["--", "comfyui@gpu0.service", "comfyui@gpu1.service", "comfyui.target"]


def test_no_units_ask_nothing(monkeypatch, tmp_path):
    monkeypatch.setenv("PATH", str(tmp_path))
    assert read_units([]) == {}


def test_a_machine_without_systemd_says_so(monkeypatch, tmp_path):
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(SystemdError, match="there is no systemctl on this machine"):
        read_units(["comfyui@gpu0"])


def test_what_systemctl_complains_about_is_passed_on(tool):
    tool("systemctl", "System has not been booted with systemd as init system (PID 1). Can't operate.\n", rc=1)
    with pytest.raises(SystemdError, match="systemctl failed: System has not been booted with systemd"):
        read_units(["comfyui@gpu0"])


def test_an_answer_about_fewer_units_is_not_guessed_at(tool):
    tool("systemctl", ACTIVE)
    with pytest.raises(SystemdError, match="1 units where 2 were asked for"):
        read_units(["comfyui@gpu0", "comfyui@gpu1"])


@pytest.mark.parametrize("name", ["", "--all", "comfyui@*.service", "a b.service", "x/../y.service", "x\n.service", "a" * 256])
def test_what_is_no_unit_never_reaches_systemctl(name):
    with pytest.raises(SystemdError, match="is not the name of a systemd unit"):
        unit_name(name)


@pytest.mark.parametrize(
    "options, arguments",
    [
        pytest.param({"invocation_id": INVOCATION}, [f"_SYSTEMD_INVOCATION_ID={INVOCATION}"], id="one start, from its beginning"),
        pytest.param({"unit": "comfyui@gpu0", "lines": 20}, ["--lines=20", "--unit=comfyui@gpu0.service"], id="the end of a unit's"),
    ],
)
def test_the_journal_is_read_without_decoration(tool, options, arguments):
    called = tool("journalctl", "Starting server\n")
    assert journal(**options) == "Starting server\n"
    assert called() == ["--no-pager", "--quiet", "--output=cat", *arguments]


def test_a_long_journal_is_cut_at_its_end(tool):
    tool("journalctl", "first line\n" + "later\n" * 100_000)
    assert journal(unit="comfyui@gpu0", limit=20) == "first line\nlater\nlat"


@pytest.mark.parametrize("options", [{}, {"invocation_id": "MESSAGE=x"}, {"unit": "--flush"}])
def test_a_journal_of_nobody_is_refused(options):
    with pytest.raises(SystemdError):
        journal(**options)


@pytest.mark.parametrize(
    "own, first, expected",
    [
        pytest.param("0::/system.slice/comfyui@gpu0.service\n", "0::/init.scope\n", "comfyui@gpu0.service", id="version 2"),
        pytest.param(
            "0::/comfyui.slice/comfyui-gpu.slice/comfyui@gpu0.service\n", "0::/init.scope\n", "comfyui@gpu0.service", id="own slices"
        ),
        pytest.param(
            "4:memory:/system.slice\n1:name=systemd:/system.slice/comfyui@gpu0.service\n0::/\n",
            "4:memory:/\n1:name=systemd:/init.scope\n0::/\n",
            "comfyui@gpu0.service",
            id="version 1",
        ),
        pytest.param(
            "9:name=systemd:/docker/4f2a/system.slice/comfyui@gpu0.service\n",
            "9:name=systemd:/docker/4f2a/init.scope\n",
            "comfyui@gpu0.service",
            id="a container that sees its host's tree",
        ),
        pytest.param(
            "0::/user.slice/user-1000.slice/user@1000.service/app.slice/comfyui@gpu0.service\n",
            "0::/init.scope\n",
            "user@1000.service",
            id="a user's unit of the same name",
        ),
        pytest.param("0::/docker/4f2a/system.slice/comfyui@gpu0.service\n", "0::/init.scope\n", None, id="a container's unit"),
        pytest.param("0::/user.slice/user-0.slice/session-3.scope\n", "0::/init.scope\n", "session-3.scope", id="a login"),
        pytest.param("0::/\n", "0::/\n", None, id="no systemd"),
        pytest.param(None, "0::/init.scope\n", None, id="gone"),
    ],
)
def test_a_process_belongs_to_the_unit_whose_group_holds_it(tmp_path, own, first, expected):
    for pid, text in (("1", first), ("77", own)):
        (tmp_path / pid).mkdir()
        if text is not None:
            (tmp_path / pid / "cgroup").write_text(text)
    assert unit_of(77, tmp_path) == expected
