# GNU General Public License v3.0+ (see https://www.gnu.org/licenses/gpl-3.0.txt)

from __future__ import annotations

DOCUMENTATION = r"""
name: seed_authorized_keys
short_description: Whose keys a machine lets in that hands out its models
version_added: 0.1.0
author: EmProps (@stakeordie)
description:
  - Renders C(authorized_keys) for an account whose keys may run one command and nothing else.
positional: before, command
options:
  _input:
    description: Public keys by machine. An empty one stands for the key that the file has for that machine already.
    type: dict
    required: true
  before:
    description: What the file holds. Keys of machines that are not in the input go.
    type: str
    required: true
  command:
    description: The command, as a list of words.
    type: list
    elements: str
    required: true
"""

EXAMPLES = r"""
- name: Let the peers in
  ansible.builtin.copy:
    content: "{{ {'gpu-2': key} | emprops.comfyui.seed_authorized_keys('', ['/usr/bin/python3', '/srv/serve_models.py', '/srv/models']) }}"
    dest: /srv/seed/.ssh/authorized_keys
    mode: "0644"
"""

RETURN = r"""
_value:
  description: The file's text.
  type: str
"""

from ansible.errors import AnsibleFilterError
from ansible_collections.emprops.comfyui.plugins.module_utils._models_seed import SeedError, seed_authorized_keys


def _seed_authorized_keys(keys, before, command):
    try:
        return seed_authorized_keys(before, keys, command)
    except SeedError as error:
        raise AnsibleFilterError(str(error)) from error


class FilterModule:
    def filters(self):
        return {"seed_authorized_keys": _seed_authorized_keys}
