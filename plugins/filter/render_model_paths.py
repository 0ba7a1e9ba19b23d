# GNU General Public License v3.0+ (see https://www.gnu.org/licenses/gpl-3.0.txt)

from __future__ import annotations

DOCUMENTATION = r"""
name: render_model_paths
short_description: Write the file that tells ComfyUI where models are
version_added: 0.1.0
author: EmProps (@stakeordie)
description:
  - Turns folders by type of model into the text of a file for ComfyUI's C(--extra-model-paths-config).
  - The text is never empty and every path in it is text, because ComfyUI crashes on anything else.
  - Refuses paths that leave O(base_path), and keys such as C(custom_nodes) or C(output) that are no types of models.
positional: base_path
options:
  _input:
    description:
      - Folders by type of model, relative to O(base_path).
      - The first of a type is where ComfyUI puts new files.
    type: dict
    required: true
  base_path:
    description: Absolute path that the folders are relative to.
    type: str
    required: true
"""

EXAMPLES = r"""
- name: Tell ComfyUI where models are
  ansible.builtin.copy:
    content: "{{ {'loras': ['models/loras']} | emprops.comfyui.render_model_paths('/workspace/shared') }}"
    dest: /etc/comfyui/extra_model_paths.yaml
    mode: "0644"
"""

RETURN = r"""
_value:
  description: Text of the file.
  type: str
"""

from ansible.errors import AnsibleFilterError
from ansible_collections.emprops.comfyui.plugins.module_utils._model_paths import ModelPathsError, render_model_paths


def _render_model_paths(table, base_path):
    try:
        return render_model_paths(table, base_path)
    except ModelPathsError as error:
        raise AnsibleFilterError(f"the table of model paths cannot be used:\n{error}") from error


class FilterModule:
    def filters(self):
        return {"render_model_paths": _render_model_paths}
