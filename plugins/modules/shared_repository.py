#!/usr/bin/python
# GNU General Public License v3.0+ (see https://www.gnu.org/licenses/gpl-3.0.txt)

from __future__ import annotations

DOCUMENTATION = r"""
module: shared_repository
short_description: Keep the shared repository on a machine at one checked commit
version_added: 0.1.0
author: EmProps (@stakeordie)
description:
  - Puts the files of one commit into a folder that may hold more than them. What the repository does not track stays, C(models/) above all.
  - A branch keeps the commit that it was installed at until O(update) is asked for, or O(repository) or O(version) change,
    so that a plain second run changes nothing and asks no git server.
  - The manifest, C(static-models.json) and the workflows of a new commit are checked before any file of the old one is replaced.
  - A file that was changed on the machine, or stands where the repository has another one, is named in an error and stays.
  - A run that was killed is finished by the next one.
options:
  path:
    description: Folder that the repository is in.
    type: path
    default: /workspace/shared
  repository:
    description: Address of the repository.
    type: str
    required: true
  version:
    description: Branch, tag or full commit. Without it, the default branch.
    type: str
  manifest:
    description: File of the repository that lists the custom-node packs.
    type: str
    default: config_nodes.json
  update:
    description: Whether to move to what the branch or tag is at now.
    type: bool
    default: false
  accept_rewritten:
    description: Whether the branch may have been rewritten since it was installed.
    type: bool
    default: false
  discard_changes:
    description:
      - Whether files that were changed on the machine give way.
      - They are saved below C(local_changes/) in O(path) first, and a warning says where.
    type: bool
    default: false
  cache:
    description: Folder for the mirror of the repository.
    type: path
    default: /workspace/cache
  account:
    description: Account that runs git and owns the files; by default the one that runs the module.
    type: str
  wait_seconds:
    description: How long to wait for another run that changes O(path).
    type: float
    default: 600
extends_documentation_fragment:
  - emprops.comfyui.git
attributes:
  check_mode:
    description: Can run in check mode and return changed status prediction without modifying target.
    support: full
    details:
      - On a machine that has no git, O(account) or key yet, the commit stays unknown.
      - A commit that the machine does not have is not fetched, so what is in it stays unknown and unchecked.
  diff_mode:
    description: Will return details on what has changed, or would change in check mode, when in diff mode.
    support: full
"""

EXAMPLES = r"""
- name: Have the shared repository
  emprops.comfyui.shared_repository:
    repository: git@github.com:stakeordie/emprops_shared.git
    account: comfyui-build
    git:
      ssh_key_file: /etc/comfyui/keys/emprops_shared
      ssh_known_hosts_file: /etc/comfyui/ssh_known_hosts

- name: Move it to what its branch is at now
  emprops.comfyui.shared_repository:
    repository: https://github.com/stakeordie/emprops_shared
    version: main
    update: true
    git:
      token: "{{ vault_github_token }}"
      token_url: https://github.com/stakeordie/emprops_shared
"""

RETURN = r"""
commit:
  description: Commit that the files are at; null where check mode cannot know it.
  type: str
  returned: success
  sample: 3f1c0d2e8a5b4c6d7e8f90a1b2c3d4e5f6a7b8c9
commit_before:
  description: Commit that they were at, null on a new machine.
  type: str
  returned: success
version:
  description: The version asked for, null for the default branch.
  type: str
  returned: success
manifest:
  description: Path of the manifest.
  type: str
  returned: success
  sample: /workspace/shared/config_nodes.json
packs:
  description: Names of the packs in the manifest, in install order. In check mode empty where the files would change, like the next two.
  type: list
  elements: str
  returned: success
  sample: [ComfyUI-Manager, emprops_comfy_nodes]
static_models:
  description: What C(static-models.json) holds.
  type: dict
  returned: success
  sample:
    symlinks: [{source: Stable-diffusion/base.safetensors, target: checkpoints/base.safetensors, description: ""}]
    no_index: [{path: /workspace/shared/models/vae, reason: filled by hand}]
workflows:
  description: Paths of the workflows.
  type: list
  elements: str
  returned: success
  sample: [/workspace/shared/workflows/Red square.json]
saved:
  description: Folder with the files that gave way because of O(discard_changes).
  type: str
  returned: when there were any
warnings:
  description: Oddities in the files that do not keep them from being used, such as a workflow that is not JSON.
  type: list
  elements: str
  returned: when there are any
"""

