# GNU General Public License v3.0+ (see https://www.gnu.org/licenses/gpl-3.0.txt)

from __future__ import annotations

DOCUMENTATION = r"""
name: workflow_report
short_description: Say of each workflow whether it runs here, and what is missing
version_added: 0.1.0
author: EmProps (@stakeordie)
description:
  - Adds to what M(emprops.comfyui.workflow_info) returned a verdict for each workflow, and the list of what nobody has decided.
  - Nothing is known to run unless an instance told what it has.
positional: asked, accepted
options:
  _input:
    description: What M(emprops.comfyui.workflow_info) returned.
    type: dict
    required: true
  asked:
    description: Which instance told what it has, such as its address; empty where none was asked.
    type: str
    default: ""
  accepted:
    description:
      - What may stay unresolved, as in a catalogue's C(accepted).
      - Classes, or models as directory/name; each a name, or a dictionary with C(name).
    type: list
    elements: raw
    default: []
"""

EXAMPLES = r"""
- name: Show what every workflow needs
  ansible.builtin.debug:
    msg: "{{ needed | emprops.comfyui.workflow_report('http://127.0.0.1:8188') | emprops.comfyui.workflow_table | join('\n') }}"
"""

RETURN = r"""
_value:
  description:
    - The result of the module, without what Ansible added to it, and beside it these.
    - C(workflows), a list of C(file), C(valid), C(runnable) (null for unknown), C(reason) and C(needs); a need has C(kind), C(name),
      C(detail) and C(missing) (null for unknown).
    - C(open), a line of text for each row that is unresolved and not accepted, and for each file that could not be read.
    - C(asked), the instance that was asked, or null.
  type: dict
"""

from ansible.errors import AnsibleFilterError
from ansible_collections.emprops.comfyui.plugins.module_utils._catalogue import CatalogueError, parse_catalogue
from ansible_collections.emprops.comfyui.plugins.module_utils._workflow_report import workflow_report


def _workflow_report(result, asked="", accepted=()):
    try:
        return workflow_report(result, asked, parse_catalogue({"accepted": accepted}))
    except CatalogueError as error:
        raise AnsibleFilterError(str(error)) from error


class FilterModule:
    def filters(self):
        return {"workflow_report": _workflow_report}
