# GNU General Public License v3.0+ (see https://www.gnu.org/licenses/gpl-3.0.txt)

"""What can be told of the releases of a machine without touching them.

Private to this collection: it may change in any release.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from ansible_collections.emprops.comfyui.plugins.module_utils._release import Lock, Workspace, read_comfyui_version

LINKS = ("current", "previous", "candidate")


def describe_releases(workspace: Workspace) -> dict[str, Any]:
    """The module's answer. Raises ReleaseError where a lock cannot be read."""
    found: dict[str, Any] = {name: workspace.link(name) for name in LINKS}
    opened = workspace.opened()
    name = found["candidate"] or found["current"]
    lock = workspace.lock_of(name)
    coming = opened or ((workspace.releases / name, lock) if name and lock else None)
    return {
        **found,
        "opened": opened[0].name if opened else None,
        "sealed": workspace.sealed(),
        "next": _describe(*coming) if coming else None,
    }


def _describe(path: Path, lock: Lock) -> dict[str, Any]:
    return {
        "id": path.name,
        "comfyui_commit": lock.fork.commit,
        "comfyui_version": read_comfyui_version(path / "ComfyUI") or None,
        "packs": [{"name": pack.name, "commit": pack.at} for pack in lock.packs],
    }
