# GNU General Public License v3.0+ (see https://www.gnu.org/licenses/gpl-3.0.txt)

"""Who fetches which file, among the processes and machines that see one store: a claim is a file beside the target.

    .<name>.claim               who is at it, complete from its first moment: it is written aside and linked, which only one can
    .<name>.<random>.claim      for an instant: a claim on its way in or out

The store may be a network share, so no lock of the kernel is relied on, and no clock but our own monotonic one. The holder
writes the next beat into its claim now and then. A claim is dead when its process is known to be gone (same machine, same boot),
or when it was not seen to change for the lease. Then it is moved away, which again only one can, and looked at once more:

    the holder writes a beat, then sees that its claim is still in its place;
    who takes over moves the claim away, then sees that the beat is the one that was judged, else puts it back.

So however long either of them slept in between, one of the two notices. Claims save work; nothing is wrong without them.

Private to this collection: it may change in any release.
"""

from __future__ import annotations

import errno
import hashlib
import json
import os
import re
import secrets
import stat
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from types import TracebackType

from ansible_collections.emprops.comfyui.plugins.module_utils._deploy_lock import Run, is_dead, this_run

LEASE = 60.0
LONGEST_LEASE = 3600.0  # what a claim may ask others for
BEATS_PER_LEASE = 6
LITTER_AGE = 3600.0
SIZE_LIMIT = 4096
LONGEST_STEM = 255 - len("..claim") - 17  # of a claim on its way: one more dot and 16 digits

# A claim that is away for an instant, because somebody looks at it, comes back within these pauses.
_PAUSES = (0.01, 0.05, 0.2, 0.5)
_NO_LINKS = (errno.EPERM, errno.EOPNOTSUPP, errno.ENOSYS, errno.EMLINK, errno.EXDEV)


class ClaimError(Exception):
    """Whether a file can be claimed cannot be told; the text names it."""


class ClaimLostError(ClaimError):
    """The file is another's by now, or may be: stop writing, and leave alone what is there."""


@dataclass(frozen=True)
class Holder:
    """What a claim says. Anybody may have written it: it is checked, and printed with care."""

    run: Run
    nonce: str
    lease: float

    def is_gone(self) -> bool:
        """Whether the process is known to be dead. In doubt it lives, and its silence will tell."""
        try:
            if not is_dead(asdict(self.run)):
                return False
            os.kill(int(self.run.process.partition(":")[0]), 0)
        except PermissionError:  # another account's, and /proc may hide those
            return False
        except ValueError:  # what /proc says of that process is no text
            return False
        except (ProcessLookupError, OverflowError):
            pass
        return True

    def __str__(self) -> str:
        return _printable(f"{self.run.who} (process {self.run.process.partition(':')[0]}, since {self.run.since})")


class Claims:
    """The claims of this process; one thread renews them. `lease` is how long a silent claim counts as alive."""

    def __init__(self, lease: float = LEASE, run: Run | None = None) -> None:
        if not 0 < lease <= LONGEST_LEASE:
            raise ClaimError(f"a claim can be kept for at most {LONGEST_LEASE:.0f} seconds without a sign of life, not for {lease}")
        self._lease = lease
        run = run or this_run(os.getpid())
        self._run = replace(run, who=run.who[:100])
        self._held: list[Claim] = []
        self._seen: dict[Path, tuple[bytes, float]] = {}
        self._lock = threading.Lock()
        self._ended = threading.Event()
        self._renewer: threading.Thread | None = None

    def __enter__(self) -> Claims:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._ended.set()
        for claim in list(self._held):
            claim.release()
        if self._renewer:
            self._renewer.join(self._lease)  # it may hang on a share that is gone; it ends with the process

    def take(self, target: Path) -> Claim | None:
        """Claim a file, whose folder is there; None while another is at it: ask again, for this is how its death is noticed.

        Raises ClaimError.
        """
        path = claim_path(target)
        try:
            found = _read(path)
            if found is not None and not (self._is_dead(path, found) and _remove(path, found.__eq__)):
                return None
            return self._create(target, path)
        except OSError as error:
            raise ClaimError(f"{target} cannot be claimed: {error.strerror}: {error.filename or path}") from error

    def holder(self, target: Path) -> str:
        """Who has claimed a file, in words."""
        return holder(target)

    def _is_dead(self, path: Path, found: bytes) -> bool:
        now = time.monotonic()
        with self._lock:
            seen, since = self._seen.get(path, (b"", now))
            if seen != found:
                since = now
            self._seen[path] = (found, since)
        holder = _parse(found)
        if holder is None:
            return now - since > self._lease
        return holder.is_gone() or now - since > max(self._lease, holder.lease)

    def _create(self, target: Path, path: Path) -> Claim | None:
        claim = Claim(target, path, Holder(self._run, secrets.token_hex(16), self._lease), self._forget)
        if not _put(path, claim.text):
            return None
        with self._lock:
            self._seen.pop(path, None)
            self._held.append(claim)
            if self._renewer is None:
                self._renewer = threading.Thread(target=self._renew, name="claims", daemon=True)
                self._renewer.start()
        with suppress(OSError, ClaimError):
            _sweep(path)
        return claim

    def _renew(self) -> None:
        while not self._ended.wait(self._lease / BEATS_PER_LEASE):
            for claim in list(self._held):
                claim.renew()

    def _forget(self, claim: Claim) -> None:
        with self._lock, suppress(ValueError):
            self._held.remove(claim)


