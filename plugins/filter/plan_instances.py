# GNU General Public License v3.0+ (see https://www.gnu.org/licenses/gpl-3.0.txt)

from __future__ import annotations

DOCUMENTATION = r"""
name: plan_instances
short_description: Give each GPU its own ComfyUI instance
version_added: 0.1.0
author: EmProps (@stakeordie)
description:
  - Turns the GPUs of a machine into the instances that it should run, each with its port, folder and settings.
  - A GPU keeps its port whichever other GPUs are in use.
options:
  _input:
    description: GPUs as M(emprops.comfyui.gpu_info) returns them.
    type: list
    elements: dict
    required: true
  root:
    description: Folder of the installation.
    type: str
    required: true
  base_port:
    description: Port of the instance on GPU 0; each instance listens on this plus its GPU index.
    type: int
    required: true
  listen:
    description: Address that every instance listens on.
    type: str
    default: 127.0.0.1
  indexes:
    description: GPUs that get an instance; none means all.
    type: list
    elements: int
    default: []
  extra_args:
    description: More arguments for main.py.
    type: list
    elements: str
    default: []
  env:
    description: More variables for every instance.
    type: dict
    default: {}
  model_paths_file:
    description: YAML with the model folders.
    type: str
    default: ""
"""

EXAMPLES = r"""
- name: Show where the instances of a machine listen
  ansible.builtin.debug:
    msg: "{{ gpus | emprops.comfyui.plan_instances(root='/workspace', base_port=8188) | map(attribute='port') }}"
    # => [8188, 8189]
"""

RETURN = r"""
_value:
  description: One entry per instance, by GPU index.
  type: list
  elements: dict
  sample:
    - {name: gpu0, unit: comfyui@gpu0.service, url: "http://127.0.0.1:8188", gpu: 0, port: 8188, dir: /workspace/comfyui_gpu0}
"""

from ansible.errors import AnsibleFilterError
from ansible_collections.emprops.comfyui.plugins.module_utils._instances import PlanError, plan_instances


def _plan_instances(gpus, **options):
    try:
        return plan_instances(gpus, **options)
    except PlanError as error:
        raise AnsibleFilterError(str(error)) from error


class FilterModule:
    def filters(self):
        return {"plan_instances": _plan_instances}
