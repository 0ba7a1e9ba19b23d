# GNU General Public License v3.0+ (see https://www.gnu.org/licenses/gpl-3.0.txt)

from __future__ import annotations

DOCUMENTATION = r"""
name: seed_models
short_description: Put a machine that has the models in front of their own addresses
version_added: 0.1.0
author: EmProps (@stakeordie)
description:
  - Gives each model that the machine has one more address, and the digest that it was found to have there.
  - A model that the machine could not get, or that has no known digest, keeps its own addresses only.
positional: rows, origin
options:
  _input:
    description: The wanted models.
    type: list
    elements: dict
    required: true
  rows:
    description: C(models) of what M(emprops.comfyui.models) returned there. Empty if it is not known what the machine has.
    type: list
    elements: dict
    required: true
  origin:
    description: Its address, without a path.
    type: str
    required: true
"""

EXAMPLES = r"""
- name: Copy from the neighbour what it has
  emprops.comfyui.models:
    store: /workspace/shared/models
    models: "{{ models_list | emprops.comfyui.seed_models(there.models, 'ssh+store://seed@10.0.0.1') }}"
    allowed_hosts: [default, "ssh+store://seed@10.0.0.1"]
"""

RETURN = r"""
_value:
  description: Entries for O(emprops.comfyui.models#module:models).
  type: list
  elements: dict
"""

from ansible_collections.emprops.comfyui.plugins.module_utils._models_seed import seed_models


class FilterModule:
    def filters(self):
        return {"seed_models": seed_models}
