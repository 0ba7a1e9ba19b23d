#!/usr/bin/python
# GNU General Public License v3.0+ (see https://www.gnu.org/licenses/gpl-3.0.txt)

from __future__ import annotations

DOCUMENTATION = r"""
module: cleanup_models
short_description: Make room in a model store, quarantine first and delete later
version_added: 0.1.0
author: EmProps (@stakeordie)
description:
  - Puts models that nobody declared into quarantine, or the least recently used ones until there is room, and later deletes them.
  - Only says what it would do, unless O(dry_run=false).
  - Never touches a model that is declared or kept, that a process has open or mapped, that is younger than O(minimum_age_hours),
    or that a download has claimed.
  - Files that are no models, such as notes and pictures beside them, and hidden files that are not ours, stay.
  - Links to a file go with it, so that none dangles. A link that is declared protects what it leads to.
    Links from elsewhere into the store cannot be seen.
  - Processes of other machines that share the store cannot be seen either. There only declarations and the age of the files protect
    what is in use, so declare what all the machines need.
  - The quarantine is C(.quarantine/<UTC date>/<directory>/<name>) in the store. Putting a file there frees nothing yet;
    its bytes are free when it is deleted.
options:
  store:
    description: Folder that the models are in.
    type: path
    required: true
  declared:
    description:
      - What workflows and lists ask for, with C(directory) and C(name) and, where they are known, C(size), C(sha256), C(owner), C(label).
      - C(owner) is V(workflow), V(catalogue), V(static) or V(keep), C(label) says which one.
      - Older names of a folder are understood.
    type: list
    elements: dict
    default: []
  keep:
    description: What stays though nobody declared it, as directory/name with C(*) and C(?), or a folder.
    type: list
    elements: str
    default: []
  unreferenced:
    description: Put away all that nobody declared. Not asked where O(free_bytes) or O(max_bytes) says how much has to go.
    type: bool
    default: true
  free_bytes:
    description:
      - So many bytes shall be free on the store's disk. Only as much goes as that takes, the least recently used first.
      - What lies in quarantine counts as free already, because it will be. O(quarantine_days=0) frees at once.
    type: int
    default: 0
  max_bytes:
    description:
      - So many bytes may the files of a store take that is a cache, partial downloads included. The least recently used go,
        and they are deleted at once, without quarantine.
      - V(0) is no bound.
    type: int
    default: 0
  minimum_age_hours:
    description: Files that came here, or were changed, less than so many hours ago stay.
    type: float
    default: 24
  quarantine_days:
    description: How long files lie in quarantine. With V(0) they are deleted at once.
    type: float
    default: 7
  delete_quarantined:
    description: Delete what has been in quarantine for that long.
    type: bool
    default: true
  restore:
    description: Bring these back from quarantine, as directory/name. With this nothing else is done.
    type: list
    elements: str
    default: []
  partial_age_hours:
    description: What a download left is deleted when neither it nor a claim on it was written for so many hours.
    type: float
    default: 72
  state_dir:
    description: Folder of C(models.json), the index of verified files.
    type: path
    default: /workspace/state
  dry_run:
    description: Only say what would be done.
    type: bool
    default: true
attributes:
  check_mode:
    description: Can run in check mode and return changed status prediction without modifying target.
    support: full
  diff_mode:
    description: Will return details on what has changed, or would change in check mode, when in diff mode.
    support: full
seealso:
  - module: emprops.comfyui.audit_models
  - module: emprops.comfyui.organize_models
  - module: emprops.comfyui.storage_report
"""

EXAMPLES = r"""
- name: Say what nobody needs any more
  emprops.comfyui.cleanup_models:
    store: /workspace/shared/models
    declared: "{{ wanted_models }}"

- name: Make sure that 200 GB are free a week from now
  emprops.comfyui.cleanup_models:
    store: /workspace/shared/models
    declared: "{{ wanted_models }}"
    keep: [loras/portraits, "*.gguf"]
    free_bytes: 200000000000
    dry_run: false

- name: Bring one back
  emprops.comfyui.cleanup_models:
    store: /workspace/shared/models
    restore: [checkpoints/base.safetensors]
    dry_run: false
"""

