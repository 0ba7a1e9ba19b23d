#!/usr/bin/python
# GNU General Public License v3.0+ (see https://www.gnu.org/licenses/gpl-3.0.txt)

from __future__ import annotations

DOCUMENTATION = r"""
module: deploy_lock
short_description: Let one run at a time change a machine
version_added: 0.1.0
author: EmProps (@stakeordie)
description:
  - Takes the machine for this run of Ansible, or gives it back.
  - A machine that another run holds is an error that names the run, unless that run was started from the same
    controller and is dead; then its place is taken.
  - Never counts as a change, because it leaves nothing behind.
options:
  state:
    description: Whether this run holds the machine.
    type: str
    choices: [held, released]
    default: held
  path:
    description: Folder of the lock file.
    type: path
    default: /workspace/state
  wait_seconds:
    description: How long to wait for another run before failing.
    type: float
    default: 0
  stale_seconds:
    description: A run that cannot be asked counts as dead so long after its last sign of life.
    type: float
    default: 14400
  run:
    description: Identity of this run; the action plugin of the same name fills it in on the controller.
    type: dict
  gone:
    description: Identity of a run that is known to be dead; filled in by the action plugin.
    type: dict
attributes:
  check_mode:
    description: Can run in check mode and return changed status prediction without modifying target.
    support: full
  diff_mode:
    description: Will return details on what has changed, or would change in check mode, when in diff mode.
    support: none
"""

EXAMPLES = r"""
- name: Keep other runs away from this machine
  emprops.comfyui.deploy_lock:
    path: /workspace/state

- name: Let others in again
  emprops.comfyui.deploy_lock:
    path: /workspace/state
    state: released
"""

RETURN = r"""
holder:
  description: The run that holds the machine when the task failed.
  type: dict
  returned: failure
"""

from dataclasses import asdict
from pathlib import Path

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.emprops.comfyui.plugins.module_utils._deploy_lock import (
    DeployLockError,
    Run,
    hold,
    read_holder,
    release,
)


def main():
    module = AnsibleModule(
        argument_spec={
            "state": {"type": "str", "choices": ["held", "released"], "default": "held"},
            "path": {"type": "path", "default": "/workspace/state"},
            "wait_seconds": {"type": "float", "default": 0.0},
            "stale_seconds": {"type": "float", "default": 14400.0},
            "run": {"type": "dict"},
            "gone": {"type": "dict"},
        },
        supports_check_mode=True,
    )
    options = module.params
    if options["run"] is None:
        module.fail_json(msg="deploy_lock works through its action plugin only; call it as a task, not as a module")
    state, run = Path(options["path"]), Run(**options["run"])
    try:
        if module.check_mode:
            pass
        elif options["state"] == "held":
            gone = Run(**options["gone"]) if options["gone"] else None
            replaced = hold(state, run, wait=options["wait_seconds"], stale=options["stale_seconds"], gone=gone)
            if replaced:
                module.warn(f"took the place of a run that is dead: {replaced}")
        else:
            release(state, run)
    except (DeployLockError, OSError) as error:
        try:
            holder = read_holder(state)
        except DeployLockError:
            holder = None
        module.fail_json(msg=str(error), holder=asdict(holder) if holder else None)
    module.exit_json(changed=False)


if __name__ == "__main__":
    main()
