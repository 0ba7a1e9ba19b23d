# GNU General Public License v3.0+ (see https://www.gnu.org/licenses/gpl-3.0.txt)

from __future__ import annotations

DOCUMENTATION = r"""
name: store_table
short_description: What was done to a model store, or would be, as lines for people
version_added: 0.1.0
author: EmProps (@stakeordie)
description:
  - Puts what M(emprops.comfyui.organize_models), M(emprops.comfyui.cleanup_models) or M(emprops.comfyui.audit_models) returned into lines
    of text.
positional: limit
options:
  _input:
    description: What the module returned.
    type: dict
    required: true
  limit:
    description: How many lines of a kind there may be; the others are counted.
    type: int
    default: 200
"""

EXAMPLES = r"""
- name: Show what would be done
  ansible.builtin.debug:
    msg: "{{ plan | emprops.comfyui.store_table }}"
"""

RETURN = r"""
_value:
  description: Lines of text.
  type: list
  elements: str
"""

from ansible_collections.emprops.comfyui.plugins.module_utils._store_words import store_table


class FilterModule:
    def filters(self):
        return {"store_table": store_table}
