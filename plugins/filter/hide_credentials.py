# GNU General Public License v3.0+ (see https://www.gnu.org/licenses/gpl-3.0.txt)

from __future__ import annotations

DOCUMENTATION = r"""
name: hide_credentials
short_description: Replace the credentials in an address by three stars
version_added: 0.1.0
author: EmProps (@stakeordie)
description:
  - Replaces passwords, users of web addresses and the values of query parameters such as C(token), so that the rest can be shown.
  - The user of an SSH address is no secret and stays.
options:
  _input:
    description: An address, or a list of them.
    type: raw
    required: true
"""

EXAMPLES = r"""
- name: Show where the shared repository comes from
  ansible.builtin.debug:
    msg: "{{ 'https://me:secret@git.example.com/shared.git' | emprops.comfyui.hide_credentials }}"
    # => https://***@git.example.com/shared.git
"""

RETURN = r"""
_value:
  description: The same, with nothing secret in it.
  type: raw
"""

from ansible.errors import AnsibleFilterError
from ansible_collections.emprops.comfyui.plugins.module_utils._reach import hide_credentials


def _hide_credentials(value):
    if isinstance(value, str):
        return hide_credentials(value)
    if isinstance(value, list):
        return [_hide_credentials(item) for item in value]
    raise AnsibleFilterError(f"hide_credentials takes an address or a list of them, not a {type(value).__name__}")


class FilterModule:
    def filters(self):
        return {"hide_credentials": _hide_credentials}
