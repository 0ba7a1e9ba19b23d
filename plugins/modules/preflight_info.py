#!/usr/bin/python
# GNU General Public License v3.0+ (see https://www.gnu.org/licenses/gpl-3.0.txt)

from __future__ import annotations

DOCUMENTATION = r"""
module: preflight_info
short_description: Tell everything that keeps a machine from becoming what its inventory asks
version_added: 0.1.0
author: EmProps (@stakeordie)
description:
  - Looks at the machine, at the inventory's values and at the servers that a deployment needs, and lists all that is wrong at once.
  - It changes nothing, ends no process and never fails because of what it finds.
  - Servers are only greeted, all at the same time. Any HTTP answer counts as reachable, an SSH server must say its version.
    Proxies are taken from the environment, as git and the downloads take them.
options:
  controller_version:
    description: Version of ansible-core on the controller.
    type: str
    required: true
  supported_os:
    description: Operating systems to accept, each as C(ID VERSION_ID) of C(/etc/os-release).
    type: list
    elements: str
    required: true
  root:
    description: Where everything will live. The disk is asked at its nearest parent that exists.
    type: raw
    required: true
  disk_gib:
    description: Free space that O(root) needs before the first installation.
    type: float
    required: true
  deployed_disk_gib:
    description: Free space that O(root) needs where a release is active already.
    type: float
    required: true
  memory_gib:
    description: Memory that the machine needs. A tenth less is accepted, because the kernel keeps a share for itself.
    type: float
    required: true
  base_port:
    description: The instance on GPU 0 listens on this port, the one on GPU 1 on the next, and so on.
    type: raw
    required: true
  gpus:
    description: Indexes of the GPUs that get an instance. Without it, every GPU gets one.
    type: raw
  mock_gpus:
    description: With more than 0, stands for that many GPUs on a machine that has none.
    type: raw
    default: 0
  expected_gpus:
    description: GPUs that the machine must have at least.
    type: raw
  paths:
    description: More paths to check, by the variable that holds each.
    type: dict
    default: {}
  names:
    description: File names to check, a list for each variable that holds some.
    type: dict
    default: {}
  urls:
    description:
      - Addresses of git repositories and model hubs, a list for each variable that holds some.
      - Pass them through P(emprops.comfyui.hide_credentials#filter), so that a credential in one is complained about and not logged.
    type: dict
    default: {}
  reach:
    description:
      - Whether to ask if the servers behind O(urls) can be reached.
      - V(new) asks only where no release is active yet, because a machine that is up to date needs no server.
    type: str
    choices: [always, new, never]
    default: new
  timeout_seconds:
    description: How long a server may take to answer.
    type: float
    default: 5
  secrets:
    description: Which secrets are needed, and whether they are there. The secrets themselves are not wanted here.
    type: list
    elements: dict
    default: []
    suboptions:
      name:
        description: The variable that holds it, or the variables.
        type: str
        required: true
      present:
        description: Whether it is set.
        type: bool
        required: true
      needed_for:
        description: What cannot work without it.
        type: str
        required: true
attributes:
  check_mode:
    description: Can run in check mode and return changed status prediction without modifying target.
    support: full
  diff_mode:
    description: Will return details on what has changed, or would change in check mode, when in diff mode.
    support: none
"""

EXAMPLES = r"""
- name: Find all that is wrong
  emprops.comfyui.preflight_info:
    controller_version: "{{ ansible_version.full }}"
    supported_os: [ubuntu 24.04, debian 12]
    root: /workspace
    disk_gib: 40
    deployed_disk_gib: 5
    memory_gib: 8
    base_port: 8188
    expected_gpus: 2
    urls:
      comfyui_fork_repository: ["{{ comfyui_fork_repository | emprops.comfyui.hide_credentials }}"]
  register: found
"""

RETURN = r"""
problems:
  description: All that is wrong, each with the check that found it and what to do.
  type: list
  elements: dict
  returned: success
  sample:
    - check: ports
      message: port 8188 is held by nginx (pid 812, nginx.service)
      fix: stop that program yourself, or choose another comfyui_instances_base_port
checks:
  description: The checks that were made. One that depends on a value that is wrong is not.
  type: list
  elements: str
  returned: success
  sample: [controller, inventory, secrets, user, os]
report:
  description: The problems as one message for a person.
  type: str
  returned: success
  sample: This machine can become what the inventory asks.
"""

import sys
from dataclasses import asdict, replace

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.emprops.comfyui.plugins.module_utils._preflight import (
    MINIMUM_PYTHON,
    Wanted,
    check_all,
    read_found,
    report,
    wanted_addresses,
    wanted_mock_gpus,
    wanted_ports,
)
from ansible_collections.emprops.comfyui.plugins.module_utils._reach import reach_all

# An older Python is one of the problems to report, so what needs a newer one is not loaded there.
if sys.version_info >= MINIMUM_PYTHON:
    from ansible_collections.emprops.comfyui.plugins.module_utils._gpus import GpuError, read_gpus
    from ansible_collections.emprops.comfyui.plugins.module_utils._ports import listeners


def look_further(wanted, found):
    """The GPUs, and who listens on the ports that they lead to."""
    mock = wanted_mock_gpus(wanted)
    if mock:
        found = replace(found, gpus=mock)
    elif mock == 0:
        try:
            found = replace(found, gpus=len(read_gpus()))
        except GpuError as error:
            found = replace(found, gpu_error=str(error).rstrip("."))
    ports = wanted_ports(wanted, found.gpus)
    return replace(found, listeners=listeners(ports)) if ports else found


def main():
    module = AnsibleModule(
        argument_spec={
            "controller_version": {"type": "str", "required": True},
            "supported_os": {"type": "list", "elements": "str", "required": True},
            "root": {"type": "raw", "required": True},
            "disk_gib": {"type": "float", "required": True},
            "deployed_disk_gib": {"type": "float", "required": True},
            "memory_gib": {"type": "float", "required": True},
            "base_port": {"type": "raw", "required": True},
            "gpus": {"type": "raw"},
            "mock_gpus": {"type": "raw", "default": 0},
            "expected_gpus": {"type": "raw"},
            "paths": {"type": "dict", "default": {}},
            "names": {"type": "dict", "default": {}},
            "urls": {"type": "dict", "default": {}},
            "reach": {"type": "str", "choices": ["always", "new", "never"], "default": "new"},
            "timeout_seconds": {"type": "float", "default": 5},
            "secrets": {
                "type": "list",
                "elements": "dict",
                "default": [],
                "no_log": False,
                "options": {
                    "name": {"type": "str", "required": True},
                    "present": {"type": "bool", "required": True},
                    "needed_for": {"type": "str", "required": True},
                },
            },
        },
        supports_check_mode=True,
    )
    reach = module.params.pop("reach")
    timeout = module.params.pop("timeout_seconds")
    wanted = Wanted(**module.params)

    found = read_found(wanted)
    if found.python >= MINIMUM_PYTHON:
        found = look_further(wanted, found)
    if reach == "always" or (reach == "new" and not found.deployed):
        found = replace(found, answers=reach_all(set(wanted_addresses(wanted)), timeout))

    problems, checks = check_all(wanted, found)
    module.exit_json(changed=False, problems=[asdict(problem) for problem in problems], checks=checks, report=report(problems))


if __name__ == "__main__":
    main()
