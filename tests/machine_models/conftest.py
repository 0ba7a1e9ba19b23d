# GNU General Public License v3.0+ (see https://www.gnu.org/licenses/gpl-3.0.txt)

"""A sandbox machine whose store was filled by the scenario models, and the hub outside it. Run by molecule."""

from __future__ import annotations

import hashlib
import json
import subprocess
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest
from machine import conftest
from machine.conftest import CHECKOUT, CONTAINER, NAME, Outcome, ansible_command, play
from support.sandbox.outside import Model

machine, sandbox, world = conftest.machine, conftest.sandbox, conftest.world

STORE = "/workspace/shared/models"
STATE = "/workspace/state"
OUTSIDE = CHECKOUT / ".sandbox" / NAME / "outside"
GIVEN = ("playbooks/models.yml", "--extra-vars", "@molecule/models/vars/store.yml")
BOTH = ("-i", "molecule/models/inventory")
ONE = (*BOTH, "--limit", "sandbox")


def bring(*arguments: str, machines: tuple[str, ...] = ONE, **variables: object) -> Outcome:
    return play(*GIVEN, *machines, *arguments, **variables)


def begin(**variables: object) -> subprocess.Popen:
    """The same, while the test goes on."""
    command = ansible_command(*GIVEN, *ONE, **variables)
    return subprocess.Popen(command, cwd=CHECKOUT, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)


def end(run: subprocess.Popen) -> Outcome:
    output, _errors = run.communicate(timeout=120)
    return Outcome(run.returncode, output)


def wait_for(what: Callable[[], object], seconds: float = 60) -> object:
    """A bound, not a measure."""
    deadline = time.monotonic() + seconds
    while not (found := what()):
        assert time.monotonic() < deadline, f"waited {seconds} seconds for {what}"
        time.sleep(0.2)
    return found


@dataclass(frozen=True)
class Offered:
    """A file that the hub has for this test alone."""

    path: str
    name: str
    size: int
    sha256: str

    def entry(self, directory: str = "checkpoints", host: str = "outside.test") -> dict:
        return {"name": self.name, "directory": directory, "url": f"http://{host}:8100{self.path}", "sha256": self.sha256}


class HubOutside:
    """The hub, which runs in a container and shares a folder with us."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def offer(self, name: str, megabytes: float) -> Offered:
        """A sparse .safetensors file of its own digest."""
        length = int(megabytes * 1024**2) // 4 * 4
        tensor = {"dtype": "F32", "shape": [length // 4], "data_offsets": [0, length]}
        header = json.dumps({"__metadata__": {"name": name}, "weight": tensor}).encode()
        path = self.folder / "hub/tests" / name
        path.parent.mkdir(exist_ok=True)
        with path.open("wb") as file:
            file.write(len(header).to_bytes(8, "little") + header)
            file.truncate(8 + len(header) + length)
        with path.open("rb") as file:
            digest = hashlib.sha256()
            while block := file.read(1024**2):
                digest.update(block)
        return Offered(f"/files/tests/{name}", name, path.stat().st_size, digest.hexdigest())

    def set(self, **settings: object) -> None:
        path = self.folder / "hub/hub.json"
        path.with_suffix(".new").write_text(json.dumps({"faults": {}, **settings}), encoding="utf-8")
        path.with_suffix(".new").replace(path)
        time.sleep(0.5)  # it looks every fifth of a second

    def sent(self, path: str) -> int:
        time.sleep(0.5)
        return json.loads((self.folder / "hub_sent.json").read_text(encoding="utf-8")).get(path, 0)


@pytest.fixture
def hub():
    outside = HubOutside(OUTSIDE)
    outside.set()
    yield outside
    outside.set()


class Store:
    """The store on the machine."""

    def __init__(self, machine) -> None:
        self.machine = machine

    def has(self, label: str) -> bool:
        return self.machine.file(f"{STORE}/{label}").exists

    def sha256(self, label: str) -> str:
        return self.machine.file(f"{STORE}/{label}").sha256sum

    def put(self, label: str) -> str:
        """A sound model of somebody's, whose digest is returned."""
        content = Model(label.rpartition("/")[2], "", 1024).content()
        script = 'install -D --mode=644 --owner=comfyui --group=comfyui /dev/stdin "$0"'
        subprocess.run(["docker", "exec", "-i", CONTAINER, "bash", "-c", script, f"{STORE}/{label}"], input=content, check=True)
        return hashlib.sha256(content).hexdigest()

    def index(self, state: str = STATE) -> dict:
        return json.loads(self.machine.file(f"{state}/models.json").content_string)["files"]

    def progress(self) -> dict:
        return json.loads(self.machine.file(f"{STATE}/models.progress.json").content_string)

    def hidden(self, folder: str) -> list[str]:
        """Names that a dead download, or a claim, has left."""
        return self.machine.check_output("find %s -maxdepth 1 -name '.*' -printf '%%f\\n'", f"{STORE}/{folder}").splitlines()


@pytest.fixture
def store(machine):
    return Store(machine)
