# GNU General Public License v3.0+ (see https://www.gnu.org/licenses/gpl-3.0.txt)

"""Who is compared, and what each does to bring packs and Python packages to a ComfyUI: from nothing, again, after one pack moved."""

from __future__ import annotations

import json
import re
import shlex
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from measure import Command
from world import COLLECTIONS, ROOT, Place

COMFY_CLI = "comfy-cli==1.23.0"
HERE = Path(__file__).resolve().parent
# comfy-cli works in a checkout of a ComfyUI that it knows by its address. Nobody asks there.
KNOWN = "https://github.com/comfyanonymous/ComfyUI.git"


@dataclass(frozen=True)
class Contender:
    """What is not measured: `before`, which brings a ComfyUI, an empty environment and the installer. `after` is measured apart."""

    name: str
    before: Callable[[Place], list[Command]]
    first: Callable[[Place], list[Command]]
    again: Callable[[Place], list[Command]]
    moved: Callable[[Place], list[Command]]
    comfyui: Callable[[Place], Path]
    python: Callable[[Place], Path]
    after: Callable[[Place], list[Command]] = lambda _place: []


def install_comfy_cli(cache: Path) -> Path:
    """The program, in an environment of its own."""
    venv = cache / COMFY_CLI.replace("==", "-")
    stamp = venv / ".installed"
    if not stamp.exists():
        subprocess.run([sys.executable, "-m", "venv", "--clear", str(venv)], check=True)
        subprocess.run([str(venv / "bin/pip"), "install", "--quiet", COMFY_CLI], check=True)
        stamp.touch()
    return venv / "bin/comfy"


def contenders(cache: Path) -> dict[str, Contender]:
    comfy = install_comfy_cli(cache)
    return {
        "ours": Contender(
            "ours: custom_nodes",
            lambda place: [ansible(place, [opened(place)])],
            lambda place: [ansible(place, [packs(place)])],
            lambda place: [ansible(place, [packs(place)])],
            lambda place: [ansible(place, [packs(place, update=[place.world.moving])])],
            lambda place: place.root / "workspace/candidate/ComfyUI",
            lambda place: place.root / "workspace/candidate/venv/bin/python",
            after=lambda place: [ansible(place, [sealed(place)])],
        ),
        "loop": Contender(
            "ansible.builtin.git and pip in loops",
            lambda place: [ansible(place, loop(place)[:2])],
            lambda place: [ansible(place, loop(place)[2:])],
            lambda place: [ansible(place, loop(place)[2:])],
            lambda place: [ansible(place, loop(place)[2:])],
            lambda place: place.root / "ComfyUI",
            lambda place: place.root / "venv/bin/python",
        ),
        "comfy-cli": Contender(
            f"git clone, {COMFY_CLI.replace('==', ' ')} dependency",
            lambda place: [Command([str(comfy), "--skip-prompt", "tracking", "disable"]), *comfy_install(place)],
            lambda place: [*comfy_clones(place), resolve(place, comfy)],
            lambda place: [resolve(place, comfy)],
            lambda place: [_git("-C", place.root / "ComfyUI/custom_nodes" / place.world.moving, "pull"), resolve(place, comfy)],
            lambda place: place.root / "ComfyUI",
            lambda place: place.root / "ComfyUI/.venv/bin/python",
        ),
    }


# --- ours --------------------------------------------------------------------------------------------------------


def opened(place: Place) -> dict[str, Any]:
    """As the role comfyui_fork does it."""
    defaults = (ROOT / "roles/comfyui_fork/defaults/main.yml").read_text()
    uv_version = re.search(r"(?m)^comfyui_fork_uv_version: (\S+)$", defaults)
    assert uv_version, "roles/comfyui_fork names no version of uv"  # noqa: S101
    python = {"uv_version": uv_version[1]}
    wanted = {"state": "opened", "repository": place.world.fork, "version": "main", "python": python, "git": {"protocols": ["http"]}}
    return {"emprops.comfyui.release": {"root": str(place.root / "workspace"), **wanted}}


