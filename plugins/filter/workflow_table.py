# GNU General Public License v3.0+ (see https://www.gnu.org/licenses/gpl-3.0.txt)

from __future__ import annotations

DOCUMENTATION = r"""
name: workflow_table
short_description: A report on workflows as lines for people
version_added: 0.1.0
author: EmProps (@stakeordie)
description:
  - Puts a verdict for each workflow, what it misses, and the findings by severity into lines of text.
  - A workflow that misses nothing is one line; a long address loses its middle.
positional: width
options:
  _input:
    description: A report as P(emprops.comfyui.workflow_report#filter) returns it.
    type: dict
    required: true
  width:
    description: How long a line may be.
    type: int
    default: 130
"""

EXAMPLES = r"""
- name: Show what every workflow needs
  ansible.builtin.debug:
    msg: "{{ needed | emprops.comfyui.workflow_report | emprops.comfyui.workflow_table | join('\n') }}"
"""

RETURN = r"""
_value:
  description: Lines of text.
  type: list
  elements: str
"""

from ansible_collections.emprops.comfyui.plugins.module_utils._workflow_report import workflow_table


class FilterModule:
    def filters(self):
        return {"workflow_table": workflow_table}
