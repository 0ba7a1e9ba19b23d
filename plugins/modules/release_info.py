#!/usr/bin/python
# GNU General Public License v3.0+ (see https://www.gnu.org/licenses/gpl-3.0.txt)

from __future__ import annotations

DOCUMENTATION = r"""
module: release_info
short_description: Say which releases of ComfyUI a machine has
version_added: 0.1.0
author: EmProps (@stakeordie)
description:
  - Says which release runs, which ran before, which waits to be activated, and what is in the one that the next activation would run.
  - Reads only. A machine without any release is an answer, not a failure.
options:
  root:
    description: Folder of the installation.
    type: path
    default: /workspace
attributes:
  check_mode:
    description: Can run in check mode and return changed status prediction without modifying target.
    support: full
  diff_mode:
    description: Will return details on what has changed, or would change in check mode, when in diff mode.
    support: none
seealso:
  - module: emprops.comfyui.release
"""

EXAMPLES = r"""
- name: Look at the releases
  emprops.comfyui.release_info:
  register: releases
"""

RETURN = r"""
current:
  description: Id of the release that runs, if one does.
  type: str
  returned: success
  sample: 20261120-210437
previous:
  description: Id of the release that going back leads to.
  type: str
  returned: success
candidate:
  description: Id of the sealed release that waits to be activated.
  type: str
  returned: success
opened:
  description: Id of the release that is being built.
  type: str
  returned: success
sealed:
  description: Ids of all complete releases, oldest first.
  type: list
  elements: str
  returned: success
  sample: [20261119-091200, 20261120-210437]
next:
  description:
    - The release that the next activation would run. That is the open one, else the candidate, else the current one.
    - C(comfyui_version) is what its C(comfyui_version.py) or C(pyproject.toml) says, and null where neither says anything.
  type: dict
  returned: success
  sample:
    id: 20261120-210437
    comfyui_commit: 3fb07a804f1738b8f8c8b0d535eaccc72a9ddc7b
    comfyui_version: 0.3.12
    packs: [{name: ComfyUI-GGUF, commit: 14cfba14c3a9f8a5a5b0e6b1d4a1c7b9d0e2f3a4}]
"""

from pathlib import Path

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.emprops.comfyui.plugins.module_utils._command import Account, CommandError
from ansible_collections.emprops.comfyui.plugins.module_utils._release import ReleaseError, Workspace
from ansible_collections.emprops.comfyui.plugins.module_utils._release_info import describe_releases


def main():
    module = AnsibleModule(argument_spec={"root": {"type": "path", "default": "/workspace"}}, supports_check_mode=True)
    try:
        releases = describe_releases(Workspace(Path(module.params["root"]), Account.named(None)))
    except (CommandError, ReleaseError, OSError) as error:
        module.fail_json(msg=str(error))
    module.exit_json(changed=False, **releases)


if __name__ == "__main__":
    main()
