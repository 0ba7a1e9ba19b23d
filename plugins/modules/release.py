#!/usr/bin/python
# GNU General Public License v3.0+ (see https://www.gnu.org/licenses/gpl-3.0.txt)

from __future__ import annotations

DOCUMENTATION = r"""
module: release
short_description: Open, seal, activate and prune releases of ComfyUI
version_added: 0.1.0
author: EmProps (@stakeordie)
description:
  - A release is one complete installation in a folder of its own, C(releases/<id>), never edited once it is sealed.
  - O(state=opened) makes sure that a release with the wanted ComfyUI and an environment for it is there. One that
    is sealed already and has both is the answer; else a new one is opened beside it. Between them the M(emprops.comfyui.custom_nodes)
    module fills in packs and Python packages.
  - O(state=sealed) writes the lock of the open release and makes it the candidate.
  - O(state=active) switches to the candidate, starts anew what runs something else, and waits until every instance
    is ready and has the node types of every pack. If that fails, what served before is brought back and the task fails.
    What the packs of the release that runs bring is left in C(state/packs.json). A class that somebody else brings too is warned of,
    and so are packs that bring no node type.
  - O(state=pruned) removes the oldest releases.
options:
  state:
    description: What to do.
    type: str
    choices: [opened, sealed, active, pruned]
    required: true
  root:
    description: Folder of the installation.
    type: path
    default: /workspace
  repository:
    description: Repository of ComfyUI. Required for O(state=opened).
    type: str
  version:
    description: Branch, tag or commit. Required for O(state=opened).
    type: str
  update:
    description: Move to what the branch or tag is at now, instead of keeping the installed commit.
    type: bool
    default: false
  accept_rewritten:
    description: Accept that the branch no longer holds the installed commit.
    type: bool
    default: false
  python:
    description: How the environment is made. A difference to the installed release means a new release. Required for O(state=opened).
    type: dict
    suboptions:
      interpreter:
        description: Python of the machine that the environment is made of.
        type: str
        default: python3
      uv_version:
        description: Version of uv that installs.
        type: str
        required: true
      index_url:
        description: Package index; empty means the one that the machine's pip or uv is configured for.
        type: str
        default: ""
      torch_index_url:
        description: Further index, for torch builds.
        type: str
        default: ""
      torch_wheels_dir:
        description: Folder on the machine with wheels of torch.
        type: str
        default: ""
      exclude_newer:
        description: Date; packages published later are not considered.
        type: str
        default: ""
  release:
    description: Release to activate; by default the candidate.
    type: str
  instances:
    description: Every instance of the machine. Required for O(state=active).
    type: list
    elements: dict
    suboptions:
      name:
        description: Name of the instance, such as V(gpu0).
        type: str
        required: true
      unit:
        description: Its systemd unit.
        type: str
        required: true
      url:
        description: Where it answers.
        type: str
        required: true
      settings:
        description: Variables of its settings file.
        type: dict
        required: true
  settings_dir:
    description: Folder of the settings files.
    type: path
    default: /etc/comfyui/instances
  digest_files:
    description: Further files that an instance reads when it starts; a change of one starts the instances anew.
    type: list
    elements: path
    default: []
  ready_seconds:
    description: How long the instances may take until they are ready.
    type: float
    default: 600
  missing_node_types:
    description: What it means when a pack does not bring a node type that its source declares.
    type: str
    choices: [fail, warn]
    default: fail
  keep:
    description: How many releases O(state=pruned) leaves. Those in use are always left.
    type: int
    default: 3
  account:
    description: Account that runs git and the installer; by default the one that runs the module.
    type: str
  wait_seconds:
    description: How long to wait for another process that changes the releases.
    type: float
    default: 600
extends_documentation_fragment:
  - emprops.comfyui.git
attributes:
  check_mode:
    description: Can run in check mode and return changed status prediction without modifying target.
    support: full
  diff_mode:
    description: Will return details on what has changed, or would change in check mode, when in diff mode.
    support: full
"""

