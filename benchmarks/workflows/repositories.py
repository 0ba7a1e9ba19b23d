# GNU General Public License v3.0+ (see https://www.gnu.org/licenses/gpl-3.0.txt)

"""Public repositories at pinned commits, read from git without a work tree."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Repository:
    name: str  # owner/name
    commit: str

    @property
    def folder(self) -> str:
        return self.name.rsplit("/", 1)[-1]


@dataclass(frozen=True)
class Shelf:
    """Where the repositories lie: named ones, a folder of `owner+name`, else cloned into the cache."""

    named: dict[str, Path]
    folder: Path | None
    cache: Path
    offline: bool

    def read(self, repository: Repository, wanted: Callable[[str], bool]) -> dict[str, bytes]:
        where = self.find(repository)
        if where is None:
            return {}
        commit = repository.commit
        if git(where, "cat-file", "-e", f"{commit}^{{commit}}", check=False).returncode:
            print(f"{repository.name}: has no commit {commit[:10]}, reading its HEAD instead", file=sys.stderr)
            commit = "HEAD"
        listing = git(where, "ls-tree", "-r", "-z", commit).stdout.decode("utf-8", "replace")
        blobs = []
        for line in filter(None, listing.split("\0")):
            meta, path = line.split("\t", 1)
            kind, identity = meta.split()[1:3]
            if kind == "blob" and wanted(path):
                blobs.append((path, identity))
        return dict(contents(where, blobs))

    def find(self, repository: Repository) -> Path | None:
        if repository.name in self.named:
            return self.named[repository.name]
        for root in (self.folder, self.cache):
            for tail in ("repo/.git", "repo", ".git", "."):
                path = root / repository.name.replace("/", "+") / tail if root else Path("/nonexistent")
                if (path / "HEAD").is_file():
                    return path
        if self.offline:
            print(f"{repository.name}: not here, left out", file=sys.stderr)
            return None
        target = self.cache / repository.name.replace("/", "+")
        print(f"{repository.name}: cloning", file=sys.stderr)
        subprocess.run(["git", "clone", "--quiet", "--bare", f"https://github.com/{repository.name}", str(target)], check=True)
        return target


def git(where: Path, *words: str, check: bool = True) -> subprocess.CompletedProcess[bytes]:
    return subprocess.run(["git", "--git-dir", str(where), *words], check=check, capture_output=True)


def contents(where: Path, blobs: list[tuple[str, str]]) -> list[tuple[str, bytes]]:
    """Each file's bytes; a blob that a partial copy lacks is left out."""
    asked = "".join(f"{identity}\n" for _, identity in blobs).encode()
    answer = subprocess.run(["git", "--git-dir", str(where), "cat-file", "--batch"], input=asked, check=True, capture_output=True).stdout
    found, at = [], 0
    for path, _ in blobs:
        end = answer.index(b"\n", at)
        head = answer[at:end].split()
        at = end + 1
        if head[-1] == b"missing":
            continue
        size = int(head[2])
        found.append((path, answer[at : at + size]))
        at += size + 1
    return found
