# GNU General Public License v3.0+ (see https://www.gnu.org/licenses/gpl-3.0.txt)

"""The one place that runs programs: as which account, with which environment, for how long.

Private to this collection: it may change in any release.
"""

from __future__ import annotations

import configparser
import json
import os
import pwd
import shlex
import signal
import subprocess
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

# Bounds what a talkative program can put into memory and into a message.
OUTPUT_LIMIT = 8 * 1024 * 1024
SHOWN_LINES = 15

PROXY_NAMES = ("http_proxy", "https_proxy", "no_proxy", "all_proxy")


class CommandError(Exception):
    """A program could not be started, ended with an error or took too long."""

    def __init__(self, message: str, output: str = "") -> None:
        super().__init__(message)
        self.output = output


def account_exists(name: str | None) -> bool:
    """Whether an account is there; not so on a new machine that check mode looks at."""
    try:
        Account.named(name)
    except CommandError:
        return False
    return True


@dataclass(frozen=True)
class Account:
    """Who runs a program. Root drops to it; anyone else can only run as themselves."""

    name: str
    uid: int
    gid: int
    home: str

    @staticmethod
    def named(name: str | None) -> Account:
        """Look the account up; no name is the account this process runs as. Raises CommandError."""
        try:
            entry = pwd.getpwnam(name) if name else pwd.getpwuid(os.geteuid())
        except KeyError:
            raise CommandError(f"there is no account {name or os.geteuid()!r} on this machine") from None
        return Account(entry.pw_name, entry.pw_uid, entry.pw_gid, entry.pw_dir)


def run(
    argv: Sequence[str],
    *,
    account: Account | None = None,
    cwd: Path | str | None = None,
    env: Mapping[str, str] | None = None,
    timeout: float = 600,
    said: str | None = None,
) -> str:
    """Run a program to its end and return its standard output; `said` is what it reads.

    The environment is what the machine says (`machine_environment`) plus `env`; the caller's own is
    not inherited, so that a run over SSH and a run by hand do the same. On a time-out the whole process
    group is ended. Raises CommandError, whose text never holds the environment.
    """
    shown = shlex.join(argv[:4]) + (" …" if len(argv) > 4 else "")
    drop = account is not None and os.geteuid() == 0 and account.uid != 0
    environment = machine_environment()
    if account is not None:
        environment.update(HOME=account.home, USER=account.name, LOGNAME=account.name)
    environment.update(env or {})
    try:
        process = subprocess.Popen(
            list(argv),
            # Where a login happens to begin may be closed to the account, and may hold configuration of somebody else's.
            cwd=cwd or "/",
            env=environment,
            stdin=subprocess.DEVNULL if said is None else subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            start_new_session=True,
            umask=0o022,
            user=account.uid if drop and account else None,
            group=account.gid if drop and account else None,
            extra_groups=[] if drop else None,
        )
    except OSError as error:
        raise CommandError(f"cannot run {shown}: {error.strerror or error}") from error
    try:
        out, err = process.communicate(None if said is None else said.encode(), timeout=timeout)
    except subprocess.TimeoutExpired:
        _end_group(process)
        raise CommandError(f"{shown} did not end within {timeout:g} s") from None
    except BaseException:
        _end_group(process)
        raise
    stdout, stderr = (part[-OUTPUT_LIMIT:].decode("utf-8", "replace") for part in (out, err))
    if process.returncode != 0:
        how = f"exit {process.returncode}" if process.returncode > 0 else f"signal {-process.returncode}"
        raise CommandError(f"{shown} failed ({how}): {_tail(stderr or stdout)}", output=stderr + stdout)
    return stdout


# Whole or as they were, whatever lies there under these names.
_PUT = """
import json, os, sys
for path, text in json.load(sys.stdin).items():
    folder, name = os.path.split(path)
    os.makedirs(folder, exist_ok=True)
    partial = os.path.join(folder, "." + name + ".partial")
    if os.path.lexists(partial):
        os.unlink(partial)
    with os.fdopen(os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o644), "w", encoding="utf-8") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    os.replace(partial, path)
"""


def put_texts(files: Mapping[Path, str], account: Account | None) -> None:
    """Write files into folders of an account's, as that account: what it put there may lead root anywhere. Raises CommandError."""
    if files:
        run(["python3", "-I", "-S", "-c", _PUT], account=account, said=json.dumps({str(path): text for path, text in files.items()}))


def remove_all(paths: Iterable[Path], account: Account | None) -> None:
    """Remove whatever lies there, in folders of an account's and as that account. Raises CommandError."""
    there = [str(path) for path in paths if os.path.lexists(path)]
    if there:
        run(["rm", "-rf", "--", *there], account=account)


def _end_group(process: subprocess.Popen[bytes]) -> None:
    with suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.communicate()


def _tail(text: str) -> str:
    lines = [line.rstrip() for line in text.strip().splitlines() if line.strip()]
    return "\n".join(lines[-SHOWN_LINES:]) or "no output"


def machine_environment(etc: Path = Path("/etc")) -> dict[str, str]:
    """PATH, language, proxies and certificates as the machine is configured, for programs that we start.

    sudo drops proxy variables, so they are read from /etc/environment where a login would find them.
    """
    environment = {
        "PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
        "LANG": "C.UTF-8",
        "LC_ALL": "C.UTF-8",
    }
    declared = {**_read_environment_file(etc / "environment"), **os.environ}
    for name in PROXY_NAMES:
        for spelling in (name, name.upper()):
            if declared.get(spelling):
                environment[spelling] = declared[spelling]
    for name in ("SSL_CERT_FILE", "SSL_CERT_DIR"):
        if declared.get(name):
            environment[name] = declared[name]
    return environment


def _read_environment_file(path: Path) -> dict[str, str]:
    try:
        text = path.read_text(encoding="utf-8")
    except OSError:
        return {}
    pairs = (line.removeprefix("export ").partition("=") for line in text.splitlines() if "=" in line and not line.startswith("#"))
    return {name.strip(): value.strip().strip("\"'") for name, _, value in pairs}


def package_index_environment(etc: Path = Path("/etc")) -> dict[str, str]:
    """uv's names for the package index that the machine's pip is configured to use; uv's own configuration wins.

    A company that mirrors the package index configures pip on its machines; uv does not read that file.
    """
    if any(name.startswith("UV_") and "INDEX" in name for name in os.environ) or (etc / "uv/uv.toml").exists():
        return {name: value for name, value in os.environ.items() if name.startswith("UV_")}
    parser = configparser.ConfigParser(interpolation=None, strict=False)
    try:
        parser.read(etc / "pip.conf", encoding="utf-8")
    except (OSError, configparser.Error):
        return {}
    section = parser["global"] if parser.has_section("global") else {}
    wanted = {
        "UV_DEFAULT_INDEX": os.environ.get("PIP_INDEX_URL") or section.get("index-url", ""),
        "UV_INDEX": os.environ.get("PIP_EXTRA_INDEX_URL") or section.get("extra-index-url", ""),
        "UV_FIND_LINKS": ",".join((os.environ.get("PIP_FIND_LINKS") or section.get("find-links", "")).split()),
        "SSL_CERT_FILE": section.get("cert", ""),
    }
    return {name: " ".join(value.split()) for name, value in wanted.items() if value}
