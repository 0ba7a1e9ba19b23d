# GNU General Public License v3.0+ (see https://www.gnu.org/licenses/gpl-3.0.txt)
"""The image of a bare machine, built by debootstrap from this computer's own apt source and trusting what it trusts."""

from __future__ import annotations

import ast
import fcntl
import hashlib
import json
import os
import re
import shutil
import sys
from dataclasses import dataclass
from pathlib import Path

from .commands import STATE, SUPPORT, SandboxError, run, say, succeeds

MACHINE = "emprops-sandbox-machine"
OUTSIDE = "emprops-sandbox-outside"
# What a rented machine has before anyone touches it; no git, no pip, no curl.
PACKAGES = "systemd,systemd-sysv,dbus,openssh-server,sudo,python3,ca-certificates,iproute2,procps"
POCKETS = ("", "-updates", "-security", "-backports", "/updates")
APT_SETTINGS = re.compile(r"Acquire::(https?::|Check-|Retries|Languages|IndexTargets::.*::DefaultEnabled)")
PROXY_VARIABLES = ("http_proxy", "https_proxy", "no_proxy", "HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY")
BUNDLE = "/etc/ssl/certs/ca-certificates.crt"
CERTIFICATE = re.compile(r"-----BEGIN CERTIFICATE-----.+?-----END CERTIFICATE-----", re.DOTALL)


@dataclass(frozen=True)
class Source:
    """One apt source."""

    uris: tuple
    suites: tuple
    components: tuple
    signed_by: str = ""


@dataclass(frozen=True)
class Inputs:
    """Everything that decides what the image holds."""

    codename: str
    sources: tuple
    apt_settings: str
    authorities: tuple
    pip: str
    uv: str
    environment: str

    def digest(self):
        recipe = [Path(__file__).read_text(), PACKAGES, repr(self)]
        return hashlib.sha256(json.dumps(recipe).encode()).hexdigest()[:12]


def parse_deb822(text):
    sources = []
    for stanza in re.split(r"\n\s*\n", text):
        fields, name = {}, ""
        for line in stanza.splitlines():
            if line.startswith("#"):
                continue
            if line[:1] in (" ", "\t"):
                fields[name] = fields.get(name, "") + "\n" + line
            elif ":" in line:
                name, _, value = line.partition(":")
                name = name.strip().lower()
                fields[name] = value.strip()
        if "deb" in fields.get("types", "").split() and fields.get("enabled", "yes").lower() != "no":
            words = (tuple(fields.get(key, "").split()) for key in ("uris", "suites", "components"))
            sources.append(Source(*words, fields.get("signed-by", "")))
    return sources


def parse_one_line(text):
    sources = []
    for line in text.splitlines():
        match = re.match(r"\s*deb\s+(?:\[(?P<options>[^\]]*)\]\s+)?(?P<uri>\S+)\s+(?P<suite>\S+)(?P<components>[^#]*)", line)
        if match:
            options = dict(option.partition("=")[::2] for option in (match["options"] or "").split())
            sources.append(Source((match["uri"],), (match["suite"],), tuple(match["components"].split()), options.get("signed-by", "")))
    return sources


def read_sources(apt=Path("/etc/apt")):
    sources = []
    for path in [apt / "sources.list", *sorted((apt / "sources.list.d").glob("*"))]:
        if path.suffix == ".sources":
            sources += parse_deb822(path.read_text())
        elif path.suffix == ".list" and path.exists():
            sources += parse_one_line(path.read_text())
    return sources


def usable_sources(sources, codename):
    """The distribution's own sources that a container can reach; a stranger's repository is not part of a bare machine."""
    suites_of_ours = {codename + pocket for pocket in POCKETS}
    usable = []
    for source in sources:
        uris = tuple(uri for given in source.uris for uri in _reachable(given))
        suites = tuple(suite for suite in source.suites if suite.rstrip("/") in suites_of_ours)
        if uris and suites and "main" in source.components:
            usable.append(Source(uris, suites, source.components, source.signed_by))
    if not any(codename in source.suites for source in usable):
        raise SandboxError(f"no apt source of this computer offers {codename} over the network; add one to /etc/apt/sources.list.d")
    return tuple(usable)


def _reachable(uri):
    if uri.startswith("mirror+file:"):
        # Hosted CI machines name their mirrors in a file of their own.
        mirrors = Path(uri.removeprefix("mirror+file:"))
        return [line.split()[0] for line in mirrors.read_text().splitlines() if line.startswith("http")] if mirrors.exists() else []
    return [uri] if uri.startswith(("http://", "https://")) else []


