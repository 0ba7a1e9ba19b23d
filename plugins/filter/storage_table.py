# GNU General Public License v3.0+ (see https://www.gnu.org/licenses/gpl-3.0.txt)

from __future__ import annotations

DOCUMENTATION = r"""
name: storage_table
short_description: A report on the model store as lines for people
version_added: 0.1.0
author: EmProps (@stakeordie)
description:
  - Puts what M(emprops.comfyui.storage_report) returned into lines of text.
positional: width
options:
  _input:
    description: What M(emprops.comfyui.storage_report) returned.
    type: dict
    required: true
  width:
    description: How long a line may be.
    type: int
    default: 130
"""

EXAMPLES = r"""
- name: Show what fills the store
  ansible.builtin.debug:
    msg: "{{ report | emprops.comfyui.storage_table | join('\n') }}"
"""

RETURN = r"""
_value:
  description: Lines of text.
  type: list
  elements: str
"""

from ansible_collections.emprops.comfyui.plugins.module_utils._store_report import storage_table


class FilterModule:
    def filters(self):
        return {"storage_table": storage_table}
