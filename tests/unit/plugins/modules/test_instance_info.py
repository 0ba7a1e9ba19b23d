# GNU General Public License v3.0+ (see https://www.gnu.org/licenses/gpl-3.0.txt)

from __future__ import annotations

import os

import pytest
from ansible_collections.emprops.comfyui.plugins.modules import instance_info
from unit.fixtures.fake_systemd import FakeSystemd
from unit.fixtures.run_module import run_module
from unit.fixtures.standin import free_port, standin


@pytest.mark.parametrize("check_mode", [False, True])
def test_it_looks_at_every_instance_and_changes_nothing(tmp_path, monkeypatch, check_mode):
    monkeypatch.setenv("PATH", f"{tmp_path}/systemd:{os.environ['PATH']}")
    systemd = FakeSystemd(tmp_path / "systemd")
    with standin(tmp_path / "ComfyUI") as running:
        systemd.unit("comfyui@gpu0.service", running.log, MainPID=running.pid)
        systemd.unit("comfyui@gpu1.service", ActiveState="failed", SubState="failed", Result="exit-code", ExecMainStatus=2)
        answer = run_module(
            instance_info,
            check_mode,
            timeout_seconds=30,
            instances=[
                {"name": "gpu1", "unit": "comfyui@gpu1.service", "url": f"http://127.0.0.1:{free_port()}"},
                {"name": "gpu0", "unit": "comfyui@gpu0.service", "url": running.url},
            ],
        )
    assert answer["changed"] is False and answer["ready"] is False
    failed, ready = answer["instances"]
    assert (failed["name"], failed["ready"]) == ("gpu1", False)
    assert failed["reason"] == "comfyui@gpu1.service is failed (failed), result exit-code, exit status 2"
    assert (ready["name"], ready["ready"], ready["reason"], ready["failed_imports"]) == ("gpu0", True, None, [])
    assert [(listener["pid"], listener["ours"]) for listener in ready["listening"]] == [(running.pid, True)]
    assert ready["node_types"] > 5


def test_every_key_that_is_returned_is_documented(tmp_path, monkeypatch):
    import yaml

    monkeypatch.setenv("PATH", str(tmp_path))
    answer = run_module(instance_info, instances=[{"name": "gpu0", "unit": "comfyui@gpu0", "url": f"http://127.0.0.1:{free_port()}"}])
    assert set(answer["instances"][0]) == set(yaml.safe_load(instance_info.RETURN)["instances"]["contains"])


def test_an_instance_that_cannot_be_looked_at_fails_by_name():
    answer = run_module(instance_info, instances=[{"name": "gpu0", "unit": "*", "url": "http://127.0.0.1:8188"}])
    assert answer["failed"] and answer["msg"] == "gpu0: '*' is not the name of a systemd unit"
