# GNU General Public License v3.0+ (see https://www.gnu.org/licenses/gpl-3.0.txt)
"""The machine and its outside world as containers running systemd, with a network and volumes of their own."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import re
import shutil
import signal
import socket
import subprocess
import time
from dataclasses import dataclass
from pathlib import Path

from . import image, outside
from .commands import STATE, SUPPORT, SandboxError, run, say, succeeds

LABEL = "emprops.sandbox"
SYSTEMD = [
    *("--stop-signal", "SIGRTMIN+3"),
    *("--cap-add", "SYS_ADMIN", "--cap-add", "NET_ADMIN", "--cap-add", "SYS_PTRACE", "--cap-add", "MKNOD"),
    *("--security-opt", "seccomp=unconfined", "--security-opt", "apparmor=unconfined"),
    *("--tmpfs", "/run:exec", "--tmpfs", "/run/lock", "--tmpfs", "/tmp:exec"),
    *("--volume", "/sys/fs/cgroup:/sys/fs/cgroup:rw", "--cgroupns", "host"),
]


@dataclass(frozen=True)
class Sandbox:
    """The names that belong to one sandbox."""

    name: str

    def __post_init__(self):
        if not re.fullmatch(r"[a-z][a-z0-9-]{0,30}", self.name):
            raise SandboxError(f"{self.name!r} is no name for a sandbox: small letters, digits and dashes")

    @property
    def folder(self):
        return STATE / self.name

    @property
    def machine(self):
        return f"emprops-sandbox-{self.name}"

    @property
    def outside(self):
        return f"{self.machine}-outside"

    @property
    def volumes(self):
        return {f"{self.machine}-docker": "/var/lib/docker", f"{self.machine}-workspace": "/workspace"}


def up(sandbox, port_base, ports, comfyui_source="", comfyui_version=""):
    """Bring both containers up; what already runs is left alone."""
    _refuse_a_strangers(sandbox)
    sandbox.folder.mkdir(parents=True, exist_ok=True)
    fork, version = outside.prepare(sandbox.folder / "outside", comfyui_source)
    if not succeeds("docker", "network", "inspect", sandbox.machine):
        run("docker", "network", "create", "--label", LABEL, sandbox.machine)
    # A machine that exists keeps its image, whatever this computer's apt source says by now.
    machine_image = _inspect(sandbox.machine, "{{.Config.Image}}") or image.build_machine(image.read_inputs())
    _start_outside(sandbox, image.build_outside(machine_image))
    _start_machine(sandbox, machine_image, port_base, ports)
    ssh_port = int(run("docker", "port", sandbox.machine, "22/tcp").splitlines()[0].rsplit(":", 1)[1])
    _write_known_hosts(sandbox, ssh_port)
    _write_facts(sandbox, ssh_port, port_base, ports, fork, comfyui_version or version)


def _inspect(container, template):
    """What the template says of a container, empty when there is no such container."""
    found = subprocess.run(["docker", "container", "inspect", "--format", template, container], capture_output=True, text=True)
    return found.stdout.strip() if found.returncode == 0 else ""


def _refuse_a_strangers(sandbox):
    """Names are shared by all checkouts on this computer."""
    for container in (sandbox.machine, sandbox.outside):
        folder = _inspect(container, f'{{{{index .Config.Labels "{LABEL}"}}}}')
        if folder and folder != str(sandbox.folder):
            raise SandboxError(f"{container} belongs to {folder}; end it there, or choose another name")


def _start(sandbox, container, *argv):
    if succeeds("docker", "container", "inspect", container):
        run("docker", "start", container)
    else:
        say(f"starting {container}")
        try:
            run("docker", "run", "--detach", "--name", container, "--label", f"{LABEL}={sandbox.folder}", *SYSTEMD, *argv)
        except SandboxError:
            succeeds("docker", "rm", "--force", container)  # what could not start would stay, half made
            raise
    wait_for_systemd(container)


def wait_for_systemd(container, seconds=120):
    deadline = time.monotonic() + seconds
    while True:
        answer = subprocess.run(["docker", "exec", container, "systemctl", "is-system-running"], capture_output=True, text=True)
        if answer.stdout.strip() == "running":
            return
        if answer.stdout.strip() == "degraded":
            failed = run("docker", "exec", container, "systemctl", "list-units", "--failed", "--plain", "--no-legend")
            say(f"{container} is up, but these units failed:\n{failed}")
            return
        if time.monotonic() > deadline:
            raise SandboxError(f"{container} is not up after {seconds} s; look at: docker exec {container} systemctl list-jobs")
        time.sleep(0.5)


def _start_outside(sandbox, tag):
    """It holds no state, so new code or a new image simply replaces it."""
    code = hashlib.sha256()
    for path in [SUPPORT / "hub.py", *sorted((SUPPORT / "outside").glob("*.py"))]:
        code.update(path.read_bytes() if path.exists() else b"")
    digest = f"{tag} {code.hexdigest()[:12]}"
    found = _inspect(sandbox.outside, f'{{{{index .Config.Labels "{LABEL}.code"}}}}')
    if found and found != digest:
        run("docker", "rm", "--force", "--volumes", sandbox.outside)
    folder = sandbox.folder / "outside"
    mounts = ["--volume", f"{folder}:/srv/outside", "--volume", f"{SUPPORT}:/opt/support:ro"]
    names = ["--hostname", "outside", "--network", sandbox.machine, "--network-alias", outside.HOST]
    _start(sandbox, sandbox.outside, "--label", f"{LABEL}.code={digest}", *names, *mounts, tag)
    deploy_key = (folder / "deploy_key.pub").read_text()
    run("docker", "exec", "--interactive", sandbox.outside, "tee", "/etc/ssh/authorized_keys", stdin=deploy_key)


def _start_machine(sandbox, tag, port_base, ports):
    outside.make_key(sandbox.folder / "id_ed25519", f"sandbox-{sandbox.name}")
    published = [word for port in range(ports) for word in ("--publish", f"127.0.0.1:{port_base + port}:{8188 + port}")]
    volumes = [word for name, path in sandbox.volumes.items() for word in ("--volume", f"{name}:{path}")]
    # A port chosen by Docker would be another one after a restart.
    ssh = ["--publish", f"127.0.0.1:{_free_port()}:22"]
    _start(sandbox, sandbox.machine, "--hostname", sandbox.name, "--network", sandbox.machine, *ssh, *published, *volumes, tag)
    key = (sandbox.folder / "id_ed25519.pub").read_text()
    script = "install -d -m 700 -o ubuntu -g ubuntu ~ubuntu/.ssh && cat > ~ubuntu/.ssh/authorized_keys && chown ubuntu: ~ubuntu/.ssh/*"
    run("docker", "exec", "--interactive", sandbox.machine, "bash", "-c", script, stdin=key)


def _free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def _write_known_hosts(sandbox, ssh_port):
    """The machine's keys are read inside it, so the first connection trusts nobody blindly."""
    keys = run("docker", "exec", sandbox.machine, "bash", "-c", "cat /etc/ssh/ssh_host_*_key.pub").splitlines()
    lines = [f"[127.0.0.1]:{ssh_port} {' '.join(key.split()[:2])}\n" for key in keys]
    _write(sandbox.folder / "known_hosts", "".join(lines))


