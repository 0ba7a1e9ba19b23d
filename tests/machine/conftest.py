# GNU General Public License v3.0+ (see https://www.gnu.org/licenses/gpl-3.0.txt)

"""A converged sandbox machine to use and to hurt. Run by molecule; SANDBOX_NAME says which machine."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import time
import urllib.error
import urllib.request
from dataclasses import dataclass
from pathlib import Path

import pytest
import testinfra

CHECKOUT = Path(__file__).parents[2]
NAME = os.environ.get("SANDBOX_NAME", "demo")
CONTAINER = f"emprops-sandbox-{NAME}"
PACKS = "http://outside.test/git"


@dataclass(frozen=True)
class Outcome:
    """How a run of Ansible ended."""

    code: int
    output: str

    @property
    def plain(self) -> str:
        """The output without the line breaks, indentation and colours that a terminal gets (molecule asks for them)."""
        return " ".join(re.sub(r"\x1b\[[0-9;]*m", "", self.output).split())

    @property
    def changed(self) -> int:
        return sum(int(part.split()[0]) for part in self.output.split("changed=")[1:])


def ansible_command(*arguments: str, **variables: object) -> list[str]:
    ansible = [str(Path(sys.executable).parent / "ansible-playbook"), "-i", "inventories/sandbox", *arguments]
    return [*ansible, "--extra-vars", json.dumps(variables)]


def play(*arguments: str, **variables: object) -> Outcome:
    """Run a playbook (site.yml unless named) with these variables."""
    playbook = () if any(argument.endswith(".yml") for argument in arguments) else ("site.yml",)
    done = subprocess.run(
        ansible_command(*playbook, *arguments, **variables), cwd=CHECKOUT, capture_output=True, text=True, timeout=900, check=False
    )
    return Outcome(done.returncode, done.stdout + done.stderr)


@pytest.fixture(scope="session")
def sandbox():
    return json.loads((CHECKOUT / ".sandbox" / NAME / "sandbox.json").read_text(encoding="utf-8"))


@pytest.fixture(scope="session")
def machine():
    return testinfra.get_host(f"docker://{CONTAINER}")


@dataclass(frozen=True)
class Serving:
    """What can be told from outside about what serves: a second look must give the same."""

    release: str
    pids: tuple[str, ...]


class World:
    """The machine as its users see it."""

    def __init__(self, machine, ports):
        self.machine = machine
        self.ports = ports

    def get(self, port, path):
        with urllib.request.urlopen(f"http://127.0.0.1:{port}{path}", timeout=5) as answer:
            return json.load(answer)

    def answers(self, port):
        try:
            return "system" in self.get(port, "/system_stats")
        except (OSError, ValueError, urllib.error.URLError):
            return False

    def wait(self, ports=None, seconds=90):
        """Wait until all of the ports answer; a bound, not a measure."""
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            if all(self.answers(port) for port in ports or self.ports):
                return True
            time.sleep(0.5)
        return False

    def pid(self, unit):
        return self.machine.check_output("systemctl show --property=MainPID --value %s", unit)

    def serving(self):
        release = self.machine.check_output("readlink /workspace/current")
        return Serving(release, tuple(self.pid(f"comfyui@gpu{index}") for index in range(len(self.ports))))


@pytest.fixture(scope="session")
def world(machine, sandbox):
    return World(machine, sandbox["ports"])


@pytest.fixture
def serves_again(world):
    """The same for tests that switch to something broken: the instances were started anew, of the release from before."""
    assert world.wait()
    before = world.serving()
    yield before
    assert world.wait(seconds=60), "the instances do not answer any more"
    assert world.serving().release == before.release


@pytest.fixture
def still_serves(world):
    """Whatever the test does: the instances answer before it, and the very same processes of the same release after it."""
    assert world.wait()
    before = world.serving()
    yield before
    assert world.wait(seconds=60), "the instances do not answer any more"
    assert world.serving() == before
