# GNU General Public License v3.0+ (see https://www.gnu.org/licenses/gpl-3.0.txt)

"""Missing models come into the store: side by side, from the first of their sources that hands them out whole.

Other machines and processes may work on the same store; what one of them fetches the others wait for.
Private to this collection: it may change in any release.
"""

from __future__ import annotations

import contextlib
import os
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from pathlib import Path

from ansible_collections.emprops.comfyui.plugins.module_utils._model_claims import Claim, ClaimLostError, Claims
from ansible_collections.emprops.comfyui.plugins.module_utils._model_content import ContentError, check_no_pickle
from ansible_collections.emprops.comfyui.plugins.module_utils._model_index import Index
from ansible_collections.emprops.comfyui.plugins.module_utils._model_partial import Partial, begun
from ansible_collections.emprops.comfyui.plugins.module_utils._model_progress import Progress
from ansible_collections.emprops.comfyui.plugins.module_utils._model_ranges import Engine
from ansible_collections.emprops.comfyui.plugins.module_utils._model_url import DownloadError, LinkExpiredError
from ansible_collections.emprops.comfyui.plugins.module_utils._models import (
    Model,
    ModelsError,
    Source,
    WantedModel,
    ask,
    look,
    open_folder,
    same_bytes,
    seen,
    together,
)
from ansible_collections.emprops.comfyui.plugins.module_utils._same_bytes import SameBytesError, link_same

# How often it is looked whether another process is done with a file.
WAIT_INTERVAL = 0.5


