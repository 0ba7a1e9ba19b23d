# GNU General Public License v3.0+ (see https://www.gnu.org/licenses/gpl-3.0.txt)

"""The unit of a machine with real GPUs, which no container of the tests has; mock GPUs are served by tests/machine."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

import jinja2
import pytest
import yaml

ROLE = Path(__file__).parents[3] / "roles/comfyui_instances"
PLAIN = {
    "comfyui_instances_root": "/workspace",
    "comfyui_instances_user": "comfyui",
    "__comfyui_instances_mock": False,
}


def _load(name):
    return yaml.safe_load((ROLE / name).read_text(encoding="utf-8"))


def render(**variables):
    """The text of the template unit, with the role's defaults where nothing else is said."""
    # As Ansible sets it up.
    environment = jinja2.Environment(trim_blocks=True, undefined=jinja2.StrictUndefined, autoescape=False)  # noqa: S701 (no web page)
    environment.tests["match"] = lambda text, pattern: re.match(pattern, text) is not None
    template = environment.from_string((ROLE / "templates/etc/systemd/system/comfyui@.service.j2").read_text(encoding="utf-8"))
    return template.render(_load("defaults/main.yml") | _load("vars/main.yml") | PLAIN | variables) + "\n"


def settings(text):
    """Values by name, in order; a name may stand more than once."""
    found = {}
    for line in text.splitlines():
        if "=" in line and not line.startswith("#"):
            name, _, value = line.partition("=")
            found.setdefault(name, []).append(value)
    return found


def _can_analyze():
    if shutil.which("systemd-analyze") is None:
        return False
    return "--offline" in subprocess.run(["systemd-analyze", "--help"], capture_output=True, text=True, check=False).stdout


def test_a_real_gpu_may_be_used_and_no_other_device():
    unit = settings(render())
    assert unit["DevicePolicy"] == ["closed"]
    assert unit["DeviceAllow"] == [f"{device} rw" for device in _load("vars/main.yml")["__comfyui_instances_devices"]]
    assert "PrivateDevices" not in unit
    assert "comfyui-gpu-devices.service" in unit["Wants"] and "comfyui-gpu-devices.service" in unit["After"]


def test_a_mock_gpu_needs_no_device_at_all():
    unit = settings(render(__comfyui_instances_mock=True))
    assert unit["PrivateDevices"] == ["yes"]
    assert "DeviceAllow" not in unit
    assert not any("gpu-devices" in value for value in unit["Wants"] + unit["After"])


@pytest.mark.parametrize(
    "name, key, value",
    [
        pytest.param("comfyui_instances_memory_max", "MemoryMax", "64G", id="memory"),
        pytest.param("comfyui_instances_cpu_quota", "CPUQuota", "800%", id="cpu"),
        pytest.param("comfyui_instances_restart_limit", "StartLimitBurst", "3", id="restarts"),
        pytest.param("comfyui_instances_stop_seconds", "TimeoutStopSec", "7", id="stop"),
        pytest.param("comfyui_instances_writable_dirs", "ReadWritePaths", "/workspace/comfyui_%i -/workspace/persist /srv/a", id="folders"),
        pytest.param("comfyui_instances_required_mounts", "RequiresMountsFor", "/workspace /srv/a", id="mounts"),
    ],
)
def test_an_option_of_the_role_reaches_the_unit(name, key, value):
    given = ["/srv/a"] if value.endswith("/srv/a") else value
    assert value not in settings(render()).get(key, [])
    assert settings(render(**{name: given}))[key] == [value]


def test_no_limit_is_set_unless_asked_for():
    assert not {"MemoryMax", "CPUQuota"} & settings(render()).keys()


def test_the_life_of_a_process_is_what_comfyui_needs():
    unit = settings(render())
    assert unit["KillSignal"] == ["SIGINT"]
    assert (unit["Restart"], unit["RestartSec"], unit["RestartPreventExitStatus"]) == (["on-failure"], ["5"], ["2"])


@pytest.mark.parametrize("root, home", [("/workspace", "yes"), ("/home/user/workspace", "read-only"), ("/homes", "yes")])
def test_homes_are_hidden_unless_the_installation_is_in_one(root, home):
    assert settings(render(comfyui_instances_root=root))["ProtectHome"] == [home]


@pytest.mark.skipif(not _can_analyze(), reason="no systemd-analyze here that reads units without running them")
@pytest.mark.parametrize("mock", [True, False])
def test_systemd_understands_every_line(tmp_path, mock):
    (tmp_path / "comfyui@gpu0.service").write_text(render(__comfyui_instances_mock=mock))
    command = ["systemd-analyze", "security", "--no-pager", "--offline=true", str(tmp_path / "comfyui@gpu0.service")]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert "Overall exposure level" in done.stdout
    assert done.stderr == ""
