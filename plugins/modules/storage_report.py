#!/usr/bin/python
# GNU General Public License v3.0+ (see https://www.gnu.org/licenses/gpl-3.0.txt)

from __future__ import annotations

DOCUMENTATION = r"""
module: storage_report
short_description: Say what fills the model store, for whom, and what could go
version_added: 0.1.0
author: EmProps (@stakeordie)
description:
  - Counts the files of the store by type, by who asked for them and by when they were last used, and lists the largest and those that are
    there twice.
  - Reads no file, only names, times and the recorded digests, and changes nothing.
  - Bytes are those of the disk, so a file with several names counts once.
options:
  store:
    description: Folder that the models are in.
    type: path
    required: true
  declared:
    description:
      - What belongs into the store, each with C(directory), C(name) and C(owner) (V(workflow), V(catalogue), V(static) or V(keep);
        V(static) if it is not given).
      - A folder under an older name or an alias is understood, and a file is declared through a link to it.
    type: list
    elements: dict
    default: []
  state_dir:
    description: Folder of C(models.json), the digests that were recorded.
    type: path
    default: /workspace/state
attributes:
  check_mode:
    description: Can run in check mode and return changed status prediction without modifying target.
    support: full
    details: This module only reads.
  diff_mode:
    description: Will return details on what has changed, or would change in check mode, when in diff mode.
    support: none
    details: This module changes nothing.
seealso:
  - module: emprops.comfyui.cleanup_models
  - plugin: emprops.comfyui.storage_table
    plugin_type: filter
"""

EXAMPLES = r"""
- name: Look at the store
  emprops.comfyui.storage_report:
    store: /workspace/shared/models
    declared:
      - directory: checkpoints
        name: base.safetensors
        owner: workflow
  register: report

- name: Show what fills the store
  ansible.builtin.debug:
    msg: "{{ report | emprops.comfyui.storage_table | join('\n') }}"
"""

RETURN = r"""
store:
  description: The folder.
  type: str
  returned: success
  sample: /workspace/shared/models
files:
  description: How many files there are. One with several names counts once.
  type: int
  returned: success
  sample: 212
bytes:
  description: What they hold of the disk.
  type: int
  returned: success
  sample: 640213342208
by_type:
  description: Files and bytes of each folder, aliases taken together, the largest first.
  type: list
  elements: dict
  returned: success
  sample: [{type: checkpoints, files: 12, bytes: 68719476736}]
by_owner:
  description: Files and bytes by the first of V(workflow), V(catalogue), V(static), V(keep) and V(nobody) that they belong to.
  type: list
  elements: dict
  returned: success
  sample: [{owner: workflow, files: 40, bytes: 240518168576}]
by_last_use:
  description: Files and bytes by when they were last read or written, V(day), V(week), V(month), V(quarter) or V(older).
  type: list
  elements: dict
  returned: success
  sample: [{last_use: day, files: 9, bytes: 85899345920}]
largest:
  description: The twenty largest files.
  type: list
  elements: dict
  returned: success
  sample: [{path: diffusion_models/large.safetensors, bytes: 23802932552, owners: [workflow], last_use: "2026-11-20T18:04:11+00:00"}]
duplicates:
  description: Files with the same recorded digest, with what all but one of them hold.
  type: list
  elements: dict
  returned: success
  sample:
    - sha256: 2c26b46b68ffc68ff99b453c1d30413413422d706483bfa0f98a5e886266e7ae
      bytes: 335304388
      paths: [vae/a.safetensors, vae/b.safetensors]
leftovers:
  description: What downloads have left or are writing, and the age of the oldest.
  type: dict
  returned: success
  sample: {files: 3, bytes: 4294967296, oldest_hours: 71.5}
quarantine:
  description: What a clean-up has put aside.
  type: dict
  returned: success
  sample: {files: 2, bytes: 13421772800}
cleanup:
  description:
    - What a clean-up would free.
    - It is what M(emprops.comfyui.cleanup_models) would put into quarantine and delete when nothing but O(store) and O(declared) is given.
  type: dict
  returned: success
  sample: {files: 31, bytes: 98784247808}
filesystem:
  description: Bytes of the filesystem that the store is on.
  type: dict
  returned: success
  sample: {total: 1099511627776, free: 214748364800}
notes:
  description: What the numbers do not tell.
  type: list
  elements: str
  returned: success
  sample: ["this filesystem does not keep times of use: last use is when a file was written"]
"""

from pathlib import Path

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.emprops.comfyui.plugins.module_utils._model_index import Index
from ansible_collections.emprops.comfyui.plugins.module_utils._store import StoreError, parse_declared
from ansible_collections.emprops.comfyui.plugins.module_utils._store_report import report


def main():
    module = AnsibleModule(
        argument_spec={
            "store": {"type": "path", "required": True},
            "declared": {"type": "list", "elements": "dict", "default": []},
            "state_dir": {"type": "path", "default": "/workspace/state"},
        },
        supports_check_mode=True,
    )
    index = Index(Path(module.params["state_dir"]), read_only=True)
    try:
        found = report(Path(module.params["store"]), parse_declared(module.params["declared"]), index)
    except StoreError as error:
        module.fail_json(msg=str(error))

    module.exit_json(changed=False, **found)


if __name__ == "__main__":
    main()
