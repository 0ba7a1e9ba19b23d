#!/usr/bin/python
# GNU General Public License v3.0+ (see https://www.gnu.org/licenses/gpl-3.0.txt)

from __future__ import annotations

DOCUMENTATION = r"""
module: organize_models
short_description: Put the files of a model store where ComfyUI looks for them
version_added: 0.1.0
author: EmProps (@stakeordie)
description:
  - Moves files that are in a folder of an older version or of another program, such as C(clip) or C(Stable-diffusion), to ComfyUI's own.
  - Moves files that are declared and lie in another folder than declared, where their size or digest shows that they are the ones.
  - Makes the links that C(static-models.json) asks for, and turns links whose file has moved.
  - Makes files with the same bytes one file, if that is asked for.
  - Only says what it would do, unless O(dry_run=false).
  - Never overwrites a file. What cannot be decided is a problem that the result names, and stays as it is.
  - Reads two files that are the same according to the index again before one of them goes, and leaves both where one is damaged.
  - A file that a process has open, or that is younger than O(minimum_age_hours), or that a download has claimed, stays for now.
  - Processes of other machines that share the store cannot be seen. Only the age of the files speaks for those.
options:
  store:
    description: Folder that the models are in.
    type: path
    required: true
  declared:
    description:
      - What workflows and lists ask for, with C(directory) and C(name) and, where they are known, C(size), C(sha256), C(owner), C(label).
      - C(owner) is V(workflow), V(catalogue), V(static) or V(keep), C(label) says which one.
      - A file that is declared under the very name that it has stays there, whatever folder that is.
    type: list
    elements: dict
    default: []
  static_models:
    description:
      - What M(emprops.comfyui.shared_repository) returns under that name.
      - Links are between places of the store. Their sources, and the folders that are not indexed, stay where they are.
    type: dict
  static_models_file:
    description: The file C(static-models.json) itself, on the machine, in the place of O(static_models). It may be missing.
    type: path
  model_paths:
    description:
      - Folders that ComfyUI searches by type of model, below O(store), as in the variable C(emprops_shared_model_paths).
      - Files in a folder that is listed here are in the right one, though ComfyUI has another name for it now.
    type: dict
    default: {}
  link_duplicates:
    description: Make files with the same digest in the index one file, as a hard link, a reflink or a link.
    type: bool
    default: false
  minimum_age_hours:
    description: Files that came here, or were changed, less than so many hours ago stay for now.
    type: float
    default: 24
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
  - module: emprops.comfyui.cleanup_models
  - module: emprops.comfyui.shared_repository
"""

EXAMPLES = r"""
- name: Say which models are in the wrong folder
  emprops.comfyui.organize_models:
    store: /workspace/shared/models
  register: plan

- name: Put them right, and make equal files one
  emprops.comfyui.organize_models:
    store: /workspace/shared/models
    static_models: "{{ shared.static_models }}"
    link_duplicates: true
    dry_run: false
"""

RETURN = r"""
message:
  description: What was done, or would be, in words.
  type: str
  returned: success
  sample: "dry run: nothing was changed; files that would be moved: 1; links that would be made or turned: 2"
dry_run:
  description: Whether nothing was changed because of O(dry_run) or of check mode.
  type: bool
  returned: success
moves:
  description: Files that get another place, below the store.
  type: list
  elements: dict
  returned: success
  contains:
    from:
      description: Where the file was.
      type: str
    to:
      description: Where it belongs.
      type: str
    reason:
      description: Why.
      type: str
    bytes:
      description: Size of the file.
      type: int
    used_by:
      description: Who declared it.
      type: list
      elements: str
      returned: when somebody did
    note:
      description: How its name changes for workflows, which know it by its type and the path below.
      type: str
      returned: when it changes
    error:
      description: Why it could not be done.
      type: str
      returned: when it failed
links:
  description: Links that are made or turned, and files that become the same file.
  type: list
  elements: dict
  returned: success
  contains:
    path:
      description: The link.
      type: str
    to:
      description: Where it leads, below the store.
      type: str
    reason:
      description: Why.
      type: str
    error:
      description: Why it could not be done.
      type: str
      returned: when it failed
problems:
  description: What somebody has to decide, as C(path) and C(message).
  type: list
  elements: dict
  returned: success
waiting:
  description: Files that belong elsewhere and stay for now, as C(path) and C(message).
  type: list
  elements: dict
  returned: success
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
from ansible_collections.emprops.comfyui.plugins.module_utils._shared import SharedError, parse_static_models
from ansible_collections.emprops.comfyui.plugins.module_utils._store import Declarations, StoreError, open_inodes, parse_declared, walk
from ansible_collections.emprops.comfyui.plugins.module_utils._store_organize import (
    HIDDEN_PROCESSES,
    HOUR,
    Wishes,
    plan_organize,
    put_organize,
)


def main():
    module = AnsibleModule(
        argument_spec={
            "store": {"type": "path", "required": True},
            "declared": {"type": "list", "elements": "dict", "default": []},
            "static_models": {"type": "dict"},
            "static_models_file": {"type": "path"},
            "model_paths": {"type": "dict", "default": {}},
            "link_duplicates": {"type": "bool", "default": False},
            "minimum_age_hours": {"type": "float", "default": 24},
            "state_dir": {"type": "path", "default": "/workspace/state"},
            "dry_run": {"type": "bool", "default": True},
        },
        mutually_exclusive=[["static_models", "static_models_file"]],
        supports_check_mode=True,
    )
    options = module.params
    store = Path(options["store"])
    dry = options["dry_run"] or module.check_mode
    try:
        static = options["static_models"] or read_static_models(module, options["static_models_file"])
        wishes = Wishes(static, options["model_paths"], options["link_duplicates"], options["minimum_age_hours"] * HOUR)
        declarations = Declarations(store, parse_declared(options["declared"]))
        index = Index(Path(options["state_dir"]), read_only=dry)
        opened = open_inodes()
        plan = plan_organize(store, walk(store), declarations, wishes, index, opened, time.time())
    except (SharedError, StoreError, OSError) as error:
        module.fail_json(msg=str(error))

    failures = []
    diff = {"before": list_names(plan, new=False), "after": list_names(plan, new=True)}
    if not dry:
        try:
            put_organize(plan, index)
        except ModelsIndexError as error:
            failures.append(str(error))
    failures += plan.failures
    result = {
        "changed": plan.changes and not options["dry_run"],
        "dry_run": dry,
        "message": plan.words(dry),
        "notes": [] if opened.complete else [HIDDEN_PROCESSES],
        **plan.result,
        "diff": diff,
    }
    if failures:
        module.fail_json(msg="\n".join(["not everything could be put in its place:", *failures]), **result)
    module.exit_json(**result)


def read_static_models(module, name):
    if name is None:
        return {}
    try:
        text = Path(name).read_text(encoding="utf-8-sig")
    except FileNotFoundError:
        return {}
    except UnicodeDecodeError as error:
        raise SharedError(f"{name} is not UTF-8: {error.reason} at byte {error.start}") from error
    found, warnings = parse_static_models(text, name)
    for warning in warnings:
        module.warn(warning)
    return found


def list_names(plan, new):
    moves = [row["to" if new else "from"] for row in plan.result["moves"]]
    links = [f"{row['path']} -> {row['to']}" for row in plan.result["links"]] if new else []
    return "".join(f"{name}\n" for name in moves + links)


if __name__ == "__main__":
    main()
