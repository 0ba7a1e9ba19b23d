#!/usr/bin/python
# GNU General Public License v3.0+ (see https://www.gnu.org/licenses/gpl-3.0.txt)

from __future__ import annotations

DOCUMENTATION = r"""
module: custom_nodes
short_description: Put every custom-node pack and all Python packages into the open release
version_added: 0.1.0
author: EmProps (@stakeordie)
description:
  - Takes the whole manifest in one call, fetches and checks out all packs side by side, each at one commit; packs of the Comfy
    registry come as their archives, by digest.
  - A pack without a pinned commit keeps the commit of the installed release until it is named in O(update),
    so that a plain second run changes nothing and asks no git server.
  - The requirements of ComfyUI and of all packs are resolved together, once; packs cannot move torch. Where they collide, the
    message names the smallest set that does, and who asks for what.
  - A pack's C(install.py) runs in the new release as the service user, without the network, for a limited time.
  - Works in a release that M(emprops.comfyui.release) opened, or opens one beside the running one when the
    packs differ from it. Nothing that runs is touched.
  - A pack that fails is named, the others go on, and the task fails at its end.
  - Writes the environment variables of the packs to O(env_file), readable by root alone.
options:
  root:
    description: Folder of the installation.
    type: path
    default: /workspace
  manifest_file:
    description: Manifest on the machine, an object whose C(custom_nodes) is the list of packs.
    type: path
  manifest:
    description: The packs of a manifest that is no file, in the same shape; O(packs) is added to it in the same way.
    type: list
    elements: dict
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
  allowed_indexes:
    description: Package indexes that a pack's requirements may bring along. Others are left out and named.
    type: list
    elements: str
    default: []
  on_conflict:
    description:
      - What happens where requirements cannot be met together.
      - V(fail) fails.
      - V(skip_pack) leaves out, of the packs that collide, the one that comes last by its C(install_order) and its name,
        and says so in this and every later run.
      - An object C(prefer) of packages and versions lets these outvote everybody where something collides; where that does not
        help, it fails.
    type: raw
    default: fail
  unlisted:
    description:
      - What becomes of a pack that somebody put into the running release by hand. It is named in either case.
      - V(leave_out) leaves it behind. V(adopt) lists it from now on, pinned to its commit, where it is a clone of a repository that
        may be used; its entry is kept in C(state/adopted_packs.json).
    type: str
    choices: [leave_out, adopt]
    default: leave_out
  script_account:
    description: Account that runs each C(install.py); by default the same as O(account).
    type: str
  script_seconds:
    description: How long an C(install.py) may take.
    type: float
    default: 600
  registry_url:
    description: Address of the Comfy registry.
    type: str
    default: https://api.comfy.org
  registry_hosts:
    description: Hosts that the registry may keep its archives on; by default any public one, over https.
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

- name: Let one version outvote everybody where packs collide over it
  emprops.comfyui.custom_nodes:
    manifest_file: /workspace/shared/config_nodes.json
    on_conflict:
      prefer:
        numpy: 1.26.4

- name: Move one pack to what its branch is at now
  emprops.comfyui.custom_nodes:
    manifest_file: /workspace/shared/config_nodes.json
    update: [ComfyUI-VideoHelperSuite]
"""