RETURN = r"""
message:
  description: What was done, or would be, in words.
  type: str
  returned: success
  sample: "dry run: nothing was changed; files that would be deleted: 0 (0 bytes); files that would be put into quarantine: 3 (12.4 GB)"
dry_run:
  description: Whether nothing was changed because of O(dry_run) or of check mode.
  type: bool
  returned: success
would_free:
  description: Bytes that would be free at once.
  type: int
  returned: when nothing was changed
would_quarantine:
  description: Bytes that would be put into quarantine, to be free when they are deleted.
  type: int
  returned: when nothing was changed
freed:
  description: Bytes of the files that were deleted. A file with several names counts when its last name goes.
  type: int
  returned: otherwise
quarantined:
  description: Bytes that were put into quarantine, to be free when they are deleted.
  type: int
  returned: otherwise
files:
  description: What became of each name, or would. Of those that stay, only the ones that would have gone otherwise.
  type: list
  elements: dict
  returned: success
  contains:
    path:
      description: The name, below the store.
      type: str
    bytes:
      description: Size of the file.
      type: int
    reason:
      description: Why it is asked whether it should go.
      type: str
    action:
      description: V(quarantined), V(deleted), V(restored) or V(kept).
      type: str
    why:
      description: Why it stays.
      type: str
      returned: when it stays
    last_use:
      description: When it was last used, as far as anybody knows.
      type: str
      returned: for files outside of quarantine
    links:
      description: Links that went with it.
      type: list
      elements: str
      returned: when there are any
    error:
      description: Why it could not be done.
      type: str
      returned: when it failed
kept_because:
  description: How many files stay, by reason.
  type: dict
  returned: success
  sample: {declared: 41, open: 1, young: 2}
not_freed:
  description: How many bytes are lacking to what was asked for, and how many each reason holds back. Null when there is room enough.
  type: dict
  returned: success
  sample: {bytes: 12000000000, held_by: {declared: 64000000000}}
quarantine:
  description: Files and bytes that lie in quarantine afterwards.
  type: dict
  returned: success
  sample: {files: 3, bytes: 12400000000}
free_before:
  description: Bytes that were free on the disk.
  type: int
  returned: success
free_after:
  description: Bytes that are free on the disk now.
  type: int
  returned: when something may have been changed
notes:
  description: What could not be seen.
  type: list
  elements: str
  returned: success
"""

import time
from pathlib import Path

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.emprops.comfyui.plugins.module_utils._model_index import Index, ModelsIndexError
from ansible_collections.emprops.comfyui.plugins.module_utils._store import (
    Declarations,
    StoreError,
    open_inodes,
    parse_declared,
    shown,
    walk,
)
from ansible_collections.emprops.comfyui.plugins.module_utils._store_cleanup import DAY, Limits, plan_cleanup, plan_restore, put_cleanup
from ansible_collections.emprops.comfyui.plugins.module_utils._store_organize import HOUR

NUMBERS = ("free_bytes", "max_bytes", "minimum_age_hours", "quarantine_days", "partial_age_hours")


def main():
    module = AnsibleModule(
        argument_spec={
            "store": {"type": "path", "required": True},
            "declared": {"type": "list", "elements": "dict", "default": []},
            "keep": {"type": "list", "elements": "str", "default": []},
            "unreferenced": {"type": "bool", "default": True},
            "free_bytes": {"type": "int", "default": 0},
            "max_bytes": {"type": "int", "default": 0},
            "minimum_age_hours": {"type": "float", "default": 24},
            "quarantine_days": {"type": "float", "default": 7},
            "delete_quarantined": {"type": "bool", "default": True},
            "restore": {"type": "list", "elements": "str", "default": []},
            "partial_age_hours": {"type": "float", "default": 72},
            "state_dir": {"type": "path", "default": "/workspace/state"},
            "dry_run": {"type": "bool", "default": True},
        },
        supports_check_mode=True,
    )
    options = module.params
    negative = [name for name in NUMBERS if options[name] < 0]
    if negative:
        module.fail_json(msg=f"{' and '.join(negative)} must be 0 or more")
    store = Path(options["store"])
    dry = options["dry_run"] or module.check_mode
    limits = Limits(
        keep=tuple(options["keep"]),
        free_bytes=options["free_bytes"],
        max_bytes=options["max_bytes"],
        unreferenced=options["unreferenced"],
        minimum_age=options["minimum_age_hours"] * HOUR,
        quarantine=options["quarantine_days"] * DAY,
        delete_quarantined=options["delete_quarantined"],
        partial_age=options["partial_age_hours"] * HOUR,
    )
    now = time.time()
    try:
        declarations = Declarations(store, parse_declared(options["declared"]))
        index = Index(Path(options["state_dir"]), read_only=dry)
        contents, opened = walk(store), open_inodes()
        if options["restore"]:
            plan = plan_restore(store, options["restore"], contents, opened)
        else:
            plan = plan_cleanup(store, contents, declarations, limits, index, opened, now)
    except (StoreError, OSError) as error:
        module.fail_json(msg=str(error))

    failures = []
    if not dry:
        try:
            put_cleanup(plan, index, now)
        except ModelsIndexError as error:
            failures.append(str(error))
    failures += plan.failures
    moved = [action for kind in ("deleted", "quarantined", "restored") for action in plan.done(kind)]
    result = {
        "changed": bool(moved) and not options["dry_run"],
        "dry_run": dry,
        **plan.result(dry),
        "diff": {
            "before": "".join(f"{shown(action.path)}\n" for action in moved),
            "after": "".join(f"{shown(action.to)}\n" for action in moved if action.to),
        },
    }
    if failures:
        module.fail_json(msg="\n".join(["not everything could be done:", *failures]), **result)
    module.exit_json(**result)


if __name__ == "__main__":
    main()
