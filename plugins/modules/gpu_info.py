#!/usr/bin/python
# GNU General Public License v3.0+ (see https://www.gnu.org/licenses/gpl-3.0.txt)

from __future__ import annotations

DOCUMENTATION = r"""
module: gpu_info
short_description: List the NVIDIA GPUs of a machine
version_added: 0.1.0
author: EmProps (@stakeordie)
description:
  - Asks C(nvidia-smi) which physical GPUs there are, and which MIG devices where MIG is on.
  - Fails, saying what to do, where C(nvidia-smi) is missing, fails, lists nothing, or does not answer within 20 seconds
    as happens with a hung driver.
options:
  mock_gpus:
    description:
      - Pretend to have so many GPUs, without asking C(nvidia-smi), to plan with on a machine that has none.
      - A mock GPU has the same uuid in every run.
      - V(0) looks for real GPUs.
    type: int
    default: 0
  expected:
    description: Fail when there are fewer GPUs than this.
    type: int
  nvidia_smi:
    description:
      - The C(nvidia-smi) to ask.
      - By default it is looked for on the PATH and then in the places where drivers and container runtimes put it.
    type: path
attributes:
  check_mode:
    description: Can run in check mode and return changed status prediction without modifying target.
    support: full
    details: This module only reads.
  diff_mode:
    description: Will return details on what has changed, or would change in check mode, when in diff mode.
    support: none
    details: This module changes nothing.
"""

EXAMPLES = r"""
- name: List the GPUs, and insist on all eight
  emprops.comfyui.gpu_info:
    expected: 8
  register: gpus

- name: Show one line for each GPU
  ansible.builtin.debug:
    msg: "{{ item.index }} {{ item.uuid }} {{ item.name }}"
  loop: "{{ gpus.gpus }}"

- name: Plan with two GPUs on a machine without any
  emprops.comfyui.gpu_info:
    mock_gpus: 2
"""

RETURN = r"""
gpus:
  description: The physical GPUs, in the order of C(nvidia-smi).
  type: list
  elements: dict
  returned: success
  contains:
    index:
      description: Number of the GPU. It can change when another GPU is added or fails.
      type: int
      sample: 0
    uuid:
      description: What names this GPU for as long as it exists.
      type: str
      sample: GPU-5d5a9d4b-8c34-4f0e-9a77-0c1a7c5b2f10
    name:
      description: Name of the model.
      type: str
      sample: NVIDIA H200
    memory_mib:
      description: Size of its memory. V(null) where the GPU shares the memory of the machine, V(0) for a mock GPU.
      type: int
      sample: 143771
    driver:
      description: Version of the driver. V(null) for a mock GPU.
      type: str
      sample: 580.159.03
    mig_mode:
      description: V(enabled) or V(disabled), or V(null) where the GPU has no MIG.
      type: str
      sample: disabled
    mig_devices:
      description: The MIG devices of this GPU.
      type: list
      elements: dict
      contains:
        uuid:
          description: What names this MIG device.
          type: str
          sample: MIG-7089d0f3-293f-58c9-8f8c-5ea666eedbde
        profile:
          description: Its size.
          type: str
          sample: 3g.71gb
    pci_bus_id:
      description: Where it is plugged in.
      type: str
      sample: 00000000:19:00.0
    compute_capability:
      description: What its processors can do.
      type: str
      sample: "9.0"
    minor:
      description: Number of its device file C(/dev/nvidiaN), which need not be the index. V(null) where the kernel does not tell.
      type: int
      sample: 0
    mock:
      description: Whether this GPU was made up.
      type: bool
      sample: false
driver_version:
  description: Version of the driver. V(null) with mock GPUs.
  type: str
  returned: success
  sample: 580.159.03
count:
  description: How many GPUs there are.
  type: int
  returned: success
  sample: 8
"""

from dataclasses import asdict

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.emprops.comfyui.plugins.module_utils._gpus import GpuError, check_expected, mock_gpus, read_gpus


def main():
    module = AnsibleModule(
        argument_spec={
            "mock_gpus": {"type": "int", "default": 0},
            "expected": {"type": "int"},
            "nvidia_smi": {"type": "path"},
        },
        supports_check_mode=True,
    )
    count, expected = module.params["mock_gpus"], module.params["expected"]
    try:
        gpus = mock_gpus(count) if count else read_gpus(module.params["nvidia_smi"])
        if expected is not None:
            check_expected(gpus, expected)
    except GpuError as error:
        module.fail_json(msg=str(error))

    module.exit_json(changed=False, gpus=[asdict(gpu) for gpu in gpus], driver_version=gpus[0].driver, count=len(gpus))


if __name__ == "__main__":
    main()