def render_sources(sources):
    def stanza(source):
        lines = [
            "Types: deb",
            f"URIs: {' '.join(source.uris)}",
            f"Suites: {' '.join(source.suites)}",
            f"Components: {' '.join(source.components)}",
        ]
        return "\n".join([*lines, f"Signed-By: {source.signed_by}"] if source.signed_by else lines) + "\n"

    return "\n".join(stanza(source) for source in sources)


def apt_settings(dump):
    """Proxy, trust and what to fetch, out of `apt-config dump`; no hooks, and no program or file this computer alone has."""
    kept = []
    for line in dump.splitlines():
        setting = line.split(" ", 1)[0]
        if APT_SETTINGS.match(setting) and not re.search(r"CAInfo|CAPath|Auto-?Detect|SslCert|SslKey", setting, re.IGNORECASE):
            kept.append(line)
    return "".join(line + "\n" for line in kept)


def pip_settings(listing):
    """pip's own index and proxy settings, out of `pip config list`, as (pip.conf, uv.toml); file paths stay behind."""
    values = {}
    for line in listing.splitlines():
        name, _, value = line.partition("=")
        key = name.removeprefix(":env:.").split(".")[-1]
        if key in ("index-url", "extra-index-url", "proxy", "trusted-host"):
            words = [word for word in str(ast.literal_eval(value)).split() if "://" not in word or word.startswith("http")]
            if words:
                values[key] = words
    pip = ["[global]", f"cert = {BUNDLE}", *(f"{key} = {' '.join(words)}" for key, words in sorted(values.items()))]
    uv = [f"[[index]]\nurl = {json.dumps(url)}\n" for url in values.get("extra-index-url", [])]
    uv += [f"[[index]]\nurl = {json.dumps(url)}\ndefault = true\n" for url in values.get("index-url", [])]
    return "\n".join(pip) + "\n", "\n".join(uv)


def read_inputs():
    release = dict(line.partition("=")[::2] for line in Path("/etc/os-release").read_text().splitlines() if "=" in line)
    codename = (release.get("VERSION_CODENAME") or release.get("UBUNTU_CODENAME", "")).strip('"')
    if not codename:
        raise SandboxError("/etc/os-release names no VERSION_CODENAME; the sandbox needs Debian or Ubuntu")
    bundle = Path(os.environ.get("SSL_CERT_FILE", BUNDLE))
    proxies = [f"{name}={os.environ[name]}" for name in PROXY_VARIABLES if os.environ.get(name)]
    settings = apt_settings(run("apt-config", "dump"))
    for scheme in ("http", "https"):
        if f"{scheme}_proxy" in os.environ and f"Acquire::{scheme}::Proxy" not in settings:
            settings += f'Acquire::{scheme}::Proxy "{os.environ[f"{scheme}_proxy"]}";\n'
    pip, uv = pip_settings(run(sys.executable, "-m", "pip", "config", "list"))
    return Inputs(
        codename=codename,
        sources=usable_sources(read_sources(), codename),
        apt_settings=settings,
        authorities=tuple(CERTIFICATE.findall(bundle.read_text())) if bundle.exists() else (),
        pip=pip,
        uv=uv,
        # uv and Python's requests bring authorities of their own unless told.
        environment="".join(line + "\n" for line in [f"SSL_CERT_FILE={BUNDLE}", f"REQUESTS_CA_BUNDLE={BUNDLE}", *proxies]),
    )


def exists(tag):
    return succeeds("docker", "image", "inspect", tag)


