# GNU General Public License v3.0+ (see https://www.gnu.org/licenses/gpl-3.0.txt)

"""The machine's own sshd on a free port of the loopback, with host keys and a user key of its own in a private folder."""

from __future__ import annotations

import contextlib
import getpass
import os
import shutil
import signal
import socket
import subprocess
import tempfile
from pathlib import Path

PROGRAM = shutil.which("sshd", path=f"{os.environ.get('PATH', '')}:/usr/sbin:/usr/local/sbin")


class Sshd:
    """A running sshd: `key_file` opens it, `known_hosts_file` knows it, `allow` says what the key may do."""

    def __init__(self) -> None:
        self.user = getpass.getuser()

    def __enter__(self) -> Sshd:
        self._scratch = tempfile.TemporaryDirectory(prefix="sshd-")
        self.folder = Path(self._scratch.name)
        self.key_file = self.make_key("key")
        self.known_hosts_file = self.folder / "known_hosts"
        self._authorized = self.folder / "authorized_keys"
        self.allow()
        host_key = self.make_key("host_key")
        self.port = _free_port()
        self.know(host_key)
        options = {
            "AuthorizedKeysFile": self._authorized,
            "HostKey": host_key,
            "ListenAddress": "127.0.0.1",
            "PasswordAuthentication": "no",
            "PermitRootLogin": "prohibit-password",
            "PidFile": "none",
            "Port": self.port,
            "StrictModes": "no",
            "UsePAM": "no",
        }
        (self.folder / "config").write_text("".join(f"{name} {value}\n" for name, value in options.items()), encoding="utf-8")
        # sshd wants this folder for the part of it that has no rights; where the service is not set up it is missing.
        with contextlib.suppress(OSError):
            Path("/run/sshd").mkdir(mode=0o755, exist_ok=True)
        self._process = subprocess.Popen(
            [str(PROGRAM), "-D", "-e", "-f", str(self.folder / "config")],
            stdin=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            start_new_session=True,
        )
        assert self._process.stderr
        for line in self._process.stderr:
            if b"Server listening" in line:
                return self
        self.__exit__()
        raise RuntimeError("sshd did not start")

    def __exit__(self, *_exception: object) -> None:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self._process.pid, signal.SIGKILL)
        self._process.communicate()
        self._scratch.cleanup()

    def allow(self, options: str = "") -> None:
        """What may be done with the key: anything, or as the options in front of it say."""
        public = self.key_file.with_suffix(".pub").read_text(encoding="utf-8")
        self._authorized.write_text(f"{options} {public}".lstrip(), encoding="utf-8")

    def know(self, host_key: Path) -> None:
        public = host_key.with_suffix(".pub").read_text(encoding="utf-8")
        self.known_hosts_file.write_text(f"[127.0.0.1]:{self.port} {public}", encoding="utf-8")

    def make_key(self, name: str) -> Path:
        path = self.folder / name
        subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", "test", "-f", str(path)], check=True)
        return path


def _free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]
