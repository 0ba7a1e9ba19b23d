#!/usr/bin/python
# GNU General Public License v3.0+ (see https://www.gnu.org/licenses/gpl-3.0.txt)

from __future__ import annotations

DOCUMENTATION = r"""
module: audit_models
short_description: Read every model of the store again and say what is wrong with it
version_added: 0.1.0
author: EmProps (@stakeordie)
description:
  - Computes the digest of every file in the store, on all cores, and compares it with what was recorded and what was declared.
  - Finds files whose bytes changed silently, files that are not what was asked for, web pages and Git LFS pointers in the place of models,
    files that were cut short, links to nothing, what dead downloads left, and files that nobody asks for.
  - Changes nothing in the store, and leaves the times of use as they are where the account may.
  - What the machine has in memory of a file is read from there, not from the disk.
options:
  store:
    description: Folder that the models are in.
    type: path
    required: true
  declared:
    description:
      - What belongs into the store, each with C(directory), C(name) and, where they are known, C(sha256), C(size), C(owner)
        (V(workflow), V(catalogue), V(static) or V(keep); V(static) if it is not given) and C(label) (which workflow or list).
      - What only a catalogue lists need not be there.
      - Without this option nothing is said of files that are missing or that nobody asks for.
    type: list
    elements: dict
  only:
    description: Patterns such as V(loras/*) of the files to look at, by their path in the store. C(*) stands for slashes too.
    type: list
    elements: str
    default: []
  fail_on:
    description:
      - The kinds of findings that make the task fail, see RV(findings[].kind).
      - An empty list only reports.
    type: list
    elements: str
    default: [bit_rot, differs, size, content, unreadable]
  jobs:
    description: How many files are read at the same time. By default as many as there are cores.
    type: int
  update_index:
    description: Whether digests of sound files that were not known yet are recorded, so that nobody computes them again.
    type: bool
    default: true
  state_dir:
    description: Folder of C(models.json), the digests that were recorded.
    type: path
    default: /workspace/state
attributes:
  check_mode:
    description: Can run in check mode and return changed status prediction without modifying target.
    support: full
    details: The files are read in check mode too; only the index is left as it is.
  diff_mode:
    description: Will return details on what has changed, or would change in check mode, when in diff mode.
    support: none
    details: This module changes nothing in the store.
"""

EXAMPLES = r"""
- name: Read the whole store and fail on damage
  emprops.comfyui.audit_models:
    store: /workspace/shared/models
    declared:
      - directory: checkpoints
        name: base.safetensors
        sha256: 2c26b46b68ffc68ff99b453c1d30413413422d706483bfa0f98a5e886266e7ae
        owner: catalogue

- name: List what is wrong with the LoRAs
  emprops.comfyui.audit_models:
    store: /workspace/shared/models
    only: ["loras/*"]
    fail_on: []
  register: audit
"""

RETURN = r"""
findings:
  description: What was found, the worst first.
  type: list
  elements: dict
  returned: always, once the store is read
  contains:
    kind:
      description:
        - V(bit_rot), the bytes changed and the size and time did not.
        - V(differs) and V(size), it is not the file that was declared, or recorded before.
        - V(content), it is a web page, a Git LFS pointer, cut short, or otherwise no model.
        - V(unreadable), a file or folder that cannot be read.
        - V(missing), declared and not there.
        - V(dangling), a link to nothing.
        - V(busy), written or replaced while it was read.
        - V(leftover), what a dead download left.
        - V(undeclared), nobody asks for it.
        - V(outside), a link out of the store, which was not followed.
      type: str
    severity:
      description: V(error), V(warning) or V(info).
      type: str
    path:
      description: Path in the store.
      type: str
    message:
      description: What is wrong.
      type: str
  sample:
    - kind: content
      severity: error
      path: loras/portrait.safetensors
      message: the content is a web page (often a login or error page), not a model
summary:
  description: Number of findings by kind.
  type: dict
  returned: always, once the store is read
  sample:
    bit_rot: 0
    differs: 0
    size: 0
    content: 1
    unreadable: 0
    missing: 0
    dangling: 0
    busy: 0
    leftover: 2
    undeclared: 5
    outside: 0
files:
  description: How many files were read.
  type: int
  returned: always, once the store is read
  sample: 212
bytes:
  description: How many bytes were read. A file with several names is read once.
  type: int
  returned: always, once the store is read
  sample: 640213342208
seconds:
  description: How long it took.
  type: float
  returned: always, once the store is read
  sample: 96.2
"""

import os
from pathlib import Path

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.emprops.comfyui.plugins.module_utils._model_index import Index, ModelsIndexError
from ansible_collections.emprops.comfyui.plugins.module_utils._store import StoreError, parse_declared
from ansible_collections.emprops.comfyui.plugins.module_utils._store_audit import DAMAGE, audit, check_kinds, describe


def main():
    module = AnsibleModule(
        argument_spec={
            "store": {"type": "path", "required": True},
            "declared": {"type": "list", "elements": "dict"},
            "only": {"type": "list", "elements": "str", "default": []},
            "fail_on": {"type": "list", "elements": "str", "default": list(DAMAGE)},
            "jobs": {"type": "int"},
            "update_index": {"type": "bool", "default": True},
            "state_dir": {"type": "path", "default": "/workspace/state"},
        },
        supports_check_mode=True,
    )
    params = module.params
    jobs = params["jobs"] if params["jobs"] is not None else len(os.sched_getaffinity(0))
    if jobs < 1:
        module.fail_json(msg="jobs must be 1 or more")
    index = Index(Path(params["state_dir"]), read_only=module.check_mode or not params["update_index"])
    try:
        check_kinds(params["fail_on"])
        declared = None if params["declared"] is None else parse_declared(params["declared"])
        found = audit(Path(params["store"]), declared, index, jobs=jobs, only=params["only"])
    except StoreError as error:
        module.fail_json(msg=str(error))

    result = {"changed": params["update_index"] and found.learned, **found.result}
    try:
        index.save()
    except ModelsIndexError as error:
        module.fail_json(msg=str(error), **result)
    damage = describe(found.findings, params["fail_on"])
    if damage:
        module.fail_json(msg=damage, **result)
    module.exit_json(**result)


if __name__ == "__main__":
    main()