def build_machine(inputs):
    """The tag of the machine's image, built when no image has these inputs."""
    tag = f"{MACHINE}:{inputs.digest()}"
    if exists(tag):
        return tag
    STATE.mkdir(exist_ok=True)
    with (STATE / "build.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not exists(tag):
            _build_machine(tag, inputs)
    return tag


def _build_machine(tag, inputs):
    say(f"building {tag} from this computer's apt source ({inputs.codename}); a minute or two")
    build = STATE / "build"
    rootfs = build / "rootfs"
    remove_build(build)
    rootfs.mkdir(parents=True)
    try:
        run(*_debootstrap(inputs, rootfs))
        furnish(rootfs, inputs)
        run("tar", "--numeric-owner", "-C", rootfs, "-cf", build / "rootfs.tar", ".")
        run("docker", "import", "--change", 'CMD ["/sbin/init"]', build / "rootfs.tar", tag)
    finally:
        remove_build(build)


def remove_build(build):
    """An interrupted debootstrap leaves /proc mounted in there."""
    mounts = [line.split()[1] for line in Path("/proc/mounts").read_text().splitlines()]
    for mount in sorted((path for path in mounts if path.startswith(f"{build}/")), reverse=True):
        run("umount", mount)
    if build.exists():
        shutil.rmtree(build)


def _debootstrap(inputs, rootfs):
    base = next(source for source in inputs.sources if inputs.codename in source.suites)
    command = ["debootstrap", "--variant=minbase", f"--include={PACKAGES}", f"--components={','.join(base.components)}"]
    if base.signed_by.startswith("/"):
        command.append(f"--keyring={base.signed_by}")
    scripts = Path("/usr/share/debootstrap/scripts")
    family = "gutsy" if (scripts / "gutsy").exists() and "ubuntu" in Path("/etc/os-release").read_text().lower() else "sid"
    # A debootstrap older than the release does not know its name, but the family's script fits.
    script = [] if (scripts / inputs.codename).exists() else [scripts / family]
    return [*command, inputs.codename, rootfs, base.uris[0], *script]


def furnish(rootfs, inputs):
    """What turns a minimal system into the machine a provider hands out."""

    def put(path, text, mode=0o644):
        target = rootfs / path
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(text)
        target.chmod(mode)

    inner = set(CERTIFICATE.findall((rootfs / BUNDLE.lstrip("/")).read_text()))
    for certificate in inputs.authorities:
        if certificate not in inner:
            name = hashlib.sha256(certificate.encode()).hexdigest()[:16]
            put(f"usr/local/share/ca-certificates/{name}.crt", certificate + "\n")
    (rootfs / "etc/apt/sources.list").unlink(missing_ok=True)
    put("etc/apt/sources.list.d/machine.sources", render_sources(inputs.sources))
    for source in inputs.sources:
        if source.signed_by.startswith("/") and not (rootfs / source.signed_by.lstrip("/")).exists():
            put(source.signed_by.lstrip("/"), "")
            shutil.copyfile(source.signed_by, rootfs / source.signed_by.lstrip("/"))
    put("etc/apt/apt.conf.d/90machine", inputs.apt_settings)
    put("etc/pip.conf", inputs.pip)
    if inputs.uv:
        put("etc/uv/uv.toml", inputs.uv)
    put("etc/environment", inputs.environment)
    names = " ".join(line.partition("=")[0] for line in inputs.environment.splitlines())
    put("etc/sudoers.d/ubuntu", f'ubuntu ALL=(ALL) NOPASSWD:ALL\nDefaults env_keep += "{names}"\n', 0o440)
    put("etc/ssh/sshd_config.d/sandbox.conf", "PasswordAuthentication no\nPermitRootLogin no\n")
    put(
        "etc/systemd/system/ssh-host-keys.service",
        "[Unit]\nDescription=Host keys of this machine's own\nBefore=ssh.service ssh.socket\n"
        "[Service]\nType=oneshot\nExecStart=/usr/bin/ssh-keygen -A\n[Install]\nWantedBy=multi-user.target\n",
    )
    for key in (rootfs / "etc/ssh").glob("ssh_host_*"):
        key.unlink()
    (rootfs / "var/log/journal").mkdir(exist_ok=True)
    shutil.rmtree(rootfs / "var/cache/apt/archives", ignore_errors=True)

    def inside(*argv):
        run("chroot", rootfs, *argv, env={"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "LC_ALL": "C"})

    inside("update-ca-certificates")
    inside("useradd", "--create-home", "--shell", "/bin/bash", "ubuntu")
    inside("systemctl", "enable", "ssh-host-keys.service")
    # Terminals that a container lacks, and timers that would hold apt's lock when a play wants it.
    inside("systemctl", "mask", "getty.target", "systemd-udevd.service", "apt-daily.timer", "apt-daily-upgrade.timer")


def build_outside(machine_tag):
    """The outside world's image: the machine's plus git and a signed apt repository."""
    recipe = SUPPORT / "outside" / "image"
    inputs = [machine_tag, *(f"{path.name}\n{path.read_text()}" for path in sorted(recipe.rglob("*")) if path.is_file())]
    tag = f"{OUTSIDE}:{hashlib.sha256(json.dumps(inputs).encode()).hexdigest()[:12]}"
    if not exists(tag):
        say(f"building {tag}")
        run("docker", "build", "--quiet", "--build-arg", f"MACHINE={machine_tag}", "--tag", tag, recipe)
    return tag


def remove_images():
    """Ours that no container uses; the others stay for the sandbox that runs on them."""
    for name in (OUTSIDE, MACHINE):
        for tag in run("docker", "images", "--format", "{{.Repository}}:{{.Tag}}", name).split():
            succeeds("docker", "rmi", tag)