EXAMPLES = r"""
- name: Open a release of the fork
  emprops.comfyui.release:
    state: opened
    repository: https://github.com/stakeordie/ComfyUI.git
    version: websocket_version
    python:
      uv_version: 0.13.8
      exclude_newer: "2025-02-01"

- name: Seal it
  emprops.comfyui.release:
    state: sealed

- name: Serve it
  emprops.comfyui.release:
    state: active
    instances:
      - name: gpu0
        unit: comfyui@gpu0.service
        url: http://127.0.0.1:8188
        settings: {COMFYUI_ARGS: --port 8188}
"""

RETURN = r"""
release:
  description: Id of the release that was opened, sealed or activated; null while check mode only predicts it.
  type: str
  returned: when O(state) is not V(pruned)
  sample: 20261120-210437
commit:
  description: Commit of ComfyUI.
  type: str
  returned: when O(state=opened)
  sample: f4787e510491636f6b0a15edbf564992821f1571
lock:
  description: The lock of the release (release.json).
  type: dict
  returned: when O(state) is V(sealed) or V(active) and the release is sealed
restarts:
  description: Why each instance that was started anew had to be, by name.
  type: dict
  returned: when O(state=active)
  sample: {gpu0: it does not run}
instances:
  description: The instances as M(emprops.comfyui.instance_info) returns them.
  type: list
  elements: dict
  returned: when O(state=active), outside check mode
packs:
  description: What the running instances say of each pack of the release, all of them together.
  type: list
  elements: dict
  returned: when O(state=active), outside check mode
  contains:
    name:
      description: Folder of the pack.
      type: str
      sample: was-node-suite-comfyui
    version:
      description: Version of a pack of the Comfy registry; empty for one of a repository.
      type: str
    commit:
      description: Commit of a pack of a repository; empty for one of the Comfy registry.
      type: str
    import_seconds:
      description:
        - Seconds that the pack added to the start of the instance that took longest; its prestartup script is counted too.
        - V(null) where no log tells.
      type: float
      sample: 3.1
    node_types:
      description: Classes that the running program has from this pack.
      type: list
      elements: str
    missing:
      description: Classes that the pack's source declares and the running program has from nobody.
      type: list
      elements: str
    shadowed:
      description: Classes that the pack's source declares and the running program has from somebody else.
      type: list
      elements: dict
      contains:
        class:
          description: Name of the class.
          type: str
        by:
          description: Folder of the pack that won, or V(ComfyUI).
          type: str
    error:
      description: Why the pack could not be imported. The task fails then, so that only C(state/packs.json) can tell.
      type: str
    missing_module:
      description: The Python module or shared library that was not there.
      type: str
    silent:
      description: Whether the pack was imported and brings no node type, as packs do that only add to the web interface.
      type: bool
removed:
  description: Ids of the releases that were removed.
  type: list
  elements: str
  returned: when O(state=pruned)
"""

from pathlib import Path

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.emprops.comfyui.plugins.module_utils._activation import Activation, ActivationError, WantedInstance
from ansible_collections.emprops.comfyui.plugins.module_utils._command import Account, CommandError, account_exists
from ansible_collections.emprops.comfyui.plugins.module_utils._git import GitError, clean_url
from ansible_collections.emprops.comfyui.plugins.module_utils._git_options import GIT_OPTION, git_access
from ansible_collections.emprops.comfyui.plugins.module_utils._instance_state import InstanceStateError, to_result
from ansible_collections.emprops.comfyui.plugins.module_utils._python_env import PythonEnvError, PythonOptions, check_indexes
from ansible_collections.emprops.comfyui.plugins.module_utils._release import (
    ReleaseError,
    Workspace,
    open_release,
    plan_open,
    prune,
    seal,
)


def _opened(workspace, options, check_mode):
    access = git_access(options["git"], workspace.account)
    plan = plan_open(
        workspace,
        clean_url(options["repository"], access.protocols),
        options["version"],
        check_indexes(PythonOptions.of(options["python"])),
        access,
        update=options["update"],
        accept_rewritten=options["accept_rewritten"],
    )
    path = open_release(workspace, plan, access) if not check_mode else plan.keep
    release = path.name if path else plan.found.id if plan.satisfied else None
    return {"changed": plan.changed, "release": release, "commit": plan.fork.commit, "diff": plan.diff}


