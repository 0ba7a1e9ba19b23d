# GNU General Public License v3.0+ (see https://www.gnu.org/licenses/gpl-3.0.txt)

"""The `git` option that several modules share, and what it turns into.

Private to this collection: it may change in any release.
"""

from __future__ import annotations

from typing import Any

from ansible_collections.emprops.comfyui.plugins.module_utils._command import Account
from ansible_collections.emprops.comfyui.plugins.module_utils._git import PROTOCOLS, GitAccess

GIT_OPTION: dict[str, Any] = {
    "type": "dict",
    "default": {},
    "options": {
        "protocols": {"type": "list", "elements": "str", "choices": ["https", "ssh", "http", "file"], "default": list(PROTOCOLS)},
        "hosts": {"type": "list", "elements": "str"},
        "ssh_key_file": {"type": "path", "no_log": False},
        "ssh_known_hosts_file": {"type": "path"},
        "token": {"type": "str", "no_log": True},
        "token_url": {"type": "str", "no_log": False},
    },
}


def git_access(option: dict[str, Any] | None, account: Account) -> GitAccess:
    """The access that the option describes; what it leaves out is as documented."""
    given = option or {}
    return GitAccess(
        account=account,
        protocols=tuple(given.get("protocols") or PROTOCOLS),
        hosts=given.get("hosts"),
        ssh_key_file=given.get("ssh_key_file"),
        ssh_known_hosts_file=given.get("ssh_known_hosts_file"),
        token=given.get("token"),
        token_url=given.get("token_url"),
    )