RETURN = r"""
packs:
  description: Every pack, in install order; also in a failure.
  type: list
  elements: dict
  returned: when there is a plan
  contains:
    name:
      description: Its name.
      type: str
    commit:
      description: The commit that it is at now, or C(id@version) for one of the Comfy registry.
      type: str
    commit_before:
      description: The same for the installed release.
      type: str
    changed:
      description: Whether it is another one than in the installed release.
      type: bool
    state:
      description: V(installed), V(skipped), V(disabled), V(failed) or V(removed).
      type: str
    seconds:
      description: What it took to C(fetch) it, to C(install) it (its install.py) and to C(import) it, at the last start; null for none.
      type: dict
    added:
      description: Packages that its install.py brought beside the joint resolution.
      type: list
      elements: str
    error:
      description: What went wrong, or why it is skipped.
      type: str
  sample:
    - name: demo_text
      commit: 3f1c…
      commit_before: null
      changed: true
      state: installed
      seconds: {fetch: 0.4, install: null, import: 0.2}
      added: []
      error: null
unlisted:
  description: Packs that somebody put into the running release by hand, and the entry of a manifest that each could be; null for none.
  type: dict
  returned: success
  sample: {my_nodes: {name: my_nodes, url: https://github.com/me/my_nodes, commit: 3f1c…}}
release:
  description: Id of the release that holds these packs; null while check mode only predicts it.
  type: str
  returned: success
  sample: 20261120-210437
seconds:
  description: Seconds for fetch, resolve, install and scripts.
  type: dict
  returned: success
  sample: {fetch: 0.9, resolve: 1.2, install: 4.1, scripts: 0.0}
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
from ansible_collections.emprops.comfyui.plugins.module_utils._fill import (
    Choices,
    Outside,
    adopt,
    adopted_packs,
    fill,
    find_unlisted,
    keep_settled,
    plan_fill,
    unchanged_packs,
)
from ansible_collections.emprops.comfyui.plugins.module_utils._git import GitError
from ansible_collections.emprops.comfyui.plugins.module_utils._git_options import GIT_OPTION, git_access
from ansible_collections.emprops.comfyui.plugins.module_utils._install_script import InstallScriptError
from ansible_collections.emprops.comfyui.plugins.module_utils._manifest import (
    ManifestError,
    add_needed,
    merge_packs,
    parse_packs,
    read_manifest,
    render_env,
    resolve_env,
)
from ansible_collections.emprops.comfyui.plugins.module_utils._pack_archive import ArchiveError, RegistryAccess
from ansible_collections.emprops.comfyui.plugins.module_utils._pack_requirements import RequirementsError
from ansible_collections.emprops.comfyui.plugins.module_utils._python_env import PythonEnvError
from ansible_collections.emprops.comfyui.plugins.module_utils._release import ReleaseError, Workspace
from ansible_collections.emprops.comfyui.plugins.module_utils._resolution import parse_policy

ERRORS = (
    ArchiveError,
    CommandError,
    GitError,
    InstallScriptError,
    ManifestError,
    PythonEnvError,
    ReleaseError,
    RequirementsError,
    OSError,
)
NOTHING = {"packs": [], "unlisted": {}, "release": None, "seconds": {}, "unset": []}


def wanted_packs(options, workspace, access, unlisted):
    """All packs that the machine shall have, and warnings: the manifest's, the inventory's, those needed, those adopted."""
    packs, warnings = read_manifest(options["manifest_file"], access.protocols)
    more, warned = parse_packs(options["manifest"] or [], "the manifest", access.protocols)
    packs, also = merge_packs([*packs, *more], options["packs"], access.protocols)
    packs = add_needed(packs, options["needed"], access.protocols)
    entries = []
    if options["unlisted"] == "adopt":
        known = {entry["name"]: entry for entry in adopted_packs(workspace)}
        known.update({name: entry for name, entry in unlisted.items() if entry})
        listed = {pack.name for pack in packs}
        entries = [entry for name, entry in known.items() if name not in listed]
        packs = add_needed(packs, entries, access.protocols)
    return packs, entries, [*warnings, *warned, *also]


def choices_of(options, check_mode):
    return Choices(
        constraints=options["constraints"],
        overrides=options["overrides"],
        allowed_indexes=options["allowed_indexes"],
        update=options["update"],
        accept_rewritten=options["accept_rewritten"],
        policy=parse_policy(options["on_conflict"]),
        runner=Account.named(options["script_account"]) if options["script_account"] else None,
        script_seconds=options["script_seconds"],
        dry=check_mode,
    )


def shown_rows(report):
    return [vars(pack) for pack in report.packs]


def main():
    module = AnsibleModule(
        argument_spec={
            "root": {"type": "path", "default": "/workspace"},
            "manifest_file": {"type": "path"},
            "manifest": {"type": "list", "elements": "dict"},
            "packs": {"type": "list", "elements": "dict", "default": []},
            "needed": {"type": "list", "elements": "dict", "default": []},
            "secrets": {"type": "dict", "default": {}, "no_log": True},
            "env_file": {"type": "path", "default": "/etc/comfyui/custom_nodes.env"},
            "constraints": {"type": "list", "elements": "str", "default": []},
            "overrides": {"type": "list", "elements": "str", "default": []},
            "allowed_indexes": {"type": "list", "elements": "str", "default": []},
            "on_conflict": {"type": "raw", "default": "fail"},
            "unlisted": {"type": "str", "choices": ["leave_out", "adopt"], "default": "leave_out"},
            "script_account": {"type": "str"},
            "script_seconds": {"type": "float", "default": 600.0},
            "registry_url": {"type": "str", "default": "https://api.comfy.org"},
            "registry_hosts": {"type": "list", "elements": "str", "default": []},
            "update": {"type": "list", "elements": "str", "default": []},
            "accept_rewritten": {"type": "list", "elements": "str", "default": []},
            "account": {"type": "str"},
            "wait_seconds": {"type": "float", "default": 600.0},
            "git": GIT_OPTION,
        },
        mutually_exclusive=[("manifest_file", "manifest")],
        supports_check_mode=True,
    )
    options = module.params
    if module.check_mode and not account_exists(options["account"]):
        module.exit_json(changed=True, **NOTHING)  # a new machine
    report = None
    try:
        account = Account.named(options["account"])
        access = git_access(options["git"], account)
        outside = Outside(access, RegistryAccess(options["registry_url"], options["registry_hosts"]))
        workspace = Workspace(Path(options["root"]), account)
        choices = choices_of(options, module.check_mode)
        if module.check_mode and workspace.opened() is None and workspace.wanted_lock() is None:
            # A new machine: neither the manifest nor a release is there yet to compare with.
            module.exit_json(changed=True, **NOTHING)
        unlisted = {
            name: {"name": name, "url": pack.url, "commit": pack.commit} if pack else None
            for name, pack in find_unlisted(workspace, access).items()
        }
        packs, adopted, warnings = wanted_packs(options, workspace, access, unlisted)
        env, unset = resolve_env(packs, {name: "" if value is None else str(value) for name, value in options["secrets"].items()})
        with workspace.exclusive(options["wait_seconds"], dry=module.check_mode):
            plan = plan_fill(workspace, packs, outside, choices)
            report = unchanged_packs(workspace, plan)
            if plan.changed and not module.check_mode:
                fill(workspace, plan, outside, choices, report)
            elif not module.check_mode:
                keep_settled(workspace, plan)
            if report.problems:
                raise ReleaseError("\n".join(report.problems))
            if options["unlisted"] == "adopt" and adopted != adopted_packs(workspace) and not module.check_mode:
                adopt(workspace, adopted)
            # Last, because the running instances read it when they are started anew.
            env_changed = put_text(Path(options["env_file"]), render_env(env), mode=0o600, dry=module.check_mode)
            release = plan.sealed or (opened[0].name if (opened := workspace.opened()) else None)
    except ERRORS as error:
        for warning in report.warnings if report else ():
            module.warn(warning)
        known = [problem for problem in (report.problems if report else []) if problem not in str(error)]
        module.fail_json(msg="\n".join([*known, str(error)]), packs=shown_rows(report) if report else [])

    skipped = [f"{row.name} is left out, until its requirements can be met: {row.error}" for row in report.packs if row.state == "skipped"]
    moved = [f"{old} has moved to {new}; write that address" for old, new in access.moved.items()]
    for warning in (*warnings, *moved, *report.warnings, *skipped, *words_for_unlisted(unlisted, {pack.name for pack in packs})):
        module.warn(warning)
    if unset:
        module.warn(f"no value in custom_nodes_secrets, so empty for the packs: {', '.join(unset)}")
    module.exit_json(
        changed=plan.changed or env_changed,
        packs=shown_rows(report),
        unlisted=unlisted,
        release=release,
        seconds={name: round(seconds, 3) for name, seconds in report.seconds.items()},
        unset=unset,
        diff=plan.diff,
    )


def words_for_unlisted(unlisted, listed):
    for name, entry in unlisted.items():
        if name in listed:
            yield f"{name} was put into the release by hand; it is listed from now on as {entry}"
        elif entry:
            yield f"{name} was put into the release by hand and is in no manifest, so the next release is without it; its entry: {entry}"
        else:
            yield f"{name} was put into the release by hand and is no clone of an allowed repository; the next release is without it"


if __name__ == "__main__":
    main()
