#!/usr/bin/python
# GNU General Public License v3.0+ (see https://www.gnu.org/licenses/gpl-3.0.txt)

from __future__ import annotations

DOCUMENTATION = r"""
module: instance_info
short_description: Say what each ComfyUI instance of a machine is doing
version_added: 0.1.0
author: EmProps (@stakeordie)
description:
  - Looks at the unit, the port, the process, the log and the HTTP answers of every instance, all instances at once.
  - An instance is ready when its unit is active, its port is held by that unit, and C(/system_stats), C(/queue) and
    C(/object_info) answer. Otherwise RV(instances[].reason) says what stands in the way.
  - A port that a stranger holds is reported with the stranger's pid and program, and the stranger is not asked anything.
  - On a machine where systemd cannot be asked, instances are never ready, and what else can be seen is still returned.
options:
  instances:
    description: The instances to look at. The answers come in the same order.
    type: list
    elements: dict
    required: true
    suboptions:
      name:
        description: What to call the instance.
        type: str
        required: true
      unit:
        description: The systemd unit that runs it.
        type: str
        required: true
      url:
        description: Where it answers, on this machine.
        type: str
        required: true
      log_file:
        description: Its log file, read where the journal does not tell how the imports of this start went.
        type: path
  timeout_seconds:
    description: How long to wait for each answer of an instance.
    type: float
    default: 5
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
- name: Look at both instances
  emprops.comfyui.instance_info:
    instances:
      - name: gpu0
        unit: comfyui@gpu0.service
        url: http://127.0.0.1:8188
      - name: gpu1
        unit: comfyui@gpu1.service
        url: http://127.0.0.1:8189
        log_file: /workspace/logs/comfyui_gpu1/output.log
  register: found

- name: Insist that all are ready
  ansible.builtin.assert:
    that: found.ready
    fail_msg: "{{ found.instances | rejectattr('ready') | map(attribute='reason') | join('; ') }}"
"""

RETURN = r"""
ready:
  description: Whether every instance is ready.
  type: bool
  returned: success
instances:
  description: One answer for each instance, in the order asked. What could not be found out is V(null).
  type: list
  elements: dict
  returned: success
  contains:
    name:
      description: Name of the instance.
      type: str
      sample: gpu0
    unit:
      description: Its unit.
      type: str
      sample: comfyui@gpu0.service
    unit_state:
      description: V(active), V(activating), V(inactive), V(failed) and so on, or V(unknown) where systemd cannot be asked.
      type: str
      sample: active
    sub_state:
      description: The finer state of the unit.
      type: str
      sample: running
    restarts:
      description: How often systemd restarted it by itself since it was last started on purpose.
      type: int
      sample: 0
    pid:
      description: Main process of the unit.
      type: int
      sample: 4711
    port:
      description: Port of O(instances[].url).
      type: int
      sample: 8188
    url:
      description: Where it should answer.
      type: str
      sample: http://127.0.0.1:8188
    listening:
      description: Every process that listens on the port. An empty list is a free port.
      type: list
      elements: dict
      contains:
        address:
          description: Address it listens on.
          type: str
          sample: 127.0.0.1
        pid:
          description: The process, or V(null) where it cannot be seen.
          type: int
          sample: 4711
        program:
          description: Its program.
          type: str
          sample: python main.py
        unit:
          description: The unit that the process belongs to.
          type: str
          sample: comfyui@gpu0.service
        ours:
          description: Whether that is the unit of this instance.
          type: bool
    ready:
      description: Whether the instance can be given work.
      type: bool
    reason:
      description: Why it is not ready.
      type: str
      sample: comfyui@gpu0.service is failed (failed), result exit-code, exit status 2
    comfyui_version:
      description: Version that the instance reports.
      type: str
      sample: 0.3.12
    devices:
      description: The devices that the instance reports, as in C(/system_stats).
      type: list
      elements: dict
    queue_running:
      description: How many prompts run.
      type: int
      sample: 0
    queue_pending:
      description: How many prompts wait.
      type: int
      sample: 0
    node_types:
      description: How many node types the instance offers.
      type: int
      sample: 382
    release:
      description: Release that the running process was started from.
      type: str
      sample: 20250201-3f2a91c
    config_digest:
      description: Value of E(EMPROPS_CONFIG_DIGEST) that the running process was started with.
      type: str
    failed_imports:
      description:
        - Packs of custom nodes that the last start went on without.
        - V(null) where no log tells how the imports went, so that an empty list does mean that none failed.
        - Optional nodes that come with ComfyUI itself are not counted.
      type: list
      elements: dict
      contains:
        pack:
          description: Name of the pack.
          type: str
          sample: was-node-suite-comfyui
        error:
          description: What went wrong.
          type: str
          sample: No module named 'numba'
        missing_module:
          description: The Python module or shared library that was not there, or V(null) where something else went wrong.
          type: str
          sample: numba
        traceback:
          description: The traceback from the log.
          type: str
    import_seconds:
      description:
        - Seconds that each pack of custom nodes added to the last start, by its path; its prestartup script is counted too.
        - V(null) where no log tells how the imports went.
      type: dict
      sample: {/workspace/releases/20250201-3f2a91c/ComfyUI/custom_nodes/was-node-suite-comfyui: 3.1}
    log_error:
      description: Why RV(instances[].failed_imports) and RV(instances[].import_seconds) are V(null).
      type: str
"""

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.emprops.comfyui.plugins.module_utils._instance_state import (
    InstanceSpec,
    InstanceStateError,
    read_instances,
    to_result,
)


def main():
    module = AnsibleModule(
        argument_spec={
            "instances": {
                "type": "list",
                "elements": "dict",
                "required": True,
                "options": {
                    "name": {"type": "str", "required": True},
                    "unit": {"type": "str", "required": True},
                    "url": {"type": "str", "required": True},
                    "log_file": {"type": "path"},
                },
            },
            "timeout_seconds": {"type": "float", "default": 5},
        },
        supports_check_mode=True,
    )
    specs = [InstanceSpec(**instance) for instance in module.params["instances"]]
    try:
        states = read_instances(specs, module.params["timeout_seconds"])
    except InstanceStateError as error:
        module.fail_json(msg=str(error))

    module.exit_json(changed=False, ready=all(state.ready for state in states), instances=[to_result(state) for state in states])


if __name__ == "__main__":
    main()
