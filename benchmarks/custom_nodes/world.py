# GNU General Public License v3.0+ (see https://www.gnu.org/licenses/gpl-3.0.txt)

"""Where it takes place: repositories of sixty packs and a ComfyUI, a git server that counts, and a home without caches for each turn."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from http.server import ThreadingHTTPServer
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
COLLECTIONS = ROOT / ".ansible/collections"
sys.path[:0] = [str(ROOT / "tests"), str(COLLECTIONS)]

from ansible_collections.emprops.comfyui.plugins.module_utils._command import machine_environment, package_index_environment  # noqa: E402
from support import many_packs  # noqa: E402
from support.outside import server  # noqa: E402
from support.sandbox import outside  # noqa: E402

FORK = "ComfyUI"
MOVES = 7  # the pack that moves


class Handler(server.Handler):
    asked = 0

    def log_request(self, *_: Any) -> None:
        type(self).asked += 1


class Server(ThreadingHTTPServer):
    request_queue_size = 128  # nobody waits for a second because sixteen came at once


@dataclass(frozen=True)
class World:
    repositories: Path
    base: str
    entries: Sequence[Mapping[str, Any]]

    @property
    def fork(self) -> str:
        return f"{self.base}/{FORK}.git"

    @property
    def moving(self) -> str:
        return many_packs.name_of(MOVES)

    def asked(self) -> int:
        """How many requests the server has answered."""
        return Handler.asked

    def move(self) -> None:
        many_packs.advance(self.repositories / f"{self.moving}.git")


@contextmanager
def far_away(port: int, seconds: float) -> Iterator[int]:
    """The port under which another one seems to be so far away."""
    if not seconds:
        yield port
        return
    command = [sys.executable, str(ROOT / "benchmarks/custom_nodes/delay.py"), "--to", f"127.0.0.1:{port}", "--seconds", str(seconds)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as relay:
        try:
            assert relay.stdout, "the relay has no output"  # noqa: S101
            yield int(relay.stdout.readline())
        finally:
            relay.terminate()


@contextmanager
def served(folder: Path, count: int, seconds: float) -> Iterator[World]:
    repositories = folder / "git"
    repositories.mkdir()
    httpd = Server(("127.0.0.1", 0), partial(Handler, outside=folder, www=folder))
    with far_away(httpd.server_address[1], seconds) as port:
        yield from _serve(httpd, port, folder, count)


def _serve(httpd: Server, port: int, folder: Path, count: int) -> Iterator[World]:
    repositories, base = folder / "git", f"http://127.0.0.1:{port}/git"
    entries = many_packs.make(repositories, base, count)
    outside.seed(repositories / f"{FORK}.git", ROOT / "tests/support/comfyui")
    thread = threading.Thread(target=httpd.serve_forever)
    thread.start()
    try:
        yield World(repositories, base, entries)
    finally:
        httpd.shutdown()
        thread.join()
        httpd.server_close()


@dataclass(frozen=True)
class Place:
    """One contender's folder: nothing is in it, and its caches go there too."""

    root: Path
    world: World

    @property
    def home(self) -> Path:
        return self.root / "home"

    @property
    def accounts(self) -> Path:
        """What account.py writes, a line for each module."""
        return self.root / "accounts"

    def environment(self) -> dict[str, str]:
        """This machine's package index, proxies and certificates, and nothing of this account's."""
        machine = machine_environment()
        return {
            **machine,
            **{name: value for name, value in os.environ.items() if name.startswith("PIP_")},
            **package_index_environment(),
            "no_proxy": f"127.0.0.1,{machine.get('no_proxy', '')}",
            "HOME": str(self.home),
            "TMPDIR": str(self.home),
            "GIT_TERMINAL_PROMPT": "0",
        }
