# GNU General Public License v3.0+ (see https://www.gnu.org/licenses/gpl-3.0.txt)

from __future__ import annotations

DOCUMENTATION = r"""
name: needed_packs
short_description: Packs that workflows need, for the module custom_nodes
version_added: 0.1.0
author: EmProps (@stakeordie)
description:
  - Takes from what M(emprops.comfyui.workflow_info) returned the packs that have a repository.
  - One that the catalogue has is taken as it stands there, with its branch, commit and all else.
positional: catalogue
options:
  _input:
    description: What M(emprops.comfyui.workflow_info) returned.
    type: dict
    required: true
  catalogue:
    description: What was decided, with packs in C(custom_nodes).
    type: dict
    default: {}
"""

EXAMPLES = r"""
- name: Install what the workflows need
  emprops.comfyui.custom_nodes:
    needed: "{{ needs | emprops.comfyui.needed_packs(comfyui_catalogue) }}"
"""

RETURN = r"""
_value:
  description: Packs in the shape of a manifest.
  type: list
  elements: dict
"""

from ansible_collections.emprops.comfyui.plugins.module_utils._workflow_needs import needed_packs


class FilterModule:
    def filters(self):
        return {"needed_packs": lambda result, catalogue=None: needed_packs(result, catalogue or {})}
