# GNU General Public License v3.0+ (see https://www.gnu.org/licenses/gpl-3.0.txt)

"""The proof of what serves, run as a person runs it, on the ComfyUI stand-in."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from unit.fixtures.fake_systemd import FakeSystemd
from unit.fixtures.standin import standin

CHECKOUT = Path(__file__).parents[3]
PLAY = """\
- hosts: localhost
  connection: local
  gather_facts: false
  tasks:
    - ansible.builtin.import_role: {name: emprops.comfyui.comfyui_instances, tasks_from: prove}
"""
ROW = {"version": "", "commit": "a" * 40, "node_types": ["A", "B"], "missing": [], "shadowed": [], "error": None, "silent": False}


@pytest.fixture(name="prove", scope="module")
def fixture_prove(tmp_path_factory):
    """Run it on one instance in health; returns the lines that it shows."""
    place = tmp_path_factory.mktemp("machine")
    (place / "play.yml").write_text(PLAY)
    (place / "ansible.cfg").write_text("")
    with standin(place / "ComfyUI") as running:
        FakeSystemd(place / "systemd").unit("comfyui@gpu0.service", running.log, MainPID=running.pid)
        options = {"comfyui_instances_mock_gpus": 1, "comfyui_instances_base_port": running.port}

        def prove(root):
            environment = os.environ | {
                "PATH": f"{place}/systemd:{os.environ['PATH']}",
                "ANSIBLE_COLLECTIONS_PATH": str(CHECKOUT / ".ansible/collections"),
                "ANSIBLE_CONFIG": str(place / "ansible.cfg"),
                "ANSIBLE_HOME": str(place / "home"),
                "ANSIBLE_STDOUT_CALLBACK": "ansible.builtin.default",
                "ANSIBLE_CALLBACK_RESULT_FORMAT": "yaml",
            }
            variables = json.dumps({**options, "comfyui_instances_root": str(root), "ansible_python_interpreter": sys.executable})
            command = [Path(sys.executable).with_name("ansible-playbook"), "play.yml", "-i", "localhost,", "-e", variables]
            done = subprocess.run(command, cwd=place, env=environment, capture_output=True, text=True, check=False)
            assert done.returncode == 0 and "changed=0" in done.stdout, done.stdout + done.stderr
            shown = done.stdout.partition("Show them]")[2].partition("\nTASK")[0].partition("msg: |-\n")[2]
            return [line.strip() for line in shown.splitlines() if line.strip()]

        yield prove


def test_the_instances_and_the_packs_are_shown_the_slowest_pack_first(prove, tmp_path):
    packs = [{**ROW, "name": "quick", "import_seconds": 0.1}, {**ROW, "name": "slow", "import_seconds": 9.5}]
    (tmp_path / "state").mkdir()
    (tmp_path / "state/packs.json").write_text(json.dumps({"release": "r1", "packs": packs}))
    lines = prove(tmp_path)
    assert [line.split()[0] for line in lines] == ["GPU", "0", "pack", "slow", "quick"]
    assert lines[3].split() == ["slow", "a" * 12, "9.5", "2"]


def test_where_nothing_is_written_down_of_packs_the_instances_are_shown_alone(prove, tmp_path):
    assert [line.split()[0] for line in prove(tmp_path)] == ["GPU", "0"]
