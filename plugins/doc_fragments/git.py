# GNU General Public License v3.0+ (see https://www.gnu.org/licenses/gpl-3.0.txt)

from __future__ import annotations


class ModuleDocFragment:
    """How a module of this collection reaches git repositories (module_utils/_git_options.py is its other half)."""

    DOCUMENTATION = r"""
options:
  git:
    description: How git repositories are reached.
    type: dict
    default: {}
    suboptions:
      protocols:
        description: Protocols that a repository address may use; V(file) is for repositories on the machine itself.
        type: list
        elements: str
        choices: [https, ssh, http, file]
        default: [https, ssh]
      hosts:
        description: The only hosts that are asked, V(host) or V(host:port); without the list any host is.
        type: list
        elements: str
      ssh_key_file:
        description: Private key, on the machine, for repositories that are reached over SSH.
        type: path
      ssh_known_hosts_file:
        description: File with the only host keys that are trusted; without it the account's own known hosts count.
        type: path
      token:
        description:
          - Token for O(git.token_url), sent as a header.
          - It appears on no command line and in no address.
        type: str
      token_url:
        description: Address, or its beginning, that O(git.token) is for.
        type: str
"""
