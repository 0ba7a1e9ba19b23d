# GNU General Public License v3.0+ (see https://www.gnu.org/licenses/gpl-3.0.txt)

"""The role, run as a person runs it, against a web server on this computer."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from ansible_collections.emprops.comfyui.plugins.module_utils._registry import load_registry
from unit.fixtures.scripted_server import scripted_server

CHECKOUT = Path(__file__).parents[3]
BOATS = "https://github.com/maker/boats"
FILES = {
    "GET /main/extension-node-map.json": {BOATS: [["Boat"], {}]},
    "GET /main/custom-node-list.json": {"custom_nodes": [{"title": "Boats", "files": [BOATS], "install_type": "git-clone"}]},
    "GET /main/model-list.json": {"models": [{"filename": "a.pth", "save_path": "vae", "url": "https://example.com/a.pth"}]},
    "GET /main/github-stats.json": {BOATS: {"stars": 7, "last_update": "2026-02-03 04:05:06"}},
}


@pytest.fixture(name="play")
def fixture_play(tmp_path):
    """Run the playbook for two machines that nobody can reach: what happens, happens on the controller."""
    (tmp_path / "play.yml").write_text(
        "- hosts: fleet\n  gather_facts: false\n  become: true\n  become_user: nobody\n  roles: [emprops.comfyui.node_registry]\n"
    )
    (tmp_path / "ansible.cfg").write_text("")
    inventory = {"fleet": {"hosts": {"one.invalid": {}, "two.invalid": {}}}}
    (tmp_path / "hosts.json").write_text(json.dumps(inventory))

    def play(**variables):
        (tmp_path / "variables.json").write_text(json.dumps({f"node_registry_{name}": value for name, value in variables.items()}))
        environment = {name: value for name, value in os.environ.items() if not name.lower().endswith("_proxy")}
        environment |= {
            "ANSIBLE_COLLECTIONS_PATH": str(CHECKOUT / ".ansible/collections"),
            "ANSIBLE_CONFIG": str(tmp_path / "ansible.cfg"),
            "ANSIBLE_HOME": str(tmp_path / "home"),
            "XDG_CACHE_HOME": str(tmp_path / "xdg"),
        }
        command = [Path(sys.executable).with_name("ansible-playbook"), "play.yml", "-i", "hosts.json", "-e", "@variables.json"]
        done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False)
        return done.returncode, re.sub(r"\s+", " ", done.stdout + done.stderr)

    return play


def test_the_controller_has_the_files_once_for_all_machines_and_a_second_run_asks_nobody(play, tmp_path):
    with scripted_server(dict(FILES)) as server:
        code, said = play(base_url=f"{server.url}/main", minimum_bytes=10)
        assert (code, "changed=1" in said, len(server.seen)) == (0, True, 4), said
        code, said = play(base_url=f"{server.url}/main", minimum_bytes=10)
        assert (code, "changed=0" in said, len(server.seen)) == (0, True, 4), said
    registry = load_registry("auto", tmp_path / "xdg/emprops.comfyui/registry", tmp_path / "index")
    assert (registry.origin.kind, registry.exact("Boat")[0].stars) == ("cache", 7)


def test_a_server_that_is_away_warns_or_fails_as_the_inventory_says(play, tmp_path):
    with scripted_server(dict(FILES)) as server:
        url = f"{server.url}/main"
    code, said = play(base_url=url)
    assert code == 0 and "There is no registry, and none can be downloaded" in said, said
    code, said = play(base_url=url, required=True)
    assert code == 2 and "there is no registry, and none can be downloaded" in said, said