def _write_facts(sandbox, ssh_port, port_base, ports, fork, version):
    folder = sandbox.folder / "outside"
    host_key = " ".join((folder / "ssh_host_ed25519_key.pub").read_text().split()[:2])
    facts = {
        "name": sandbox.name,
        "ssh_port": ssh_port,
        "ssh_key_file": str(sandbox.folder / "id_ed25519"),
        "known_hosts_file": str(sandbox.folder / "known_hosts"),
        "ports": [port_base + port for port in range(ports)],
        "comfyui_repository": fork,
        "comfyui_version": version,
        "deploy_key_file": str(folder / "deploy_key"),
        "token_file": str(folder / "token"),
        "toolkit_key_sha256": run("docker", "exec", sandbox.outside, "sha256sum", "/srv/www/apt/gpgkey").split()[0],
        "outside_host_key": f"{outside.HOST} {host_key}",
    }
    _write(sandbox.folder / "sandbox.json", json.dumps(facts, indent=2) + "\n")


def _write(path, text):
    """Another process may be reading the old one."""
    fresh = path.with_name(path.name + ".new")
    fresh.write_text(text)
    fresh.replace(path)


def down(sandbox):
    """Remove the sandbox's containers, network, volumes and folder."""
    _refuse_a_strangers(sandbox)
    for container in (sandbox.machine, sandbox.outside):
        if succeeds("docker", "container", "inspect", container):
            run("docker", "rm", "--force", "--volumes", container)
    for volume in sandbox.volumes:
        if succeeds("docker", "volume", "inspect", volume):
            run("docker", "volume", "rm", volume)
    if succeeds("docker", "network", "inspect", sandbox.machine):
        run("docker", "network", "rm", sandbox.machine)
    if sandbox.folder.exists():
        shutil.rmtree(sandbox.folder)


def clean_up():
    """What this checkout's sandboxes shared, once none is left: images, a dockerd that we started, and the folder."""
    image.remove_images()
    folders = run("docker", "ps", "--all", "--filter", f"label={LABEL}", "--format", f'{{{{.Label "{LABEL}"}}}}').split()
    if any(Path(folder).parent == STATE for folder in folders):
        say("other sandboxes of this checkout are still there; what they use stays")
    elif stop_docker() and STATE.exists():
        image.remove_build(STATE / "build")
        shutil.rmtree(STATE)


def start_docker():
    """Start dockerd when none answers."""
    if succeeds("docker", "info"):
        return
    STATE.mkdir(exist_ok=True)
    log = STATE / "dockerd.log"
    say(f"no dockerd answers; starting one, its log is {log}")
    with log.open("ab") as output:
        daemon = subprocess.Popen(["dockerd"], stdin=subprocess.DEVNULL, stdout=output, stderr=output, start_new_session=True)
    (STATE / "dockerd.pid").write_text(str(daemon.pid))
    for _ in range(120):
        if succeeds("docker", "info"):
            return
        if daemon.poll() is not None:
            break
        time.sleep(0.5)
    raise SandboxError("dockerd did not come up; the end of its log:\n" + "\n".join(log.read_text(errors="replace").splitlines()[-10:]))


def stop_docker():
    """End the dockerd that we started; False when it has to stay, because somebody else's container runs on it."""
    pid_file = STATE / "dockerd.pid"
    if not pid_file.exists():
        return True
    process = Path(f"/proc/{pid_file.read_text()}")
    if not process.exists() or (process / "comm").read_text().strip() != "dockerd":
        return True
    if run("docker", "ps", "--quiet").split():
        say("containers of others run on the dockerd that was started here; it stays")
        return False
    os.kill(int(process.name), signal.SIGTERM)
    while process.exists() and not _is_zombie(process):
        time.sleep(0.2)
    return True


def _is_zombie(process):
    """Ended, but not yet collected by whoever became its parent."""
    with contextlib.suppress(OSError):
        return (process / "stat").read_text().rsplit(")", 1)[1].split()[0] == "Z"
    return True
