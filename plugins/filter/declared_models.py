# GNU General Public License v3.0+ (see https://www.gnu.org/licenses/gpl-3.0.txt)

from __future__ import annotations

DOCUMENTATION = r"""
name: declared_models
short_description: Who asks for which model, for the modules that look after the store
version_added: 0.1.0
author: EmProps (@stakeordie)
description:
  - Joins the inventory's list, what workflows need and the catalogue to the list that M(emprops.comfyui.storage_report),
    M(emprops.comfyui.audit_models), M(emprops.comfyui.organize_models) and M(emprops.comfyui.cleanup_models) take as C(declared).
positional: needs, catalogue
options:
  _input:
    description: The models that the inventory lists.
    type: list
    elements: dict
    required: true
  needs:
    description: What M(emprops.comfyui.workflow_info) returned; models of muted nodes count too.
    type: dict
    default: {}
  catalogue:
    description: The models of the catalogue.
    type: list
    elements: dict
    default: []
"""

EXAMPLES = r"""
- name: Say what is in the store and who asked for it
  emprops.comfyui.storage_report:
    store: /workspace/shared/models
    declared: "{{ models_list | emprops.comfyui.declared_models(needs, comfyui_catalogue.models) }}"
"""

RETURN = r"""
_value:
  description: Entries with C(directory), C(name), C(sha256), C(size), C(owner) (V(static), V(workflow), V(catalogue)) and C(label).
  type: list
  elements: dict
"""

from ansible_collections.emprops.comfyui.plugins.module_utils._workflow_needs import declared_models


def _declared_models(listed, needs=None, catalogue=()):
    return declared_models(listed, needs or {}, catalogue)


class FilterModule:
    def filters(self):
        return {"declared_models": _declared_models}