class Claim:
    """One file is ours to fetch until release()."""

    def __init__(self, target: Path, path: Path, holder: Holder, forget: Callable[[Claim], None]) -> None:
        self._target = target
        self._path = path
        self._holder = holder
        self._forget = forget
        self._beat = 0
        self._renewed = time.monotonic()
        self._trouble = "nobody renewed it"
        self._lost: str | None = None
        self._released = False
        self._lock = threading.Lock()

    def __enter__(self) -> Claim:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.release()

    @property
    def text(self) -> bytes:
        """The claim as it is written: every beat has the same length, so that it fits into the room that the file has already."""
        words = {"beat": f"{self._beat:012}", "nonce": self._holder.nonce, "lease": self._holder.lease, **asdict(self._holder.run)}
        return json.dumps(words).encode() + b"\n"

    def check(self) -> None:
        """Raises ClaimLostError once the file may be another's. Costs next to nothing while the renewals succeed."""
        if self._lost is None and self._is_overdue():
            with self._lock:
                if self._is_overdue():
                    self._renew()
                if self._lost is None and self._is_overdue():
                    self._lost = f"the claim could not be renewed for {time.monotonic() - self._renewed:.0f} seconds: {self._trouble}"
        if self._lost is not None:
            raise ClaimLostError(f"{self._target}: {self._lost}")

    def renew(self) -> None:
        """Give a sign of life, if the claim is still ours."""
        with self._lock:
            self._renew()

    def release(self) -> None:
        """Let others at the file. Never fails: a claim that cannot be removed dies with this process."""
        self._forget(self)
        with self._lock:
            if self._released:
                return
            self._released = True
            self._lost = self._lost or "the claim was given back"
            with suppress(OSError, ClaimError):
                found = _read(self._path)
                if found is not None and self._is_ours(found):
                    _remove(self._path, self._is_ours)

    def _is_overdue(self) -> bool:
        return time.monotonic() - self._renewed > self._holder.lease / 2

    def _is_ours(self, found: bytes) -> bool:
        holder = _parse(found)
        return holder is not None and holder.nonce == self._holder.nonce

    def _renew(self) -> None:
        if self._lost is not None:
            return
        started = time.monotonic()
        for pause in (*_PAUSES, None):
            try:
                if self._write_beat():
                    self._renewed = started
                    return
            except (OSError, ClaimError) as error:
                self._trouble = error.strerror or str(error) if isinstance(error, OSError) else str(error)
                return
            if self._lost is not None:
                return
            if pause is not None:
                time.sleep(pause)
        self._lost = "the claim is gone: another took it over, or somebody removed it"

    def _write_beat(self) -> bool:
        """Whether the claim is in its place with our new beat. What is changed is the file that was read, never another's."""
        try:
            handle = os.open(self._path, os.O_RDWR | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
        except FileNotFoundError:
            return False
        try:
            if not self._still_ours(os.pread(handle, SIZE_LIMIT, 0)):
                return False
            self._beat += 1
            os.pwrite(handle, self.text, 0)
        finally:
            os.close(handle)  # which is also when a network share sends it
        found = _read(self._path)
        return found is not None and self._still_ours(found)

    def _still_ours(self, found: bytes) -> bool:
        if self._is_ours(found):
            return True
        self._lost = f"the claim was taken over by {_parse(found) or 'another process'}"
        return False


def claim_path(target: Path) -> Path:
    """Where the claim of a file is."""
    return target.with_name(f".{fit_name(target.name, LONGEST_STEM)}.claim")


def fit_name(name: str, longest: int) -> str:
    """A name of at most so many bytes; a digest keeps apart what begins alike."""
    whole = os.fsencode(name)
    if len(whole) <= longest:
        return name
    return f"{whole[: longest - 17].decode(errors='ignore')}~{hashlib.sha256(whole).hexdigest()[:16]}"


def holder(target: Path) -> str:
    """Who has claimed a file, in words; whether that process still lives only take() can tell."""
    try:
        found = _read(claim_path(target))
    except (OSError, ClaimError):
        return "an unknown process"
    return "nobody" if found is None else str(_parse(found) or "an unknown process")


def _read(path: Path) -> bytes | None:
    """What a claim holds, None where there is none. Opened anew each time, which makes a network share look at the server."""
    try:
        handle = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except FileNotFoundError:
        return None
    try:
        if not stat.S_ISREG(os.fstat(handle).st_mode):
            raise ClaimError(f"{path} is there and is not a file: remove it")
        return os.read(handle, SIZE_LIMIT)
    finally:
        os.close(handle)


def _parse(found: bytes) -> Holder | None:
    try:
        words = json.loads(found)
        run = Run(*(str(words[name])[:200] for name in ("controller", "process", "who", "since")))
        lease = float(words["lease"])
    except (ValueError, OverflowError, LookupError, TypeError, RecursionError):
        return None
    if not re.fullmatch(r"[0-9]{1,10}:[0-9a-z]+", run.process, re.ASCII) or not 0 < lease <= LONGEST_LEASE:
        return None
    return Holder(run, str(words.get("nonce")), lease)


def _put(path: Path, text: bytes) -> bool:
    """Whether the claim is ours now."""
    draft = _aside(path)
    try:
        _write_new(draft, text)
        try:
            os.link(draft, path)
            return True
        except OSError as error:
            if _read(path) == text:  # a share may say that it failed when only the answer was lost
                return True
            if isinstance(error, FileExistsError):
                return False
            if error.errno not in _NO_LINKS:
                raise
        try:
            _write_new(path, text)
            return True
        except FileExistsError:
            return False
    finally:
        with suppress(OSError):
            draft.unlink()


def _write_new(path: Path, text: bytes) -> None:
    handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o644)
    try:
        try:
            os.fchmod(handle, 0o644)  # other accounts have to read it, whatever the umask
            os.write(handle, text)
        finally:
            os.close(handle)
    except OSError:
        path.unlink()
        raise