@dataclass
class Put:
    """Brings what is missing into the store: several files side by side, the largest first."""

    store: Path
    index: Index
    engine: Engine
    claims: Claims
    progress: Progress
    reserve: int = 0
    files: int = 8
    uid: int = -1
    gid: int = -1
    share: bool = True
    pause: Callable[[float], None] = time.sleep
    _ready: list[Model] = field(default_factory=list, init=False)
    _waiting: list[Model] = field(default_factory=list, init=False)  # for other processes
    _followers: list[Model] = field(default_factory=list, init=False)  # for a model of this run with the same bytes
    _folders: dict[Path, int] = field(default_factory=dict, init=False)
    _lock: threading.Lock = field(default_factory=threading.Lock, init=False)

    def put(self, models: Sequence[Model]) -> None:
        missing = sorted((model for model in models if model.state == "missing"), key=lambda model: -(model.bytes or 0))
        self._followers = [model for model in missing if isinstance(model.same_as, Model)]
        self._ready = [model for model in missing if not isinstance(model.same_as, Model)]
        self.progress.plan([(model.wanted.label, model.bytes, model.source) for model in missing])
        try:
            with ThreadPoolExecutor(self.files) as pool:
                for worker in [pool.submit(self._work) for _ in self._ready[: self.files]]:
                    worker.result()
        finally:
            for handle in self._folders.values():
                os.close(handle)

    def _work(self) -> None:
        while (model := self._next()) is not None:
            started = time.monotonic()
            try:
                if not self._bring(model):
                    with self._lock:
                        self._waiting.append(model)
                    continue
            except Exception as error:  # whatever one model brings about, the others go on
                model.fail(error)
                model.expired = isinstance(error, LinkExpiredError)
            finally:
                model.seconds += time.monotonic() - started
            self._done(model)

    def _next(self) -> Model | None:
        """The next model to bring; waits only where every other one is being fetched elsewhere."""
        with self._lock:
            if self._ready:
                return self._ready.pop(0)
            model = self._waiting.pop(0) if self._waiting else None
        if model is not None:
            self.pause(WAIT_INTERVAL)
        return model

    def _bring(self, model: Model) -> bool:
        """Whether something became of it; not while another process fetches it, or its source is to be left alone."""
        wanted = model.wanted
        if time.monotonic() < model.not_before:
            self.progress.waiting(wanted.label, "its source, which asked for a pause")
            return False
        place = self._place(wanted.path)
        if self._is_there(model):
            return True
        claim = self.claims.take(place)
        if claim is None:
            self.progress.waiting(wanted.label, self.claims.holder(place))
            return False
        try:
            if self._is_there(model):  # it came between our look and our claim
                return True
            if model.same_as is not None and self._link(model):
                return True
            self._fetch(model, claim)
            return True
        except ClaimLostError:
            return False
        finally:
            claim.release()

    def _place(self, path: Path) -> Path:
        """The path by way of its folder's handle: whoever owns the folder above may put another one in its place meanwhile."""
        with self._lock:
            if path.parent not in self._folders:
                self._folders[path.parent] = open_folder(self.store, path.parent, self.uid, self.gid)
            return Path(f"/proc/self/fd/{self._folders[path.parent]}", path.name)

    def _is_there(self, model: Model) -> bool:
        """Whether another process put the wanted file there while we looked elsewhere or waited."""
        if seen(model.wanted.path) == model.seen:
            return False
        self.index.refresh()  # who fetched it may have the same index
        look(model, self.index)
        return model.state == "present"

    def _link(self, model: Model) -> bool:
        """Make it the same file as one that is here already; False where that one is not what it was."""
        source = model.same_as.wanted.path if isinstance(model.same_as, Model) else model.same_as
        model.same_as = None
        entry = self.index.known(source, source.stat()) if source is not None and source.is_file() else None
        if source is None or entry is None or model.digest not in (None, entry.sha256):
            return False
        try:
            model.how = link_same(source, model.wanted.path, self.store)
        except SameBytesError:
            return False
        self._record(model, model.wanted.path.stat(), entry.sha256, first_seen=entry.first_seen, source=entry.source)
        return True

    def _fetch(self, model: Model, claim: Claim) -> None:
        """From the first of its sources that hands it out whole."""
        wanted = model.wanted
        troubles: list[tuple[str, Exception]] = []
        if not model.sources:
            raise ModelsError("no source of it may be asked from this machine")
        self.progress.begin(wanted.label, begun(wanted.path, model.key))
        while True:
            download = model.sources[0].download
            try:
                offer = model.sources[0].offer or ask(wanted, download)
                model.sources[0] = Source(download, offer)
                expected = replace(offer, size=wanted.size if offer.size is None else offer.size, sha256=model.digest)
                with Partial(self._place(wanted.path), model.key, self.reserve, claim.check) as partial:
                    proof = self.engine.fetch(
                        download, partial, wanted.name, expected, lambda count: self.progress.moved(wanted.label, count)
                    )
                    self._refuse_pickle(wanted, partial)
                    found = partial.publish(self.uid, self.gid)
            except (DownloadError, ContentError) as error:
                troubles.append((download.printable, error))
                if len(model.sources) == 1:
                    raise together(troubles) from error
                model.sources.pop(0)
                model.source = model.sources[0].download.printable
                continue
            model.how, model.source = "download", offer.address or download.printable
            self._record(model, found, proof.sha256, first_seen=expected.sha256 is None, source=model.source)
            if self.share:
                self._merge(model)
            return

    def _merge(self, model: Model) -> None:
        """What came without a published digest may turn out to be here already, under another name."""
        assert model.sha256 is not None  # noqa: S101 - recorded just now
        twin = same_bytes(model, model.sha256, self.index)
        if twin is not None:
            with contextlib.suppress(SameBytesError, OSError):
                model.how = f"download, {link_same(twin, model.wanted.path, self.store)}"
                self._record(model, model.wanted.path.stat(), model.sha256, first_seen=model.first_seen, source=model.source)

    def _refuse_pickle(self, wanted: WantedModel, partial: Partial) -> None:
        if wanted.allow_pickle:
            return
        try:
            with partial.open() as file:
                check_no_pickle(file)
        except ContentError:
            partial.discard()
            raise

    def _record(self, model: Model, found: os.stat_result, sha256: str, *, first_seen: bool, source: str) -> None:
        self.index.record(model.wanted.path, found, sha256, source, first_seen)
        self.index.save_in_passing()
        model.state, model.bytes, model.sha256, model.first_seen, model.source = "downloaded", found.st_size, sha256, first_seen, source

    def _done(self, model: Model) -> None:
        """Those that are to have the same bytes come next, by a link, or by a download of their own where this one failed."""
        self.progress.end(model.wanted.label, "failed" if model.state == "missing" else model.state)
        with self._lock:
            followers = [other for other in self._followers if other.same_as is model]
            self._followers = [other for other in self._followers if other.same_as is not model]
            if model.state == "failed" and followers:
                followers[0].same_as = None
                for other in followers[1:]:
                    other.same_as = followers[0]
                self._followers += followers[1:]
                followers = followers[:1]
            self._ready = followers + self._ready
