# GNU General Public License v3.0+ (see https://www.gnu.org/licenses/gpl-3.0.txt)

from __future__ import annotations

DOCUMENTATION = r"""
name: check_model_paths
short_description: Pass on a file of model paths if ComfyUI can read it
version_added: 0.1.0
author: EmProps (@stakeordie)
description:
  - Looks at the text of a file for ComfyUI's C(--extra-model-paths-config) that somebody else wrote, and returns it as it is.
  - Fails where ComfyUI would crash on it (nothing at all, null, lists, numbers) or would look outside of C(base_path).
  - Warns of keys such as C(custom_nodes) or C(output) that are no types of models.
positional: source, base_path
options:
  _input:
    description: Text of the file.
    type: str
    required: true
  source:
    description: What to call the file in messages.
    type: str
    required: true
  base_path:
    description: Where the models are, to warn of a file that does not look there.
    type: str
"""

EXAMPLES = r"""
- name: Use the model paths of the shared repository
  ansible.builtin.copy:
    content: "{{ text | emprops.comfyui.check_model_paths('comfy_dir_config.yaml', '/workspace/shared') }}"
    dest: /etc/comfyui/extra_model_paths.yaml
    mode: "0644"
"""

RETURN = r"""
_value:
  description: The same text.
  type: str
"""

import yaml
from ansible.errors import AnsibleFilterError
from ansible.utils.display import Display
from ansible_collections.emprops.comfyui.plugins.module_utils._model_paths import ModelPathsError, check_model_paths


def _check_model_paths(text, source, base_path=None):
    try:
        warnings = check_model_paths(yaml.safe_load(text), base_path)
    except (ModelPathsError, yaml.YAMLError) as error:
        raise AnsibleFilterError(f"{source} cannot be used:\n{error}") from error
    for warning in warnings:
        Display().warning(f"{source}: {warning}")
    return text


class FilterModule:
    def filters(self):
        return {"check_model_paths": _check_model_paths}