def _remove(path: Path, same: Callable[[bytes], bool]) -> bool:
    """Remove a claim, if it is still the same when nobody else can get at it any more; else it goes back."""
    away = _aside(path)
    try:
        path.rename(away)
    except FileNotFoundError:
        return False
    found = _read(away)
    removed = found is not None and same(found)
    if not removed:
        try:
            os.link(away, path)
        except (FileExistsError, FileNotFoundError):
            pass  # a third one was quicker
        except OSError:  # no links here
            away.rename(path)
    away.unlink(missing_ok=True)
    return removed


def _aside(path: Path) -> Path:
    return path.with_name(f"{path.name.removesuffix('.claim')}.{secrets.token_hex(8)}.claim")


def _sweep(path: Path) -> None:
    """Remove what killed processes left on its way in or out. Both times are the file system's."""
    litter = re.compile(re.escape(path.name.removesuffix(".claim")) + r"\.[0-9a-f]{16}\.claim")
    now = path.lstat().st_mtime
    with os.scandir(path.parent) as entries:
        for entry in entries:
            if litter.fullmatch(entry.name):
                left = _parse(_read(Path(entry.path)) or b"")
                if (left is not None and left.is_gone()) or now - entry.stat(follow_symlinks=False).st_mtime > LITTER_AGE:
                    Path(entry.path).unlink(missing_ok=True)


def _printable(text: str) -> str:
    return "".join(character if character.isprintable() else "?" for character in text)[:200]
