# GNU General Public License v3.0+ (see https://www.gnu.org/licenses/gpl-3.0.txt)
"""python3 -m support.sandbox ready | up | status | where | down, with tests/ on PYTHONPATH."""

from __future__ import annotations

import argparse
import json
import os
import sys

from . import containers, prerequisites
from .commands import STATE, SandboxError, say, succeeds


def ready(_options):
    prerequisites.require(prerequisites.look(folders=_folders()))
    containers.start_docker()


def up(options):
    sandbox = containers.Sandbox(options.name)
    running = succeeds("docker", "container", "inspect", sandbox.machine)
    wanted_ports = range(options.port_base, options.port_base + options.ports)
    # What runs already holds its ports and has its space.
    host = prerequisites.look() if running else prerequisites.look(tuple(wanted_ports), _folders())
    prerequisites.require(host, needed_gib=25 if options.comfyui_source else 10)
    containers.start_docker()
    containers.up(sandbox, options.port_base, options.ports, options.comfyui_source, options.comfyui_version)
    say(f"{sandbox.machine} is up, its ports are {', '.join(f'127.0.0.1:{port}' for port in wanted_ports)}")


def down(options):
    sandbox = containers.Sandbox(options.name)
    if not succeeds("docker", "info"):
        if not sandbox.folder.exists():
            say(f"{options.name} is not up")
            return
        # Its containers and volumes outlive the engine.
        containers.start_docker()
    containers.down(sandbox)
    if options.everything:
        containers.clean_up()


def _folders():
    return ("/var/lib/docker", STATE)


def _facts(options):
    facts = containers.Sandbox(options.name).folder / "sandbox.json"
    if not facts.exists():
        raise SandboxError(f"{options.name} is not up")
    return json.loads(facts.read_text())


def status(options):
    print(json.dumps(_facts(options), indent=2))


def where(options):
    facts = _facts(options)
    machine = containers.Sandbox(options.name).machine
    outside = STATE / options.name / "outside"
    print("Where to look next:")
    for gpu, port in enumerate(facts["ports"]):
        print(f"  GPU {gpu}       http://127.0.0.1:{port}")
    print(f"  machine     docker exec -it {machine} bash; then: systemctl status 'comfyui@*', ls /workspace")
    print(f"  journal     docker exec {machine} journalctl -fu 'comfyui@*'")
    print(f"  its world   {outside}/git and {outside}/private: push there, then update")
    print("  the end     make demo-down")


def main():
    parser = argparse.ArgumentParser(prog="python3 -m support.sandbox", description="A machine to try the collection on.")
    verbs = parser.add_subparsers(required=True, metavar="ready|up|status|where|down")
    meanings = {
        ready: "check and install what a sandbox needs",
        up: "build and start what is missing",
        status: "print what the inventory reads",
        where: "print where to look next",
        down: "remove it",
    }
    for verb, meaning in meanings.items():
        command = verbs.add_parser(verb.__name__, help=meaning)
        command.add_argument("--name", default="demo", help="several can be up at once, under different names (default: demo)")
        command.set_defaults(run=verb)
    commands = verbs.choices
    commands["up"].add_argument("--port-base", type=int, default=8188, help="where port 8188 of the machine appears on 127.0.0.1")
    commands["up"].add_argument("--ports", type=int, default=2, help="how many ports, one per GPU")
    commands["up"].add_argument("--comfyui-source", default=os.environ.get("COMFYUI_SOURCE", ""), help="URL or path of a fork to deploy")
    commands["up"].add_argument("--comfyui-version", default=os.environ.get("COMFYUI_VERSION", ""), help="branch, tag or commit of it")
    commands["down"].add_argument("--everything", action="store_true", help="also images, and the dockerd that was started for it")
    options = parser.parse_args()
    try:
        options.run(options)
    except SandboxError as error:
        sys.exit(f"sandbox: {error}")


if __name__ == "__main__":
    main()
