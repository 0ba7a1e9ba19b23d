# GNU General Public License v3.0+ (see https://www.gnu.org/licenses/gpl-3.0.txt)

from __future__ import annotations

DOCUMENTATION = r"""
name: instance_table
short_description: One line per GPU, for people
version_added: 0.1.0
author: EmProps (@stakeordie)
description:
  - Puts the planned instances, what was found of them and the prompts that ran on them into lines of text.
positional: found, prompts
options:
  _input:
    description: Instances as P(emprops.comfyui.plan_instances#filter) returns them.
    type: list
    elements: dict
    required: true
  found:
    description: The same instances as M(emprops.comfyui.instance_info) returns them.
    type: list
    elements: dict
    required: true
  prompts:
    description: Results of M(emprops.comfyui.workflow_run), one per instance; none where no prompt ran.
    type: list
    elements: dict
    default: []
"""

EXAMPLES = r"""
- name: Show what serves
  ansible.builtin.debug:
    msg: "{{ wanted | emprops.comfyui.instance_table(found.instances, prompts.results) }}"
"""

RETURN = r"""
_value:
  description: Lines of text, the first being the heading.
  type: list
  elements: str
"""

from ansible_collections.emprops.comfyui.plugins.module_utils._instances import instance_table


class FilterModule:
    def filters(self):
        return {"instance_table": instance_table}