import shutil
from pathlib import Path

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.emprops.comfyui.plugins.module_utils._command import Account, CommandError, machine_environment
from ansible_collections.emprops.comfyui.plugins.module_utils._git import PROTOCOLS, GitError, check_ref, clean_url
from ansible_collections.emprops.comfyui.plugins.module_utils._git_options import GIT_OPTION, git_access
from ansible_collections.emprops.comfyui.plugins.module_utils._model_paths import ModelPathsError, check_relative
from ansible_collections.emprops.comfyui.plugins.module_utils._shared import Content, Shared, SharedError, plan_shared, put_shared


def main():
    module = AnsibleModule(
        argument_spec={
            "path": {"type": "path", "default": "/workspace/shared"},
            "repository": {"type": "str", "required": True},
            "version": {"type": "str"},
            "manifest": {"type": "str", "default": "config_nodes.json"},
            "update": {"type": "bool", "default": False},
            "accept_rewritten": {"type": "bool", "default": False},
            "discard_changes": {"type": "bool", "default": False},
            "cache": {"type": "path", "default": "/workspace/cache"},
            "account": {"type": "str"},
            "wait_seconds": {"type": "float", "default": 600.0},
            "git": GIT_OPTION,
        },
        supports_check_mode=True,
    )
    options = module.params
    path = Path(options["path"])
    version = options["version"] or None
    manifest = str(path / options["manifest"])
    try:
        url = clean_url(options["repository"], (options["git"] or {}).get("protocols") or PROTOCOLS)
        check_relative(options["manifest"])
        if version:
            check_ref(version)
        if module.check_mode and (lacking := missing_parts(options)):
            module.warn(f"there is no {lacking} yet, so check mode cannot know the commit of {url}")
            module.exit_json(changed=True, **describe(Content(), path), commit=None, commit_before=None, version=version, manifest=manifest)
        shared = Shared(path.resolve(), Path(options["cache"]), git_access(options["git"], Account.named(options["account"])))
        with shared.exclusive(options["wait_seconds"], dry=module.check_mode):
            plan = plan_shared(
                shared,
                url,
                version,
                options["manifest"],
                update=options["update"],
                accept_rewritten=options["accept_rewritten"],
                discard_changes=options["discard_changes"],
                dry=module.check_mode,
            )
            saved = None if module.check_mode else put_shared(shared, plan)
    except (CommandError, GitError, ModelPathsError, SharedError, OSError) as error:
        module.fail_json(msg=str(error))

    content = plan.content or Content()
    for warning in content.warnings:
        module.warn(warning)
    if saved:
        module.warn(f"what was changed in {path} gave way to the repository's and is saved in {saved}")
    module.exit_json(
        changed=plan.moves,
        **describe(content, path),
        **({"saved": saved} if saved else {}),
        commit=plan.wanted.commit,
        commit_before=plan.before,
        version=version,
        manifest=manifest,
        diff=plan.diff,
    )


def missing_parts(options):
    """What earlier tasks bring, and check mode does not."""
    git = options["git"] or {}
    files = [git.get("ssh_key_file"), git.get("ssh_known_hosts_file")]
    missing = [file for file in files if file and not Path(file).exists()]
    if not shutil.which("git", path=machine_environment()["PATH"]):
        missing.append("git")
    try:
        Account.named(options["account"])
    except CommandError:
        missing.append(f"account {options['account']}")
    return " and no ".join(missing)


def describe(content, path):
    return {
        "packs": content.packs,
        "static_models": content.static_models,
        "workflows": [str(path / name) for name in content.workflows],
    }


if __name__ == "__main__":
    main()
