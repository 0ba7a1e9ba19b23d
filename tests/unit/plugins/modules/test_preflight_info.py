# GNU General Public License v3.0+ (see https://www.gnu.org/licenses/gpl-3.0.txt)

"""The module runs as a program, on the machine that runs the tests."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

COLLECTIONS = Path(__file__).parents[4] / ".ansible/collections"
MODULE = "ansible_collections.emprops.comfyui.plugins.modules.preflight_info"


@pytest.fixture(name="root")
def fixture_root():
    """A folder outside /tmp, where no installation may be."""
    with tempfile.TemporaryDirectory(dir="/var/tmp") as folder:
        yield Path(folder, "workspace")


@pytest.fixture(name="preflight")
def fixture_preflight(root):
    def preflight(**options):
        given = {
            "controller_version": "2.19.14",
            "supported_os": ["ubuntu 24.04"],
            "root": str(root),
            "disk_gib": 0,
            "deployed_disk_gib": 0,
            "memory_gib": 0,
            "base_port": 8188,
            "mock_gpus": 1,
            **options,
        }
        done = subprocess.run(
            [sys.executable, "-m", MODULE],
            input=json.dumps({"ANSIBLE_MODULE_ARGS": given}),
            env={**os.environ, "PYTHONPATH": str(COLLECTIONS)},
            capture_output=True,
            text=True,
            check=False,
        )
        return json.loads(done.stdout)

    return preflight


def _found_by(result, check):
    return [problem["message"] for problem in result["problems"] if problem["check"] == check]


def test_a_stranger_on_the_port_is_named_and_lives(preflight):
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
        messages = _found_by(preflight(base_port=port), "ports")
        assert len(messages) == 1
        assert messages[0].startswith(f"port {port} is held by ")
        assert f"pid {os.getpid()}" in messages[0]
        socket.create_connection(("127.0.0.1", port)).close()


def test_problems_are_told_and_never_a_failure(preflight):
    result = preflight(root="/", expected_gpus=2, memory_gib=1000000)
    assert not result["changed"]
    assert "failed" not in result
    assert {"inventory", "gpus", "memory"} <= {problem["check"] for problem in result["problems"]}
    assert "disk" not in result["checks"]
    assert all(problem["message"] in result["report"] and problem["fix"] in result["report"] for problem in result["problems"])


def test_servers_are_asked_only_while_no_release_is_active(preflight, root):
    urls = {"preflight_urls": [str(root / "no-such-repository")]}
    assert _found_by(preflight(urls=urls), "servers") != []
    assert "servers" not in preflight(urls=urls, reach="never")["checks"]

    root.mkdir()
    (root / "current").symlink_to("releases/1")
    assert "servers" not in preflight(urls=urls)["checks"]
    assert _found_by(preflight(urls=urls, reach="always"), "servers") != []


def test_a_machine_without_nvidia_smi_is_told_so(preflight, monkeypatch, tmp_path):
    monkeypatch.setenv("PATH", str(tmp_path))
    messages = _found_by(preflight(mock_gpus=0), "gpus")
    assert len(messages) == 1
    assert "nvidia-smi" in messages[0]


def test_nothing_is_written(preflight, root):
    preflight()
    assert list(root.parent.iterdir()) == []


def test_an_option_that_is_missing_is_a_failure(preflight):
    result = preflight(reach="sometimes")
    assert result["failed"]
    assert "reach" in result["msg"]
