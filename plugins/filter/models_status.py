# GNU General Public License v3.0+ (see https://www.gnu.org/licenses/gpl-3.0.txt)

from __future__ import annotations

DOCUMENTATION = r"""
name: models_status
short_description: What a download of models is at, as lines for people
version_added: 0.1.0
author: EmProps (@stakeordie)
description:
  - Puts C(models.progress.json), which M(emprops.comfyui.models) keeps while it downloads, into lines of text.
options:
  _input:
    description: Text of the file, empty if there is none.
    type: str
    required: true
"""

EXAMPLES = r"""
- name: Show what moves
  ansible.builtin.debug:
    msg: "{{ progress.content | b64decode | emprops.comfyui.models_status }}"
"""

RETURN = r"""
_value:
  description: Lines of text.
  type: list
  elements: str
"""

from ansible_collections.emprops.comfyui.plugins.module_utils._model_progress import status_lines


class FilterModule:
    def filters(self):
        return {"models_status": status_lines}
