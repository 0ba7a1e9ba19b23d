#!/usr/bin/python
# GNU General Public License v3.0+ (see https://www.gnu.org/licenses/gpl-3.0.txt)

from __future__ import annotations

DOCUMENTATION = r"""
module: custom_nodes
short_description: Put every custom-node pack and all Python packages into the open release
version_added: 0.1.0
author: EmProps (@stakeordie)
description:
  - Takes the whole manifest in one call, fetches and checks out all packs side by side, each at one commit.
  - A pack without a pinned commit keeps the commit of the installed release until it is named in O(update),
    so that a plain second run changes nothing and asks no git server.
  - The requirements of ComfyUI and of all packs are resolved together, once; packs cannot move torch.
  - Works in a release that M(emprops.comfyui.release) opened, or opens one beside the running one when the
    packs differ from it. Nothing that runs is touched.
  - Writes the environment variables of the packs to O(env_file), readable by root alone.
options:
  root:
    description: Folder of the installation.
    type: path
    default: /workspace
  manifest_file:
    description: Manifest on the machine, an object whose C(custom_nodes) is the list of packs.
    type: path
  packs:
    description: Packs in the same shape, added to those of O(manifest_file); one of the same name replaces it.
    type: list
    elements: dict
    default: []
  needed:
    description:
      - Packs that were found to be needed, in the same shape.
      - One whose name or repository is listed already adds nothing.
    type: list
    elements: dict
    default: []
  secrets:
    description: Values for C(${NAME}) in the packs' environment. A name without a value becomes empty.
    type: dict
    default: {}
  env_file:
    description: Where the packs' environment is written.
    type: path
    default: /etc/comfyui/custom_nodes.env
  constraints:
    description: Requirement lines that limit versions, such as C(numpy<2).
    type: list
    elements: str
    default: []
  overrides:
    description: Requirement lines that outvote what ComfyUI and the packs ask for.
    type: list
    elements: str
    default: []
  update:
    description: Names of packs that move to what their branch is at now, or V(all).
    type: list
    elements: str
    default: []
  accept_rewritten:
    description: Names of packs, or V(all), whose branch may have been rewritten since it was installed.
    type: list
    elements: str
    default: []
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
- name: Bring in the packs of the shared repository
  emprops.comfyui.custom_nodes:
    manifest_file: /workspace/shared/config_nodes.json
    secrets: "{{ custom_nodes_secrets }}"
    account: comfyui-build

- name: Move one pack to what its branch is at now
  emprops.comfyui.custom_nodes:
    manifest_file: /workspace/shared/config_nodes.json
    update: [ComfyUI-VideoHelperSuite]
"""

RETURN = r"""
packs:
  description: Every pack, in install order.
  type: list
  elements: dict
  returned: success
  sample:
    - {name: demo_text, commit: 3f1c…, commit_before: null, seconds: 0.4, changed: true}
release:
  description: Id of the release that holds these packs; null while check mode only predicts it.
  type: str
  returned: success
  sample: 20261120-210437
seconds:
  description: Seconds for fetch, resolve and install.
  type: dict
  returned: success
  sample: {fetch: 0.9, resolve: 1.2, install: 4.1}
unset:
  description: Names that the packs' environment refers to and that have no value.
  type: list
  elements: str
  returned: success
  sample: [OPENAI_API_KEY]
"""

from pathlib import Path

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.emprops.comfyui.plugins.module_utils._command import Account, CommandError, account_exists
from ansible_collections.emprops.comfyui.plugins.module_utils._files import put_text
from ansible_collections.emprops.comfyui.plugins.module_utils._git import GitError
from ansible_collections.emprops.comfyui.plugins.module_utils._git_options import GIT_OPTION, git_access
from ansible_collections.emprops.comfyui.plugins.module_utils._manifest import (
    ManifestError,
    add_needed,
    merge_packs,
    read_manifest,
    render_env,
    resolve_env,
)
from ansible_collections.emprops.comfyui.plugins.module_utils._python_env import PythonEnvError
from ansible_collections.emprops.comfyui.plugins.module_utils._release import (
    ReleaseError,
    Workspace,
    fill,
    plan_fill,
    unchanged_packs,
)


def main():
    module = AnsibleModule(
        argument_spec={
            "root": {"type": "path", "default": "/workspace"},
            "manifest_file": {"type": "path"},
            "packs": {"type": "list", "elements": "dict", "default": []},
            "needed": {"type": "list", "elements": "dict", "default": []},
            "secrets": {"type": "dict", "default": {}, "no_log": True},
            "env_file": {"type": "path", "default": "/etc/comfyui/custom_nodes.env"},
            "constraints": {"type": "list", "elements": "str", "default": []},
            "overrides": {"type": "list", "elements": "str", "default": []},
            "update": {"type": "list", "elements": "str", "default": []},
            "accept_rewritten": {"type": "list", "elements": "str", "default": []},
            "account": {"type": "str"},
            "wait_seconds": {"type": "float", "default": 600.0},
            "git": GIT_OPTION,
        },
        supports_check_mode=True,
    )
    options = module.params
    if module.check_mode and not account_exists(options["account"]):
        module.exit_json(changed=True, packs=[], release=None, seconds={}, unset=[])  # a new machine
    try:
        account = Account.named(options["account"])
        access = git_access(options["git"], account)
        workspace = Workspace(Path(options["root"]), account)
        if module.check_mode and workspace.opened() is None and workspace.wanted_lock() is None:
            # A new machine: neither the manifest nor a release is there yet to compare with.
            module.exit_json(changed=True, packs=[], release=None, seconds={}, unset=[])
        listed, warnings = read_manifest(options["manifest_file"], access.protocols)
        packs, more = merge_packs(listed, options["packs"], access.protocols)
        packs = add_needed(packs, options["needed"], access.protocols)
        env, unset = resolve_env(packs, {name: "" if value is None else str(value) for name, value in options["secrets"].items()})
        with workspace.exclusive(options["wait_seconds"], dry=module.check_mode):
            plan = plan_fill(
                workspace,
                packs,
                access,
                constraints=options["constraints"],
                overrides=options["overrides"],
                update=options["update"],
                accept_rewritten=options["accept_rewritten"],
            )
            report = fill(workspace, plan, access) if plan.changed and not module.check_mode else unchanged_packs(plan)
            # Last, because the running instances read it when they are started anew.
            env_changed = put_text(Path(options["env_file"]), render_env(env), mode=0o600, dry=module.check_mode)
            release = plan.sealed or (opened[0].name if (opened := workspace.opened()) else None)
    except (CommandError, GitError, ManifestError, PythonEnvError, ReleaseError, OSError) as error:
        module.fail_json(msg=str(error))

    for warning in (*warnings, *more, *report.warnings):
        module.warn(warning)
    if unset:
        module.warn(f"no value in custom_nodes_secrets, so empty for the packs: {', '.join(unset)}")
    module.exit_json(
        changed=plan.changed or env_changed,
        packs=[vars(pack) for pack in report.packs],
        release=release,
        seconds={name: round(seconds, 3) for name, seconds in report.seconds.items()},
        unset=unset,
        diff=plan.diff,
    )


if __name__ == "__main__":
    main()
