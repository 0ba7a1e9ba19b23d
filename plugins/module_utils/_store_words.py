# GNU General Public License v3.0+ (see https://www.gnu.org/licenses/gpl-3.0.txt)

"""What the modules that look after a store returned, as lines for people.

Private to this collection: it may change in any release.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from ansible_collections.emprops.comfyui.plugins.module_utils._model_progress import size_words
from ansible_collections.emprops.comfyui.plugins.module_utils._store import count_words

Row = Mapping[str, Any]


def store_table(result: Row, limit: int = 200) -> list[str]:
    """The summary first, then each list that the result has, as far as it was told."""
    lines = [str(result["message"])] if "message" in result else []
    if "summary" in result:
        lines.append(_audited(result))
    for key, words in _WORDS.items():
        # The audit counts its files, the clean-up lists them.
        rows = result[key] if isinstance(result.get(key), list) else []
        lines += [f"  {words(row)}{_error(row)}" for row in rows[:limit]]
        if len(rows) > limit:
            lines.append(f"  and {len(rows) - limit} more")
    if result.get("kept_because"):
        lines.append(f"kept: {', '.join(f'{count} {reason}' for reason, count in sorted(result['kept_because'].items()))}")
    if "quarantine" in result:
        lines.append(f"in quarantine: {count_words(result['quarantine']['files'], 'file')}, {size_words(result['quarantine']['bytes'])}")
    if "free_after" in result:
        lines.append(f"free on the disk: {size_words(result['free_before'])} before, {size_words(result['free_after'])} now")
    if result.get("dry_run"):
        lines.append("This was a dry run. To do it: -e models_dry_run=false, and no --check.")
    return lines + [f"Note: {note}" for note in result.get("notes") or ()]


def _audited(result: Row) -> str:
    counts = [f"{kind}: {count}" for kind, count in result["summary"].items() if count]
    seconds = result.get("seconds") or 0
    rate = f", {size_words(round(result['bytes'] / seconds))}/s" if seconds else ""
    read = f"{count_words(result['files'], 'file')} read, {size_words(result['bytes'])} in {seconds:.1f} s{rate}"
    return f"{read}; {', '.join(counts) or 'nothing is wrong'}"


def _action(row: Row) -> str:
    used = f", last used {row['last_use'][:10]}" if row.get("last_use") else ""
    links = f", with {' and '.join(row['links'])}" if row.get("links") else ""
    why = f": {row['why']}" if row.get("why") else ""
    return f"{row['action']}: {row['path']} ({size_words(row['bytes'])}{used}; {row['reason']}){links}{why}"


def _move(row: Row) -> str:
    users = f", used by {', '.join(row['used_by'])}" if row.get("used_by") else ""
    note = f"; {row['note']}" if row.get("note") else ""
    return f"move: {row['from']} to {row['to']} ({size_words(row['bytes'])}{users}; {row['reason']}{note})"


_WORDS: dict[str, Callable[[Row], str]] = {
    "files": _action,
    "findings": lambda row: f"{row['severity']}: {row['path']}: {row['message']} ({row['kind']})",
    "moves": _move,
    "links": lambda row: f"link: {row['path']} to {row['to']} ({row['reason']})",
    "problems": lambda row: f"problem: {row['path']}: {row['message']}",
    "waiting": lambda row: f"{row['path']}: {row['message']}",
}


def _error(row: Row) -> str:
    return f"; FAILED: {row['error']}" if row.get("error") else ""
