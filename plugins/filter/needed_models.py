# GNU General Public License v3.0+ (see https://www.gnu.org/licenses/gpl-3.0.txt)

from __future__ import annotations

DOCUMENTATION = r"""
name: needed_models
short_description: Models that workflows need, for the module models
version_added: 0.1.0
author: EmProps (@stakeordie)
description:
  - Takes from what M(emprops.comfyui.workflow_info) returned the models that are not listed already.
  - One without a known source has no C(url), so that the module M(emprops.comfyui.models) only looks whether it is in the store. It is left
    out where it was accepted.
positional: listed, accepted
options:
  _input:
    description: What M(emprops.comfyui.workflow_info) returned.
    type: dict
    required: true
  listed:
    description: Models that are in the list already. They stand.
    type: list
    elements: dict
    default: []
  accepted:
    description: Names that may stay unresolved, as in the C(accepted) of a catalogue (classes, models as directory/name, files).
    type: list
    elements: raw
    default: []
"""

EXAMPLES = r"""
- name: Bring what the workflows need
  emprops.comfyui.models:
    store: /workspace/shared/models
    models: "{{ models_list + needs | emprops.comfyui.needed_models(models_list) }}"
"""

RETURN = r"""
_value:
  description: Entries for O(emprops.comfyui.models#module:models).
  type: list
  elements: dict
"""

from ansible.errors import AnsibleFilterError
from ansible_collections.emprops.comfyui.plugins.module_utils._catalogue import CatalogueError, parse_catalogue
from ansible_collections.emprops.comfyui.plugins.module_utils._workflow_needs import needed_models


def _needed_models(result, listed=(), accepted=()):
    try:
        return needed_models(result, listed, parse_catalogue({"accepted": accepted}))
    except CatalogueError as error:
        raise AnsibleFilterError(str(error)) from error


class FilterModule:
    def filters(self):
        return {"needed_models": _needed_models}
