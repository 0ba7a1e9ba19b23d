# GNU General Public License v3.0+ (see https://www.gnu.org/licenses/gpl-3.0.txt)

from __future__ import annotations

DOCUMENTATION = r"""
name: model_addresses
short_description: The places that models come from, with nothing secret in them
version_added: 0.1.0
author: EmProps (@stakeordie)
description:
  - Takes the addresses out of a list of models, for M(emprops.comfyui.preflight_info) to see whether they can be reached.
  - A query goes, for it may hold a token or a signature. An AIR stands for CivitAI.
  - A model with several addresses is left out, because the second is tried where the first fails.
options:
  _input:
    description: The models, each with C(url) or C(urls).
    type: list
    elements: dict
    required: true
"""

EXAMPLES = r"""
- name: Say where models come from
  ansible.builtin.debug:
    msg: "{{ [{'url': 'https://hub.example.com/a.safetensors?token=secret'}] | emprops.comfyui.model_addresses }}"
    # => ["https://hub.example.com/a.safetensors"]
"""

RETURN = r"""
_value:
  description: The addresses, each once.
  type: list
  elements: str
"""

from ansible_collections.emprops.comfyui.plugins.module_utils._reach import model_addresses


class FilterModule:
    def filters(self):
        return {"model_addresses": model_addresses}
