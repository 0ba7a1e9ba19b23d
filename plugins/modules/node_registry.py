#!/usr/bin/python
# GNU General Public License v3.0+ (see https://www.gnu.org/licenses/gpl-3.0.txt)

from __future__ import annotations

DOCUMENTATION = r"""
module: node_registry
short_description: Keep ComfyUI-Manager's lists of custom nodes and models fresh
version_added: 0.1.0
author: EmProps (@stakeordie)
description:
  - Downloads the four files C(extension-node-map.json), C(custom-node-list.json), C(model-list.json) and C(github-stats.json)
    into a folder of this account, if they changed.
  - The four belong together. All are downloaded and checked before any takes its place, and they take it in one step.
  - A server that cannot be reached is a warning as long as there is a set to go on with.
  - Proxies and the certificates to trust come from the environment (C(https_proxy), C(no_proxy), C(SSL_CERT_FILE)).
options:
  base_url:
    description: Address that the names of the files are added to. It must not hold a user name or a token.
    type: str
    default: https://raw.githubusercontent.com/Comfy-Org/ComfyUI-Manager/main
  cache_dir:
    description:
      - Folder to keep the files in. It must belong to this account alone.
      - The default is C(emprops.comfyui/registry) in the account's cache folder (E(XDG_CACHE_HOME), else C(~/.cache)).
    type: path
  max_age_hours:
    description: The server is not asked again before this time is over.
    type: float
    default: 24
  minimum_bytes:
    description: A shorter file is taken for a mistake and refused.
    type: int
    default: 10000
  timeout_seconds:
    description: How long the server may be silent.
    type: int
    default: 30
  required:
    description: Whether it is a failure, and not a warning, when there is no set and none can be downloaded.
    type: bool
    default: false
attributes:
  check_mode:
    description: Can run in check mode and return changed status prediction without modifying target.
    support: full
    details:
      - The server is asked whether the files changed, unless what is there is young enough.
  diff_mode:
    description: Will return details on what has changed, or would change in check mode, when in diff mode.
    support: full
    details:
      - It shows the digests of the files.
"""

EXAMPLES = r"""
- name: Keep the registry fresh on the controller
  emprops.comfyui.node_registry:
    max_age_hours: 6
  delegate_to: localhost
  run_once: true
"""

RETURN = r"""
folder:
  description: Folder of the files, for the option C(registry) of M(emprops.comfyui.workflow_info).
  type: str
  returned: success
  sample: /home/operator/.cache/emprops.comfyui/registry
state:
  description:
    - V(fresh) was young enough, V(unchanged) is what the server has too, V(updated) came now.
    - V(stale) is there, but the server could not be asked. V(none) is when there is nothing.
  type: str
  returned: success
  sample: updated
problem:
  description: Why the server could not be asked.
  type: str
  returned: when it could not
registry:
  description: What the files hold, how old it is and what tells its age.
  type: dict
  returned: when there is a set
  sample:
    kind: folder
    date: "2026-08-18T22:08:00+00:00"
    age_days: 2
    packs: 5850
    classes: 39492
    models: 522
"""

from pathlib import Path

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.emprops.comfyui.plugins.module_utils._registry import RegistryError, default_registry_dir, load_registry
from ansible_collections.emprops.comfyui.plugins.module_utils._registry_refresh import RefreshError, refresh


def main():
    module = AnsibleModule(
        argument_spec={
            "base_url": {"type": "str", "default": "https://raw.githubusercontent.com/Comfy-Org/ComfyUI-Manager/main"},
            "cache_dir": {"type": "path"},
            "max_age_hours": {"type": "float", "default": 24},
            "minimum_bytes": {"type": "int", "default": 10000},
            "timeout_seconds": {"type": "int", "default": 30},
            "required": {"type": "bool", "default": False},
        },
        supports_check_mode=True,
    )
    params = module.params
    folder = Path(params["cache_dir"]) if params["cache_dir"] else default_registry_dir()
    if folder is None:
        module.fail_json(msg="this account has no home folder; say cache_dir")
    if params["timeout_seconds"] < 1:
        module.fail_json(msg="timeout_seconds must be 1 or more")
    try:
        done = refresh(
            folder,
            params["base_url"],
            max_age_seconds=params["max_age_hours"] * 3600,
            timeout=params["timeout_seconds"],
            minimum_bytes=params["minimum_bytes"],
            dry=module.check_mode,
        )
    except RefreshError as error:
        module.fail_json(msg=str(error))
    result = {
        "changed": done.state == "updated",
        "folder": str(folder),
        "state": done.state,
        "diff": {"before": list_digests(done.before), "after": list_digests(done.after)},
    }
    if done.problem:
        result["problem"] = done.problem
    try:
        # This makes the index too, so that the first to ask need not.
        result["registry"] = load_registry(str(folder), write=not module.check_mode).origin.to_dict()
    except RegistryError:
        if done.problem and params["required"]:
            module.fail_json(msg=f"there is no registry, and none can be downloaded: {done.problem}", **result)
        if done.problem:
            module.warn(f"There is no registry, and none can be downloaded: {done.problem}")
    else:
        if done.problem:
            module.warn(f"The registry is {result['registry']['age_days']} days old and cannot be refreshed: {done.problem}")
    module.exit_json(**result)


def list_digests(files):
    return "".join(f"{name}.json {digest or 'another version'}\n" for name, digest in files.items())


if __name__ == "__main__":
    main()
