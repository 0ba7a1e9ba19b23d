# GNU General Public License v3.0+ (see https://www.gnu.org/licenses/gpl-3.0.txt)

"""The engine: many files at once in ranges of about 16 MiB, over a bounded number of connections that all of them share.

Threads read from a connection straight into a buffer and write at the offset; whoever asked for a file hashes it in order behind
them, while its bytes are in memory. Ranges are dealt in the order of the file, so that the one who hashes is never far behind.
Private to this collection: it may change in any release.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import random
import threading
import time
from bisect import insort
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType

from ansible_collections.emprops.comfyui.plugins.module_utils._model_content import (
    HEAD_SIZE,
    ContentError,
    check_file,
    check_head,
    check_type,
)
from ansible_collections.emprops.comfyui.plugins.module_utils._model_partial import BLOCK_SIZE, HASH_BATCH, MIB, Partial
from ansible_collections.emprops.comfyui.plugins.module_utils._model_sources._offer import Download, Offer, Stream
from ansible_collections.emprops.comfyui.plugins.module_utils._model_url import DownloadError, LinkExpiredError, PassingError
from ansible_collections.emprops.comfyui.plugins.module_utils._model_wire import (
    FIRST_PAUSE,
    LONGEST_PAUSE,
    RETRIES,
    Client,
    Link,
    Reply,
)

SEGMENT_SIZE = 16 * MIB
# A connection that is done with its range sooner than this gets larger ones, up to that: every request costs a round trip.
SHORT_SECONDS = 0.25
LARGEST_SEGMENT = 64 * MIB
# The first bytes are judged before the rest is asked for, so they are not waited for in a large block.
FIRST_BLOCK = 64 * 1024
# Half of a range goes to an idle connection when its end is further away than a request costs.
SMALLEST_SHARE = 2 * MIB
SHARE_SECONDS = 0.2

# Connections are opened gradually, and no more where the machine is the limit: it takes in so many bytes a second already, or
# spends so much of its processors on them.
FIRST_CONNECTIONS = 2
TICK = 0.05
ENOUGH = 600 * MIB
BUSY = 0.4 * len(os.sched_getaffinity(0))
# A host that turned us away gets half the connections, and is asked for more again after so long.
RECOVERY_SECONDS = 30.0
# A try that brought this much, or a sixteenth of what was asked for, was not in vain.
PROGRESS = 64 * 1024
JOURNAL_SECONDS = (1.0, 2.0, 5.0)
GOODBYE_SECONDS = 5.0

# A server that answers a question for a range so may still hand out the whole file.
_NO_RANGES_STATUS = (400, 403, 405, 416, 501)


@dataclass(frozen=True)
class Proof:
    """What a file has turned out to be."""

    size: int
    sha256: str


class _ChangedError(Exception):
    """What came so far is of no use any more: from the beginning, perhaps without ranges."""

    def __init__(self, reason: str, no_ranges: bool = False) -> None:
        super().__init__(reason)
        self.no_ranges = no_ranges


class _OtherRangeError(PassingError):
    """An answer that was not asked for."""


class _SlowError(PassingError):
    """Less than the floor."""


@dataclass(eq=False)
class _Range:
    """A part of a file that is to come, or is coming over one connection; `start` moves on."""

    start: int
    end: int | None
    tries: int = 0
    mark: int = 0  # what the job had when the last try failed
    asked: int = 0
    began: float = 0.0
    since: float = 0.0
    seen: int = 0
    reply: Reply | None = None
    writing: bool = False
    slow: bool = False
    dead: bool = False  # nobody waits for it any more

    def __lt__(self, other: _Range) -> bool:
        return self.start < other.start


@dataclass(eq=False)
class _Host:
    bound: int
    active: int = 0
    resting: int = 0
    halved: float = 0.0


@dataclass(eq=False)
class _Job:
    """One file on its way."""

    download: Download
    partial: Partial
    name: str
    wanted: Offer
    moved: Callable[[int], None]
    origin: str
    link: Link | None = None
    total: int | None = None
    etag: str = ""
    described: bool = False
    open: bool = False  # the first bytes are good: more connections may join
    single: bool = False  # all of it over one connection
    no_ranges: bool = False
    ranges_seen: bool = False
    done: bool = False
    error: BaseException | None = None
    restart: _ChangedError | None = None
    restarts: int = 0
    renewals: int = 0
    renewed_at: int = 0
    refusal: DownloadError | None = None
    received: int = 0
    segment: int = field(default_factory=lambda: SEGMENT_SIZE)
    todo: list[_Range] = field(default_factory=list)
    active: set[_Range] = field(default_factory=set)
    link_lock: threading.Lock = field(default_factory=threading.Lock)
    ended: threading.Event = field(default_factory=threading.Event)

    @property
    def host(self) -> str:
        return self.link.host if self.link else self.download.printable

    @property
    def over(self) -> bool:
        return self.error is not None or self.restart is not None

    @property
    def quiet(self) -> bool:
        """Does nobody write to the file any more?"""
        return not any(part.writing for part in self.active)

    @property
    def remaining(self) -> int:
        return sum((part.end or part.start + self.segment) - part.start for part in [*self.todo, *self.active])

    def begin(self) -> None:
        """Look at what is missing."""
        partial = self.partial
        self.etag = partial.etag if partial.origin == self.origin else ""
        self.total = partial.total if partial.size else None
        self.described = self.open = self.single = self.ranges_seen = self.done = False
        self.restart = None
        self.active = set()  # whoever is at work still does it for nobody
        if self.total is not None:
            self.todo = [_Range(start, end) for start, end in partial.missing()]
        else:
            self.todo = [_Range(partial.prefix, None)]
        self.done = not self.todo

    def take(self) -> _Range | None:
        """The next range to ask for; the first one alone, until its answer is judged."""
        if self.done or self.over or not self.todo or (self.active and (self.single or not self.open)):
            return None
        first = self.todo[0]
        if self.download.transport == "stream" or self.no_ranges:
            return self.todo.pop(0)
        if first.end is None:
            self.todo.pop(0)
            # Without a size this asks for a file's beginning, or for whatever follows what is there.
            first.end = first.start + self.segment
            return first
        if first.end - first.start <= self.segment * 5 // 4:
            return self.todo.pop(0)
        part = _Range(first.start, first.start + self.segment, first.tries, first.mark)
        first.start += self.segment
        return part

    def share(self, now: float) -> tuple[float, _Range] | None:
        """The active range that will take longest, if half of it is worth another connection."""
        if not self.open or self.single or self.todo or self.over:
            return None
        longest: tuple[float, _Range] | None = None
        for part in self.active:
            left, took = (part.end or 0) - part.start, now - part.began
            if part.reply is None or left < 2 * SMALLEST_SHARE or took < SHARE_SECONDS:
                continue
            seconds = left * took / max(1, part.start - part.asked)
            if seconds > SHARE_SECONDS and (longest is None or seconds > longest[0]):
                longest = seconds, part
        return longest


class Engine:
    """Brings files; several threads may ask for one each. Idle connections stay with the client."""

    def __init__(
        self,
        client: Client,
        connections: int = 32,
        connections_per_host: int = 32,
        slow_bytes: int = 16 * 1024,
        slow_seconds: float = 30.0,
        pause: Callable[[float], None] | None = None,
    ) -> None:
        """A connection that brings less than slow_bytes a second for slow_seconds is replaced; `pause` is for tests."""
        self._client = client
        self._connections, self._per_host = connections, connections_per_host
        self._slow_bytes, self._slow_seconds = slow_bytes, slow_seconds
        self._pause = pause
        self._changed = threading.Condition()
        self._closed = False
        self._jobs: list[_Job] = []
        self._hosts: dict[str, _Host] = {}
        self._active = 0
        self._idle = 0
        self._allowed = min(FIRST_CONNECTIONS, connections)
        self._arrived = 0
        self._threads: list[threading.Thread] = []

    def __enter__(self) -> Engine:
        for body in (self._tend, self._keep_journals):
            self._start(body)
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        with self._changed:
            self._closed = True
            jobs = list(self._jobs)
            self._changed.notify_all()
        for job in jobs:
            self._fail(job, DownloadError("the download was stopped"))
        # One that is just connecting cannot be woken, and does no harm.
        until = time.monotonic() + GOODBYE_SECONDS
        for thread in self._threads:
            thread.join(max(0.0, until - time.monotonic()))

    def fetch(self, download: Download, partial: Partial, name: str, wanted: Offer, moved: Callable[[int], None]) -> Proof:
        """Bring one file and prove it; publishing it is the caller's. Raises DownloadError, ContentError, OSError, and the guard's error.

        `moved` is told the bytes that came, and with a minus those that turned out to be worth nothing.
        """
        if download.transport == "file":
            return self._fetch_whole(download, partial, name, wanted, moved)
        origin = hashlib.sha256((wanted.address or download.printable).encode()).hexdigest()
        moved(-partial.resume(provable=wanted.sha256 is not None))
        no_ranges = download.transport == "ranges" and not wanted.ranges
        job = _Job(download, partial, name, wanted, moved, origin, no_ranges=no_ranges)
        if partial.size and (no_ranges or (wanted.size is not None and partial.total not in (None, wanted.size))):
            self._start_over(job)
        again = partial.resumed
        while True:
            self._bring(job)
            try:
                return _prove(job)
            except (DownloadError, ContentError):
                # Before anybody is blamed: the mistake may be in what an earlier run left here.
                if not (again and partial.resumed):
                    partial.discard()
                    raise
                again = False
                self._start_over(job)

    # the thread that asked

    def _bring(self, job: _Job) -> None:
        """Until all of a file is there and hashed."""
        job.begin()
        if job.link is None and job.download.transport == "ranges" and not job.done:
            job.link = job.download.link()
        self._enter(job)
        partial = job.partial
        try:
            while True:
                with partial.grown:
                    partial.grown.wait_for(lambda: job.over or job.done or partial.behind >= HASH_BATCH)
                if job.over:
                    self._settle(job)
                    continue
                self._come_again(job, partial.hash_on())
                if job.done and not partial.behind:
                    return
        finally:
            self._leave(job)

    def _settle(self, job: _Job) -> None:
        """Raise what went wrong, or begin again."""
        with self._changed:
            self._changed.wait_for(lambda: job.quiet)
        if job.error is not None:
            # What is hashed is worth something to the next run.
            with contextlib.suppress(Exception):
                while isinstance(job.error, DownloadError) and 0 < job.partial.behind < 64 * SEGMENT_SIZE:
                    job.partial.hash_on()
            raise job.error
        job.restarts += 1
        if job.restarts > RETRIES:
            raise DownloadError(f"{job.restart} (begun {RETRIES + 1} times)")
        job.no_ranges = job.no_ranges or bool(job.restart and job.restart.no_ranges)
        self._start_over(job)
        with self._changed:
            job.begin()
        self._staff()

    def _start_over(self, job: _Job) -> None:
        job.moved(-job.partial.size)
        job.partial.start_over()

    def _come_again(self, job: _Job, gone: list[tuple[int, int]]) -> None:
        if gone:
            job.moved(-sum(end - start for start, end in gone))
            if job.link is None and job.download.transport == "ranges":
                job.link = job.download.link()
            with self._changed:
                for start, end in gone:
                    insort(job.todo, _Range(start, end))
                job.done = False
            self._staff()

    def _fetch_whole(self, download: Download, partial: Partial, name: str, wanted: Offer, moved: Callable[[int], None]) -> Proof:
        """A file that another program makes."""
        told = 0

        def progress(count: int) -> None:
            nonlocal told
            partial.check()
            moved(count - told)
            told = count

        moved(-partial.size)
        # By a path that another process understands too.
        draft = Path(os.path.realpath(partial.draft.parent), partial.draft.name)
        try:
            self._client.patiently(lambda: download.fetch(draft, progress))
            partial.take(partial.draft)
        finally:
            with contextlib.suppress(OSError):
                partial.draft.unlink(missing_ok=True)
        progress(partial.size)
        while partial.behind:
            partial.check()
            partial.hash_on()
        job = _Job(download, partial, name, wanted, moved, "", total=partial.size)
        try:
            return _prove(job)
        except (DownloadError, ContentError):
            partial.discard()
            raise

    # the threads that read

    def _start(self, body: Callable[[], None]) -> None:
        thread = threading.Thread(target=body, daemon=True)
        self._threads.append(thread)
        thread.start()

    def _enter(self, job: _Job) -> None:
        with self._changed:
            if self._closed:
                raise DownloadError("the download was stopped")
            self._jobs.append(job)
            self._changed.notify_all()
        self._staff()

    def _leave(self, job: _Job) -> None:
        with self._changed:
            self._jobs.remove(job)
        if not job.done:
            self._fail(job, DownloadError("the download was stopped"))
        with self._changed:
            self._changed.wait_for(lambda: job.quiet)

    def _staff(self) -> None:
        """Wake or hire somebody, if there may be work."""
        with self._changed:
            if self._idle:
                self._changed.notify_all()
            elif self._active < self._allowed and not self._closed:
                self._idle += 1
                self._start(self._work)

    def _work(self) -> None:
        buffer = memoryview(bytearray(BLOCK_SIZE))
        while True:
            with self._changed:
                while (found := self._next()) is None:
                    if self._closed:
                        return
                    self._changed.wait()
                self._idle -= 1
            self._staff()
            job, host, part = found
            self._serve(job, host, part, buffer)
            self._put_down(job, host, part)

    def _next(self) -> tuple[_Job, _Host, _Range] | None:
        """The next range, of the file that has the fewest connections; half of the one that takes longest when all are dealt."""
        if self._closed:
            return None
        if self._active >= self._allowed:
            return None
        free = []
        for job in self._jobs:
            host = self._hosts.setdefault(job.host, _Host(self._per_host))
            if not host.resting and host.active < host.bound:
                free.append((len(job.active), -job.remaining, job, host))
        for _active, _remaining, job, host in sorted(free, key=lambda item: item[:2]):
            part = job.take()
            if part is not None:
                return self._pick_up(job, host, part)
        now = time.monotonic()
        shares = [(*share, job, host) for _active, _remaining, job, host in free if (share := job.share(now))]
        if shares:
            _seconds, slow, job, host = max(shares, key=lambda item: item[0])
            # What is on its way into a buffer stays where it is.
            middle = slow.start + BLOCK_SIZE + ((slow.end or 0) - slow.start - BLOCK_SIZE) // 2
            part, slow.end = _Range(middle, slow.end, slow.tries, job.received), middle
            return self._pick_up(job, host, part)
        return None

    def _pick_up(self, job: _Job, host: _Host, part: _Range) -> tuple[_Job, _Host, _Range]:
        part.asked, part.began = part.start, time.monotonic()
        job.active.add(part)
        host.active += 1
        self._active += 1
        return job, host, part

    def _put_down(self, job: _Job, host: _Host, part: _Range) -> None:
        with self._changed:
            part.reply, part.writing = None, False
            job.active.discard(part)
            host.active -= 1
            self._active -= 1
            self._idle += 1
            if not part.dead and not job.over and not job.todo and not job.active:
                job.done = True
            self._changed.notify_all()
        with job.partial.grown:
            job.partial.grown.notify_all()

    def _serve(self, job: _Job, host: _Host, part: _Range, buffer: memoryview) -> None:
        """Bring one range, and see what becomes of it when that fails."""
        link = job.link
        willing = False
        try:
            try:
                with self._ask(job, part, link) as reply:
                    willing = True
                    self._receive(job, part, reply, buffer)
            except LinkExpiredError as error:
                self._renew(job, part, link, error)
            except PassingError as error:
                self._retry(job, host, part, error, willing)
        except _ChangedError as changed:
            self._begin_again(job, part, changed)
        except DownloadError as error:
            if not self._goes_without_ranges(job, part, error):
                self._fail(job, job.refusal or error, part)
        except BaseException as error:
            self._fail(job, error, part)  # raised where somebody waits for this file

    def _ask(self, job: _Job, part: _Range, link: Link | None) -> Reply | Stream:
        if link is None:
            return job.download.stream(part.start)
        if job.no_ranges:
            return self._client.read(link, 0, None)
        return self._client.read(link, part.start, part.end, job.etag)

    def _receive(self, job: _Job, part: _Range, reply: Reply | Stream, buffer: memoryview) -> None:
        with self._changed:
            if part.dead:
                return
            part.since, part.seen = time.monotonic(), part.start
            if isinstance(reply, Reply):
                part.reply = reply
        if isinstance(reply, Reply):
            if not _judge(job, part, reply, self._changed):
                return
        else:
            self._judge_stream(job, part)
        self._open(job)
        while part.end is None or part.start < part.end:
            size = BLOCK_SIZE if job.open else FIRST_BLOCK
            view = buffer[: size if part.end is None else min(size, part.end - part.start)]
            count = reply.readinto(view)
            if not count:
                _end(job, part)
                break
            if not self._write(job, part, view[:count]):
                return
            self._open(job)
        if part.start - part.asked >= job.segment and time.monotonic() - part.began < SHORT_SECONDS:
            job.segment = min(2 * job.segment, LARGEST_SEGMENT)
        if job.single and part.end == job.total and (not isinstance(reply, Reply) or reply.length is None) and not part.dead:
            _check_end(job, reply, buffer)

    def _write(self, job: _Job, part: _Range, view: memoryview) -> bool:
        """False when nobody waits for it any more."""
        with self._changed:
            if part.dead:
                return False
            part.writing = True
        before, count = time.monotonic(), 0
        try:
            job.partial.write_at(part.start, view)
            count = len(view)
        finally:
            with self._changed:
                part.writing = False
                part.since += time.monotonic() - before  # a slow disk is no slow connection
                part.start += count
                job.received += count
                self._arrived += count
                job.moved(count)
                if part.dead:
                    self._changed.notify_all()
        return True

    def _open(self, job: _Job) -> None:
        """Judge the first bytes as soon as they are there, and let others join."""
        if job.open:
            return
        prefix = job.partial.prefix
        if prefix < HEAD_SIZE and prefix != job.total:
            return
        try:
            check_head(job.name, job.partial.head(), job.total)
        except ContentError:
            job.partial.discard()
            raise
        job.open = True
        self._staff()

    def _judge_stream(self, job: _Job, part: _Range) -> None:
        etag, total = job.wanted.etag, job.wanted.size
        if job.described:
            return
        with self._changed:
            if (job.etag and etag and job.etag != etag) or (job.total is not None and total is not None and job.total != total):
                raise _ChangedError("the source has another file now than the one that was begun")
            job.described, job.single = True, True
            job.etag, job.total = etag, job.total if total is None else total
            if part.end is None:
                part.end = job.total
            job.partial.describe(job.etag, job.total, job.origin)

    # when it fails

    def _retry(self, job: _Job, host: _Host, part: _Range, error: PassingError, willing: bool) -> None:
        """Ask for the rest of a range again, unless all tries were in vain."""
        if part.slow:
            words = f"less than {self._slow_bytes} bytes a second came for {self._slow_seconds:g} seconds"
            error = _SlowError(f"{words} from {job.host}", 0)
        own = part.start - part.asked
        asked = (part.end - part.asked) if part.end is not None else job.segment
        enough = self._slow_bytes * self._slow_seconds if isinstance(error, _SlowError) else PROGRESS
        if not isinstance(error, _OtherRangeError) and (
            job.received - part.mark >= enough or (own and not isinstance(error, _SlowError) and own * 16 >= asked)
        ):
            part.tries = 0
        part.mark = job.received
        part.tries += 1
        if part.tries > RETRIES:
            if isinstance(error, _OtherRangeError) and job.partial.size:
                raise _ChangedError(str(error), no_ranges=True)
            raise DownloadError(f"{error} (tried {part.tries} times)") from error
        turned_away = not willing
        with self._changed:
            if turned_away and part.began >= host.halved:
                # Never only one, which a file that hardly moves could hold while the others wait for it.
                host.bound, host.halved = max(2, min(host.bound, host.active) // 2), time.monotonic()
        ours = 0.0 if own else FIRST_PAUSE * 2.0 ** (part.tries - 1)
        self._rest(job, host, ours if error.pause is None else min(error.pause, LONGEST_PAUSE), turned_away)
        if job.single and job.link is not None:
            provable = bool(job.etag) or job.wanted.sha256 is not None
            if job.no_ranges or not provable:
                raise _ChangedError(str(error), no_ranges=job.no_ranges)
        self._put_back(job, part)

    def _rest(self, job: _Job, host: _Host, seconds: float, all_of_host: bool) -> None:
        if not seconds:
            return
        with self._changed:
            host.resting += all_of_host
        try:
            if self._pause:
                self._pause(seconds)
            else:
                # A little longer by chance: those who were turned away together shall not come back together.
                job.ended.wait(seconds + random.uniform(0, min(seconds / 4, 1)))  # noqa: S311 - nothing secret depends on it
        finally:
            with self._changed:
                host.resting -= all_of_host
                self._changed.notify_all()

    def _put_back(self, job: _Job, part: _Range) -> None:
        with self._changed:
            if part.dead:
                return
            if job.single and job.link is not None:
                # Perhaps the rest can be had as a range, which the next answer must show again.
                job.single = job.open = job.described = False
            insort(job.todo, _Range(part.start, part.end, part.tries, part.mark))

    def _renew(self, job: _Job, part: _Range, link: Link | None, error: LinkExpiredError) -> None:
        """Another link for one that is not taken any more, unless no link is."""
        with job.link_lock:
            if job.link is link:
                if job.received - job.renewed_at >= PROGRESS:
                    job.renewals = 0
                job.renewals += 1
                job.renewed_at = job.received
                if job.renewals > RETRIES:
                    raise error
                job.link = job.download.link()
        self._put_back(job, part)

    def _goes_without_ranges(self, job: _Job, part: _Range, error: DownloadError) -> bool:
        """Ask once for the whole where a question for a range is refused."""
        with self._changed:
            if job.no_ranges or job.partial.size or job.link is None or error.status not in _NO_RANGES_STATUS or part.dead:
                return False
            job.no_ranges, job.refusal = True, error
            job.todo = [_Range(0, None)]
        return True

    def _begin_again(self, job: _Job, part: _Range, changed: _ChangedError) -> None:
        with self._changed:
            if not part.dead and not job.over:
                job.restart = changed
                self._drop_parts(job)

    def _fail(self, job: _Job, error: BaseException, part: _Range | None = None) -> None:
        with self._changed:
            if (part is None or not part.dead) and job.error is None:
                job.error = error
                job.ended.set()
                self._drop_parts(job)
                self._changed.notify_all()
        with job.partial.grown:
            job.partial.grown.notify_all()

    def _drop_parts(self, job: _Job) -> None:
        job.todo = []
        for part in job.active:
            part.dead = True
            if part.reply:
                part.reply.abort()

    # the thread that looks after the others

    def _tend(self) -> None:
        arrived, spent, when = 0, time.process_time(), time.monotonic()
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._jobs or self._closed)
                if self._closed:
                    return
            time.sleep(TICK)
            now = time.monotonic()
            with self._changed:
                self._watch_rates(now)
                for host in self._hosts.values():
                    if host.bound < self._per_host and now - host.halved > RECOVERY_SECONDS:
                        host.bound, host.halved = min(self._per_host, 2 * host.bound), now
                wanted = self._active >= self._allowed and any(job.todo for job in self._jobs)
                idle = time.process_time() - spent < BUSY * (now - when) and self._arrived - arrived < ENOUGH * (now - when)
                if wanted and idle:
                    self._allowed = min(2 * self._allowed, self._connections)
                arrived, spent, when = self._arrived, time.process_time(), now
                work = any(job.todo or job.share(now) for job in self._jobs)
            if work:
                self._staff()

    def _watch_rates(self, now: float) -> None:
        for job in self._jobs:
            for part in job.active:
                if not part.since or part.writing or now - part.since < self._slow_seconds:
                    continue
                if part.start - part.seen < self._slow_bytes * (now - part.since):
                    part.slow = True
                    if part.reply:
                        part.reply.abort()
                part.since, part.seen = now, part.start

    def _keep_journals(self) -> None:
        """Now and then, for what is not in a journal comes again after a kill."""
        times = iter(JOURNAL_SECONDS)
        seconds = next(times)
        while True:
            with self._changed:
                if self._changed.wait_for(lambda: self._closed, seconds):
                    return
                jobs = list(self._jobs)
            if jobs:
                seconds = next(times, JOURNAL_SECONDS[-1])
            for job in jobs:
                # A full disk and a lost claim are told by the next write, too.
                with contextlib.suppress(Exception):
                    job.partial.save()


def _judge(job: _Job, part: _Range, reply: Reply, changed: threading.Condition) -> bool:
    """Whether an answer is what was asked for; False when it says that there is nothing more to come."""
    if reply.status == 416:
        return _judge_end(job, part, reply)
    check_type(job.name, reply.content_type)
    if reply.content_encoding:
        raise DownloadError("the server sent the file compressed, though asked not to")
    if reply.content_type.lower().startswith("multipart/"):
        raise DownloadError("the server answered with several ranges in one, though asked for one")
    wanted, total = job.wanted, reply.total
    if reply.status == 206 and (job.no_ranges or reply.start != part.start):
        raise _OtherRangeError(f"{job.host} answered with another range than the one that was asked for")
    if wanted.size is not None and total not in (None, wanted.size):
        raise DownloadError(f"the server has {total} bytes, wanted {wanted.size}")
    chunked = reply.header("Transfer-Encoding").lower() == "chunked"
    if total is None and wanted.size is None and (reply.status == 206 or (wanted.sha256 is None and not chunked)):
        raise DownloadError("the server does not say how long the file is; give its size or sha256")
    total = wanted.size if total is None else total
    with changed:
        if part.dead:
            return False
        other = (job.total is not None and total is not None and total != job.total) or (job.etag and reply.etag not in ("", job.etag))
        if reply.status == 200 and not job.no_ranges and (part.start or job.partial.size or job.ranges_seen):
            if other:
                raise _ChangedError("the server has another file now than the one that was begun", no_ranges=job.restarts > 0)
            if job.ranges_seen:
                raise _OtherRangeError(f"{job.host} answered with the whole file to a question for a range")
            raise _ChangedError(f"{job.host} does not answer questions for a range", no_ranges=True)
        if other:
            raise _ChangedError("the server has another file now than the one that was begun", no_ranges=job.restarts > 0)
        if not job.described:
            job.described = True
            job.etag, job.total = job.etag or reply.etag, total
            job.partial.describe(job.etag, job.total, job.origin)
            if reply.status == 200:
                job.single, job.todo, part.end = True, [], total
            elif total is not None:
                end = part.end = total if part.end is None else min(part.end, total)
                job.todo = job.todo or [_Range(max(start, end), last) for start, last in job.partial.missing() if last > end]
        job.ranges_seen = job.ranges_seen or reply.status == 206
    return True


def _judge_end(job: _Job, part: _Range, reply: Reply) -> bool:
    """416: the file ends where what is there ends; or it is another one; or the server has no ranges."""
    held = job.partial.size
    if reply.total is not None and reply.total == part.start == held and job.wanted.size in (None, held) and held:
        job.total = reply.total
        job.partial.describe(job.etag, job.total, job.origin)
        return False
    if held or job.no_ranges:
        raise _ChangedError("the server has another file now than the one that was begun", no_ranges=job.restarts > 0)
    refusal = DownloadError("the server has an empty file" if reply.total == 0 else f"{job.host} refuses the range that was asked for: 416")
    refusal.status = None if reply.total == 0 else 416
    raise refusal


def _end(job: _Job, part: _Range) -> None:
    """The source has no more: that is the end, or it came too soon."""
    if part.end is not None:
        raise PassingError(f"the file was cut short: {part.start} of {part.end} bytes came")
    part.end = job.total = part.start
    job.partial.describe(job.etag, job.total, job.origin)


def _check_end(job: _Job, reply: Reply | Stream, buffer: memoryview) -> None:
    """Whoever did not say how much there is must have no more now."""
    try:
        more = reply.readinto(buffer[:1])
    except PassingError as error:
        if isinstance(reply, Reply):
            return
        raise _ChangedError(str(error)) from error
    if more:
        job.partial.discard()
        raise DownloadError(f"the server sends more than {job.total} bytes")


def _prove(job: _Job) -> Proof:
    """The whole file: its size, its digest, and what its own bytes say."""
    partial, wanted = job.partial, job.wanted
    proof = Proof(partial.size, partial.hexdigest())
    if wanted.size is not None and proof.size != wanted.size:
        raise DownloadError(f"the file has {proof.size} bytes, wanted {wanted.size}")
    if wanted.sha256 is not None and proof.sha256 != wanted.sha256.lower():
        raise DownloadError(f"the file has sha256 {proof.sha256}, wanted {wanted.sha256.lower()}")
    with partial.open() as file:
        check_file(job.name, file)
    return proof