def packs(place: Place, update: Sequence[str] = ()) -> dict[str, Any]:
    """As the role custom_nodes does it."""
    root = place.root / "workspace"
    wanted = {"packs": list(place.world.entries), "update": list(update), "env_file": str(root / "custom_nodes.env")}
    return {"emprops.comfyui.custom_nodes": {"root": str(root), "git": {"protocols": ["http"]}, **wanted}}


def sealed(place: Place) -> dict[str, Any]:
    return {"emprops.comfyui.release": {"root": str(place.root / "workspace"), "state": "sealed"}}


# --- a loop over Ansible's own modules ---------------------------------------------------------------------------


def loop(place: Place) -> list[dict[str, Any]]:
    target, venv = str(place.root / "ComfyUI"), {"virtualenv": str(place.root / "venv"), "virtualenv_command": "python3 -m venv"}
    packs = f"{target}/custom_nodes"
    return [
        {"ansible.builtin.git": {"repo": place.world.fork, "dest": target}},
        {"ansible.builtin.pip": {"name": "pip", **venv}},
        {
            "ansible.builtin.git": {"repo": "{{ item.url }}", "dest": packs + "/{{ item.name }}"},
            "loop": list(place.world.entries),
            "loop_control": {"label": "{{ item.name }}"},
        },
        {"ansible.builtin.find": {"paths": packs, "patterns": "requirements.txt", "recurse": True, "depth": 2}, "register": "found"},
        {"ansible.builtin.pip": {"requirements": f"{target}/requirements.txt", **venv}},
        {
            "ansible.builtin.pip": {"requirements": "{{ item }}", **venv},
            "loop": "{{ found.files | map(attribute='path') | sort }}",
        },
    ]


def ansible(place: Place, tasks: Sequence[Mapping[str, Any]]) -> Command:
    """ansible-playbook on this machine, without anybody's ansible.cfg; what the modules cost goes to `place.accounts`."""
    playbook, configuration, python = (place.root / name for name in ("play.yml", "ansible.cfg", "python"))
    playbook.write_text(json.dumps([{"hosts": "localhost", "gather_facts": False, "tasks": list(tasks)}]))
    configuration.write_text("[defaults]\nlocalhost_warning = false\n[connection]\npipelining = true\n")
    words = [sys.executable, "-S", "-E", str(HERE / "account.py"), str(place.accounts), sys.executable]
    python.write_text(f'#!/bin/sh\nexec {shlex.join(words)} "$@"\n')
    python.chmod(0o755)
    variables = [f"ANSIBLE_CONFIG={configuration}", f"ANSIBLE_COLLECTIONS_PATH={COLLECTIONS}"]
    command = [str(ROOT / ".venv/bin/ansible-playbook"), "--inventory", "localhost,", "--connection", "local"]
    return Command(["env", *variables, *command, "--extra-vars", json.dumps({"ansible_python_interpreter": str(python)}), str(playbook)])


# --- comfy-cli ---------------------------------------------------------------------------------------------------


def comfy_install(place: Place) -> list[Command]:
    """What `comfy install --fast-deps` does before packages are resolved; no ComfyUI-Manager."""
    target = place.root / "ComfyUI"
    return [
        _git("clone", place.world.fork, target),
        _git("-C", target, "remote", "set-url", "origin", KNOWN),
        Command(["python3", "-m", "venv", str(target / ".venv")]),
        Command([str(target / ".venv/bin/python"), "-m", "pip", "install", "--upgrade", "pip", "uv"]),
    ]


def comfy_clones(place: Place) -> list[Command]:
    """What `comfy node install --fast-deps` does before packages are resolved."""
    folder = place.root / "ComfyUI/custom_nodes"
    return [_git("clone", "--recursive", entry["url"], folder / entry["name"]) for entry in place.world.entries]


def resolve(place: Place, comfy: Path) -> Command:
    """`comfy dependency`: DependencyCompiler.compile_deps and install_deps, for ComfyUI and all of custom_nodes."""
    target = str(place.root / "ComfyUI")
    return Command(["env", f"--chdir={target}", str(comfy), "--skip-prompt", "--workspace", target, "dependency"])


def _git(*words: str | Path) -> Command:
    return Command(["git", *map(str, words)])
