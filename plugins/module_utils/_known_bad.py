# GNU General Public License v3.0+ (see https://www.gnu.org/licenses/gpl-3.0.txt)

"""Is a Python package or a pack of custom nodes on the list of those that are known to do harm? The list is `_data/known_bad.py`.

Private to this collection: it may change in any release.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from urllib.parse import unquote

from ansible_collections.emprops.comfyui.plugins.module_utils._data.known_bad import PACK, PACKAGE, REFUSE, ROWS, WARN, Row

_RELEASE = re.compile(r"v?(?:0!)?(?P<numbers>[0-9]+(?:\.[0-9]+)*)(?P<rest>.*)", re.DOTALL)
_COMPARISON = re.compile(r"(?P<sign>==|<|>=)(?P<version>[0-9.]+)")


def refused_packages() -> list[str]:
    """Constraint lines that keep the resolver away from the refused packages, such as `ultralytics!=8.3.41,!=8.3.42`."""
    return [f"{row.name}{','.join(version.replace('==', '!=') for version in row.versions)}" for row in _packages()]


def bad_packages(pins: Mapping[str, str]) -> list[str]:
    """A sentence for each refused package in a resolution, given as normalised name to version."""
    found = [(row, pins[row.name]) for row in _packages() if row.name in pins]
    return [f"{row.name} {version} is refused: {_why(row)}" for row, version in found if _is_among(version, row.versions)]


def judge_pack(name: str, url: str, cnr_id: str | None, *, version: str | None = None) -> tuple[str | None, str | None]:
    """Why a pack is refused, and what to be warned of; None where there is nothing.

    `name` is its folder. Where the exact version is known, as with those of the Comfy registry, other versions are not held against it.
    """
    repository = _owner_and_name(url)
    rows = [
        row
        for row in ROWS
        if row.kind == PACK
        and (
            repository in (one.lower() for one in row.repositories)
            or (cnr_id or "").lower() in row.cnr_ids
            or name.lower() in (folder.lower() for folder in row.folders)
        )
        and (version is None or not row.versions or _is_among(version, row.versions))
    ]
    refusal, warning = ("; ".join(_why(row) for row in rows if row.verdict == verdict) for verdict in (REFUSE, WARN))
    return refusal or None, warning or None


def _packages() -> list[Row]:
    return [row for row in ROWS if (row.kind, row.verdict) == (PACKAGE, REFUSE)]


def _why(row: Row) -> str:
    return f"{row.what} ({row.source}, read on {row.read})"


def _owner_and_name(url: str) -> str:
    """The end of an address, which names a repository in whatever way, and through whatever mirror, it is reached."""
    path = unquote(url).strip().rstrip("/").lower().removesuffix(".git")
    return "/".join(re.split(r"[/:]+", path)[-2:])


def _is_among(version: str, alternatives: tuple[str, ...]) -> bool:
    """As PEP 440 compares plain releases; of one that is no release at all, anything may be true but equality."""
    match = _RELEASE.fullmatch(version.strip().lower())
    if match is None:
        return not all(alternative.startswith("==") for alternative in alternatives)
    exact = match["rest"] == "" or match["rest"].startswith("+")
    return any(
        all(_holds(_numbers(match["numbers"]), exact, comparison) for comparison in alternative.split(",")) for alternative in alternatives
    )


def _holds(version: tuple[int, ...], exact: bool, comparison: str) -> bool:
    match = _COMPARISON.fullmatch(comparison)
    if match is None:
        raise ValueError(f"{comparison!r} is no comparison")
    limit = _numbers(match["version"])
    if match["sign"] == "==":
        return exact and version == limit
    return version < limit if match["sign"] == "<" else version >= limit


def _numbers(text: str) -> tuple[int, ...]:
    """1.2 and 1.2.0 are the same."""
    numbers = [int(number) for number in text.split(".")]
    while numbers and numbers[-1] == 0:
        numbers.pop()
    return tuple(numbers)
