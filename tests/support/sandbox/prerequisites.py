# GNU General Public License v3.0+ (see https://www.gnu.org/licenses/gpl-3.0.txt)
"""What this computer lacks for the sandbox, all of it at once, each with the command that fixes it.

Runs before there is a virtual environment, so only the standard library and old syntax.
"""

from __future__ import annotations

import argparse
import importlib.util
import os
import shutil
import socket
import sys
from dataclasses import dataclass, field
from pathlib import Path

from .commands import SandboxError, run, say, succeeds

GIB = 1024**3
# What apt can bring when it is missing: program or file to look for → package.
TOOLS = {
    "docker": "docker.io",
    "debootstrap": "debootstrap",
    "git": "git",
    "ssh-keygen": "openssh-client",
}


@dataclass(frozen=True)
class Host:
    """What was found on this computer."""

    root: bool
    apt: bool
    python: tuple
    venv: bool
    tools: frozenset = frozenset()
    docker_answers: bool = False
    free_gib: dict = field(default_factory=dict)
    ports_taken: tuple = ()


def look(ports=(), folders=()):
    return Host(
        root=os.geteuid() == 0,
        apt=shutil.which("apt-get") is not None,
        python=sys.version_info[:2],
        venv=importlib.util.find_spec("ensurepip") is not None,
        tools=frozenset(tool for tool in [*TOOLS, "dockerd"] if shutil.which(tool)),
        docker_answers=succeeds("docker", "info") if shutil.which("docker") else False,
        free_gib={str(folder): shutil.disk_usage(_existing(Path(folder))).free / GIB for folder in folders},
        ports_taken=tuple(port for port in ports if _is_taken(port)),
    )


def _existing(folder):
    while not folder.exists():
        folder = folder.parent
    return folder


def _is_taken(port):
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return True
    return False


def wanted_packages(host, sandbox=True):
    """The packages apt has to bring."""
    packages = [] if host.venv else ["python3-venv"]
    if sandbox:
        # A client alone is of no use, whoever brought it; the package brings the engine.
        engine = host.docker_answers or "dockerd" in host.tools
        present = (host.tools - {"docker"}) | ({"docker"} if engine else set())
        packages += [package for tool, package in TOOLS.items() if tool not in present]
    return sorted(packages)


def problems(host, sandbox=True, needed_gib=10):
    """Pairs of what is wrong and what fixes it; packages are a problem only where we cannot install them ourselves."""
    found = []
    if host.python < (3, 11):
        found.append(
            (
                f"Python {'.'.join(map(str, host.python))} is too old for the pinned ansible-core; 3.11 or newer is needed",
                "apt-get install python3.11 python3.11-venv && make PYTHON=python3.11 demo",
            )
        )
    packages = wanted_packages(host, sandbox)
    if packages and not (host.root and host.apt):
        found.append((f"missing: {', '.join(packages)}", f"sudo apt-get install {' '.join(packages)}"))
    if not sandbox:
        return found
    if not host.root:
        found.append(("building the machine's image and running systemd in a container take root", "sudo make demo"))
    if not host.apt:
        found.append(("the machine's image is built from this computer's own apt source, and there is no apt-get", "use Debian or Ubuntu"))
    for folder, free in host.free_gib.items():
        if free < needed_gib:
            found.append((f"{folder} has {free:.1f} GiB free, {needed_gib} GiB are needed", "docker system prune, or free space there"))
    for port in host.ports_taken:
        found.append((f"port {port} of 127.0.0.1 is taken", f"see who holds it: ss -ltnp 'sport = :{port}'"))
    return found


def require(host, sandbox=True, needed_gib=10):
    """Name everything that is wrong; when only packages are missing and we may, install them."""
    found = problems(host, sandbox, needed_gib)
    if found:
        raise SandboxError("this computer is not ready:\n" + "\n".join(f"  - {what}\n      fix: {fix}" for what, fix in found))
    packages = wanted_packages(host, sandbox)
    if packages:
        say(f"installing {', '.join(packages)} with apt-get")
        env = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
        run("apt-get", "update", "-q", env=env)
        run("apt-get", "install", "-q", "-y", *packages, env=env)


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.parse_args()
    try:
        require(look(), sandbox=False)
    except SandboxError as error:
        sys.exit(f"sandbox: {error}")


if __name__ == "__main__":
    main()