def _sealed(workspace, options, check_mode):
    release, changed = seal(workspace) if not check_mode else (None, workspace.opened() is not None)
    lock = workspace.lock_of(release) if release else None
    return {"changed": changed, "release": release, "lock": lock.as_dict() if lock else None}


def _active(workspace, options, check_mode):
    release = options["release"] or workspace.link("candidate") or workspace.link("current")
    if release is None or workspace.lock_of(release) is None:
        if check_mode:
            return {"changed": True, "release": None, "restarts": {}}
        named = f"sealed release {release}" if release else "sealed release (the comfyui_fork and custom_nodes roles make one)"
        raise ReleaseError(f"there is no {named} in {workspace.releases} to activate")
    activation = Activation(
        workspace,
        Path(options["settings_dir"]),
        tuple(map(Path, options["digest_files"])),
        options["ready_seconds"],
        options["missing_node_types"],
    )
    plan = activation.plan(release, [WantedInstance(**one) for one in options["instances"]])
    result = {"changed": plan.changed, "release": release, "restarts": dict(plan.restarts), "diff": plan.diff}
    result["lock"] = workspace.lock_of(release).as_dict()
    if check_mode:
        activation.refuse_taken_ports(plan)
    else:
        outcome = activation.apply(plan)
        result["instances"] = [to_result(state) for state in outcome.states]
        result["packs"] = [one.as_dict() for one in outcome.packs]
        result["warnings"] = outcome.warnings
    return result


def _pruned(workspace, options, check_mode):
    removed = prune(workspace, options["keep"], dry=check_mode)
    return {"changed": bool(removed), "removed": removed, "diff": {"before": {"removed": removed}, "after": {}}}


STATES = {"opened": _opened, "sealed": _sealed, "active": _active, "pruned": _pruned}


def main():
    module = AnsibleModule(
        argument_spec={
            "state": {"type": "str", "required": True, "choices": list(STATES)},
            "root": {"type": "path", "default": "/workspace"},
            "repository": {"type": "str"},
            "version": {"type": "str"},
            "update": {"type": "bool", "default": False},
            "accept_rewritten": {"type": "bool", "default": False},
            "python": {
                "type": "dict",
                "options": {
                    "interpreter": {"type": "str", "default": "python3"},
                    "uv_version": {"type": "str", "required": True},
                    "index_url": {"type": "str", "default": ""},
                    "torch_index_url": {"type": "str", "default": ""},
                    "torch_wheels_dir": {"type": "str", "default": ""},
                    "exclude_newer": {"type": "str", "default": ""},
                },
            },
            "release": {"type": "str"},
            "instances": {
                "type": "list",
                "elements": "dict",
                "options": {
                    "name": {"type": "str", "required": True},
                    "unit": {"type": "str", "required": True},
                    "url": {"type": "str", "required": True},
                    "settings": {"type": "dict", "required": True},
                },
            },
            "settings_dir": {"type": "path", "default": "/etc/comfyui/instances"},
            "digest_files": {"type": "list", "elements": "path", "default": []},
            "ready_seconds": {"type": "float", "default": 600.0},
            "missing_node_types": {"type": "str", "choices": ["fail", "warn"], "default": "fail"},
            "keep": {"type": "int", "default": 3},
            "account": {"type": "str"},
            "wait_seconds": {"type": "float", "default": 600.0},
            "git": GIT_OPTION,
        },
        required_if=[("state", "opened", ["repository", "version", "python"]), ("state", "active", ["instances"])],
        supports_check_mode=True,
    )
    options = module.params
    if module.check_mode and not account_exists(options["account"]):
        # A new machine: nothing is there to compare with, and git to ask may be missing too.
        module.exit_json(changed=options["state"] != "pruned", release=None, restarts={}, removed=[])
    try:
        workspace = Workspace(Path(options["root"]), Account.named(options["account"]))
        with workspace.exclusive(options["wait_seconds"], dry=module.check_mode):
            result = STATES[options["state"]](workspace, options, module.check_mode)
    except (ActivationError, CommandError, GitError, InstanceStateError, PythonEnvError, ReleaseError, OSError) as error:
        module.fail_json(msg=str(error))

    for warning in result.pop("warnings", []):
        module.warn(warning)
    module.exit_json(**result)


if __name__ == "__main__":
    main()
