# GNU General Public License v3.0+ (see https://www.gnu.org/licenses/gpl-3.0.txt)

from __future__ import annotations

DOCUMENTATION = r"""
name: workflow_open
short_description: What stands in the way of workflows
version_added: 0.1.0
author: EmProps (@stakeordie)
description:
  - Lists what M(emprops.comfyui.workflow_info) could not resolve, and which files it could not read, without what somebody accepted.
  - A model without a known source may be in the store, so that it is not among the V(models), and V(sources) lists it.
positional: kind, accepted
options:
  _input:
    description: What M(emprops.comfyui.workflow_info) returned.
    type: dict
    required: true
  kind:
    description: Which rows to list.
    type: str
    required: true
    choices: [packs, models, sources]
  accepted:
    description: Names that may stay unresolved, as in the C(accepted) of a catalogue (classes, models as directory/name, files).
    type: list
    elements: raw
    default: []
"""

EXAMPLES = r"""
- name: Fail where a node type has no pack
  ansible.builtin.assert:
    that: needs | emprops.comfyui.workflow_open("packs") | length == 0
"""

RETURN = r"""
_value:
  description: Lines of text, one for each.
  type: list
  elements: str
"""

from ansible.errors import AnsibleFilterError
from ansible_collections.emprops.comfyui.plugins.module_utils._catalogue import CatalogueError, parse_catalogue
from ansible_collections.emprops.comfyui.plugins.module_utils._workflow_needs import open_models, open_packs, unsourced_models

KINDS = {"packs": open_packs, "models": open_models, "sources": unsourced_models}


def workflow_open(result, kind, accepted=()):
    if kind not in KINDS:
        raise AnsibleFilterError(f"workflow_open knows {', '.join(KINDS)}, not {kind!r}")
    try:
        return KINDS[kind](result, parse_catalogue({"accepted": accepted}))
    except CatalogueError as error:
        raise AnsibleFilterError(str(error)) from error


class FilterModule:
    def filters(self):
        return {"workflow_open": workflow_open}
