# GNU General Public License v3.0+ (see https://www.gnu.org/licenses/gpl-3.0.txt)

from __future__ import annotations

DOCUMENTATION = r"""
name: pack_table
short_description: One line per pack of custom nodes, for people
version_added: 0.1.0
author: EmProps (@stakeordie)
description:
  - Puts what the running instances brought of each pack into lines of text, the pack that took longest to import first.
options:
  _input:
    description:
      - Packs as M(emprops.comfyui.release) returns them and C(state/packs.json) holds them.
      - No packs are no lines.
    type: list
    elements: dict
    required: true
"""

EXAMPLES = r"""
- name: Show which packs are slow and which are broken
  ansible.builtin.debug:
    msg: "{{ activated.packs | emprops.comfyui.pack_table }}"
"""

RETURN = r"""
_value:
  description: Lines of text, the first being the heading.
  type: list
  elements: str
"""

from ansible_collections.emprops.comfyui.plugins.module_utils._pack_truth import pack_table


class FilterModule:
    def filters(self):
        return {"pack_table": pack_table}
