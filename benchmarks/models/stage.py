# GNU General Public License v3.0+ (see https://www.gnu.org/licenses/gpl-3.0.txt)

"""Where the benchmarks take place: namespaces of their own, a memory disk, a certificate, nginx, and files to serve.

    /mnt            a tmpfs that nobody else sees
    ├── www/        what nginx serves, at / and, as a hub does with a redirect, at /bench/models/resolve/main/
    ├── to/         where the tools put what they bring; emptied before each run
    ├── home/       HOME of the tools
    └── ca.pem      what signed nginx's certificate

All of it is gone with the last process, whatever ends it.
"""

from __future__ import annotations

import ctypes
import hashlib
import json
import os
import shutil
import signal
import socket
import ssl
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

import relay

HERE = Path(__file__).resolve().parent
MOUNT = Path("/mnt")
WWW, TARGET, HOME, CA = MOUNT / "www", MOUNT / "to", MOUNT / "home", MOUNT / "ca.pem"
REPOSITORY = "bench/models"
COMMIT = "c0ffee" * 6 + "c0ff"
PORT, STORAGE = 8443, 8444  # the hub sends its clients on to another origin
MIB = 1024**2

_CLONE_NEWNS, _CLONE_NEWPID, _CLONE_NEWNET = 0x00020000, 0x20000000, 0x40000000
_PR_SET_PDEATHSIG = 1

_NGINX = """
daemon off;
user root;
worker_processes {workers};
pid {folder}/nginx.pid;
error_log stderr crit;
events {{ worker_connections 1024; }}
http {{
    access_log off;
    sendfile on;
    tcp_nopush on;
    output_buffers 2 256k;
    keepalive_requests 100000;
    default_type application/octet-stream;
    client_body_temp_path {folder}/body;
    proxy_temp_path {folder}/proxy;
    fastcgi_temp_path {folder}/fastcgi;
    uwsgi_temp_path {folder}/uwsgi;
    scgi_temp_path {folder}/scgi;
    map $uri $linked_etag {{ {etags} }}
    map $uri $linked_size {{ {sizes} }}
    ssl_certificate {certificate};
    ssl_certificate_key {key};
    ssl_protocols TLSv1.2 TLSv1.3;
    root {www};
    server {{ listen {address}:{storage} ssl; }}
    server {{
        listen {address}:{port} ssl;
        location ~ ^/{repository}/resolve/[^/]+/(?<file>[^/]+)$ {{
            add_header X-Repo-Commit {commit} always;
            add_header X-Linked-Etag $linked_etag always;
            add_header X-Linked-Size $linked_size always;
            add_header Accept-Ranges bytes always;
            return 302 https://{address}:{storage}/$file;
        }}
    }}
}}
"""


@dataclass(frozen=True)
class Served:
    """One file of the server."""

    name: str
    size: int
    sha256: str


def need(programs: dict[str, str]) -> None:
    """End with the command that helps, unless these programs (by their package) are there and root is who asks."""
    missing = sorted({package for program, package in programs.items() if not shutil.which(program)})
    if missing:
        sys.exit(f"missing: apt-get install --no-install-recommends {' '.join(missing)}")
    if os.geteuid():
        sys.exit("namespaces and memory disks take root")
    if not (HERE.parents[1] / ".ansible/collections").is_dir():
        sys.exit("run `make setup` first")


def enclose() -> None:
    """Go on in namespaces of our own, as their first process; the one that was called waits."""
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.unshare(_CLONE_NEWNS | _CLONE_NEWPID | _CLONE_NEWNET):
        raise OSError(ctypes.get_errno(), "unshare")
    child = os.fork()
    if child:
        signal.signal(signal.SIGINT, signal.SIG_IGN)  # the child gets it too, and says so
        sys.exit(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
    libc.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    signal.signal(signal.SIGINT, lambda *_: sys.exit("interrupted"))
    for command in ("mount --make-rprivate /", "mount -t proc proc /proc", "ip link set lo up"):
        subprocess.run(command.split(), check=True)


def mount_memory(gib: int) -> None:
    subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={gib}g", "benchmark", str(MOUNT)], check=True)
    for folder in (WWW, TARGET, HOME):
        folder.mkdir()


def environment() -> dict[str, str]:
    """What every tool gets: none of this computer's proxies and tokens, and trust in our certificate."""
    kept = {name: value for name, value in os.environ.items() if name in ("PATH", "LANG", "LC_ALL")}
    return {**kept, "HOME": str(HOME), "TMPDIR": str(HOME), "SSL_CERT_FILE": str(CA), "REQUESTS_CA_BUNDLE": str(CA)}


def make_certificate() -> None:
    """A throw-away certificate for the servers' addresses, its own authority."""
    names = ",".join(f"IP:{address}" for address in ("127.0.0.1", relay.FAR))
    command = ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2"]
    command += ["-subj", "/CN=benchmark", "-addext", f"subjectAltName={names}", "-keyout", str(MOUNT / "key.pem"), "-out", str(CA)]
    subprocess.run(command, check=True, capture_output=True)


def make_model(name: str, size: int, folder: Path = WWW) -> Served:
    """A safetensors file of random bytes."""
    path, digest = folder / name, hashlib.sha256()
    with path.open("wb", buffering=0) as file:

        def write(data: bytes) -> None:
            digest.update(data)
            file.write(data)

        write(head := safetensors_head(size))
        left = size - len(head)
        while left:
            left -= len(block := os.urandom(min(MIB, left)))
            write(block)
    return Served(name, size, digest.hexdigest())


def safetensors_head(size: int) -> bytes:
    """The beginning of a file of one tensor, which is all the rest; always 128 bytes."""
    count = size - 128
    header = json.dumps({"bytes": {"dtype": "U8", "shape": [count], "data_offsets": [0, count]}}).encode().ljust(120)
    return len(header).to_bytes(8, "little") + header


def start_nginx(files: list[Served], *, far: tuple[float, float] | None = None) -> str:
    """Serve the files, and say where: on loopback, or at the far side of a link with (a delay each way, bytes a second and connection)."""
    address = relay.FAR if far else "127.0.0.1"
    folder = MOUNT / f"nginx-{'far' if far else 'near'}"
    folder.mkdir()
    etags, sizes = (
        " ".join(f'/{REPOSITORY}/resolve/main/{file.name} "{value(file)}";' for file in files)
        for value in (lambda file: f'\\"{file.sha256}\\"', lambda file: file.size)
    )
    text = _NGINX.format(
        workers=len(os.sched_getaffinity(0)),
        folder=folder,
        etags=etags,
        sizes=sizes,
        address=address,
        port=PORT,
        storage=STORAGE,
        certificate=CA,
        key=MOUNT / "key.pem",
        www=WWW,
        repository=REPOSITORY,
        commit=COMMIT,
    )
    configuration = folder / "nginx.conf"
    configuration.write_text(text)
    command = ["nginx", "-p", str(folder), "-c", str(configuration)]
    if far:
        delay, rate = far
        command = [sys.executable, str(HERE / "relay.py"), "--delay", str(delay), "--rate", str(rate), "--", *command]
    server = subprocess.Popen(command)
    context = ssl.create_default_context(cafile=str(CA))
    for _try in range(100):
        if server.poll() is not None:
            sys.exit("nginx did not start")
        try:
            with socket.create_connection((address, PORT), 1) as plain, context.wrap_socket(plain, server_hostname=address):
                return f"https://{address}:{PORT}"
        except OSError:
            time.sleep(0.1)
    sys.exit("nginx does not answer")
