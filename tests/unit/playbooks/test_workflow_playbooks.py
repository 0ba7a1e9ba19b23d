# GNU General Public License v3.0+ (see https://www.gnu.org/licenses/gpl-3.0.txt)

"""The playbooks as a person runs them: by relative paths, from a folder of their own."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

CHECKOUT = Path(__file__).parents[3]
URL = "https://huggingface.co/some/repo/resolve/main/a.safetensors"
LORA = {
    "type": "LoraLoader",
    "widgets_values": ["a.safetensors", 1, 1],
    "properties": {"models": [{"name": "a.safetensors", "url": URL, "directory": "loras"}]},
}
WORKFLOWS = {
    "core": [LORA],
    "needs a pack": [LORA, {"type": "NobodyKnowsThis"}],
    "hostile": [{"type": "Nobody{{ 1 + 1 }}"}],
}
HAS_THE_MODEL = {
    "LoraLoader": {"python_module": "nodes", "input": {"required": {"lora_name": [["a.safetensors"], {}]}}},
}


@pytest.fixture(name="here")
def fixture_here(tmp_path):
    (tmp_path / "ansible.cfg").write_text("")
    (tmp_path / "flows").mkdir()
    for name, nodes in WORKFLOWS.items():
        nodes = [{"id": number, "mode": 0, "inputs": [], **node} for number, node in enumerate(nodes, start=1)]
        (tmp_path / f"flows/{name}.json").write_text(json.dumps({"nodes": nodes, "links": [], "version": 0.4}))
    (tmp_path / "flows/broken.json").write_text("{")
    (tmp_path / "object_info.json").write_text(json.dumps(HAS_THE_MODEL))
    return tmp_path


def play(name, here, *arguments, **variables):
    """Run a playbook on the folder's workflows; what it said, with its exit status."""
    program = Path(sys.executable).with_name("ansible-playbook")
    given = {"workflow_paths": "flows", f"workflow_{'report' if 'report' in name else 'catalogue'}_registry": "none", **variables}
    command = [program, CHECKOUT / "playbooks" / name, "-e", json.dumps(given), *arguments]
    environment = {
        **os.environ,
        "ANSIBLE_COLLECTIONS_PATH": str(CHECKOUT / ".ansible/collections"),
        "ANSIBLE_CONFIG": str(here / "ansible.cfg"),
        "ANSIBLE_HOME": str(here / "home"),
        "ANSIBLE_CALLBACK_RESULT_FORMAT": "yaml",
        "ANSIBLE_LOCALHOST_WARNING": "false",
        "ANSIBLE_INVENTORY_UNPARSED_WARNING": "false",
    }
    return subprocess.run(command, cwd=here, env=environment, capture_output=True, text=True)


def test_the_report_says_what_runs_and_what_is_missing(here):
    done = play("workflow_report.yml", here, workflow_report_object_info="object_info.json", workflow_report_json="report.json")
    assert done.returncode == 0, done.stdout
    assert "(runs here: 1, does not run: 2, unreadable: 1)" in done.stdout
    assert "class  NobodyKnowsThis" in done.stdout
    # What a stranger wrote is shown and never evaluated.
    assert "class  Nobody{{ 1 + 1 }}" in done.stdout
    report = json.loads((here / "report.json").read_text())
    assert {Path(one["file"]).name: one["runnable"] for one in report["workflows"]} == {
        "broken.json": False,
        "core.json": True,
        "hostile.json": False,
        "needs a pack.json": False,
    }
    assert report["models"][0]["url"] == URL


def test_a_strict_report_fails_until_all_is_accepted(here):
    for name in ("broken.json", "hostile.json"):
        (here / "flows" / name).unlink()
    strict = play("workflow_report.yml", here, workflow_report_strict="true")
    assert strict.returncode == 2
    assert "NobodyKnowsThis: " in strict.stdout
    accepted = {"accepted": [{"name": "NobodyKnowsThis", "note": "it is on its way"}]}
    assert play("workflow_report.yml", here, workflow_report_strict="true", workflow_report_catalogue=accepted).returncode == 0


def test_a_catalogue_is_written_once(here):
    file = here / "catalogue.yml"
    looked = play("write_catalogue.yml", here, "--check", "--diff", workflow_catalogue_file="catalogue.yml")
    assert looked.returncode == 0, looked.stdout
    assert not file.exists()
    assert "+    - name: a.safetensors" in looked.stdout

    for changed in ("changed=1", "changed=0"):
        done = play("write_catalogue.yml", here, workflow_catalogue_file="catalogue.yml")
        assert done.returncode == 0 and changed in done.stdout
        assert "DECIDE: which pack has the class NobodyKnowsThis?" in done.stdout
    rows = yaml.safe_load(file.read_text())["comfyui_catalogue"]
    assert rows == {"custom_nodes": None, "models": [{"name": "a.safetensors", "directory": "loras", "url": URL}], "accepted": None}


def test_a_file_with_other_variables_is_left_alone(here):
    (here / "all.yml").write_text("secret_variable: 1\n")
    done = play("write_catalogue.yml", here, workflow_catalogue_file="all.yml")
    assert done.returncode == 2
    assert "it holds secret_variable" in done.stdout + done.stderr
    assert (here / "all.yml").read_text() == "secret_variable: 1\n"
