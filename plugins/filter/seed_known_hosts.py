# GNU General Public License v3.0+ (see https://www.gnu.org/licenses/gpl-3.0.txt)

from __future__ import annotations

DOCUMENTATION = r"""
name: seed_known_hosts
short_description: The host keys of a machine, for those who copy models from it
version_added: 0.1.0
author: EmProps (@stakeordie)
description:
  - Renders C(known_hosts) from the facts C(ssh_host_key_*) of a machine, for the address that others reach it by.
positional: address, port
options:
  _input:
    description: Facts of the machine, as M(ansible.builtin.setup) gathers them with C(ssh_pub_keys).
    type: dict
    required: true
  address:
    description: Host name or IP address.
    type: str
    required: true
  port:
    description: Port of its SSH server.
    type: int
    default: 22
"""

EXAMPLES = r"""
- name: Know the machine
  ansible.builtin.copy:
    content: "{{ hostvars['gpu-1'].ansible_facts | emprops.comfyui.seed_known_hosts('10.0.0.1') }}"
    dest: /srv/known_hosts
    mode: "0644"
"""

RETURN = r"""
_value:
  description: The file's text.
  type: str
"""

from ansible.errors import AnsibleFilterError
from ansible_collections.emprops.comfyui.plugins.module_utils._models_seed import SeedError, seed_known_hosts


def _seed_known_hosts(facts, address, port=22):
    try:
        return seed_known_hosts(facts, address, port)
    except SeedError as error:
        raise AnsibleFilterError(str(error)) from error


class FilterModule:
    def filters(self):
        return {"seed_known_hosts": _seed_known_hosts}
