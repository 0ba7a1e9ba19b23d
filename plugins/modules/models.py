#!/usr/bin/python
# GNU General Public License v3.0+ (see https://www.gnu.org/licenses/gpl-3.0.txt)

from __future__ import annotations

DOCUMENTATION = r"""
module: models
short_description: Keep a list of model files in the store, downloaded once and verified
version_added: 0.1.0
author: EmProps (@stakeordie)
description:
  - Downloads the model files that are missing, side by side, and leaves alone those that are there and known good.
  - What does not fit on the disk is refused before the first byte.
  - A file gets its name only when it is whole and its digest is the wanted one.
  - What was downloaded before a failure is used by the next run.
  - A model that fails does not keep the others from being downloaded. The task then fails at its end and names each of them.
  - Web pages, Git LFS pointers and files that were cut short are recognised and refused.
options:
  store:
    description: Folder that the models are in.
    type: path
    required: true
  models:
    description: The wanted files.
    type: list
    elements: dict
    required: true
    suboptions:
      name:
        description: Name of the file.
        type: str
        required: true
      directory:
        description: Folder in O(store), such as V(checkpoints) or V(loras/portraits).
        type: str
        required: true
      url:
        description:
          - Where the file can be downloaded. A C(/blob/) page of Hugging Face is understood as the file it shows.
          - A file that is there is told by its digest and size alone, so that another address is no reason to download it again.
          - Without an address the file must be in the store already.
        type: str
      sha256:
        description: Digest that the file must have. Without it, the one that the server publishes, if it does.
        type: str
      size:
        description: Bytes that the file must have. Without it the server is asked.
        type: int
  tokens:
    description:
      - Bearer tokens by host. V(huggingface.co) stands for https on its usual port, any other port is named, as in V(hub.example.com:8443).
      - A token goes to that host only, and never across a redirect to another one.
    type: dict
    default: {}
  owner:
    description: Account that owns the files and folders that are made.
    type: str
  group:
    description: Group of the files and folders that are made.
    type: str
  reserve:
    description: Bytes that must stay free on the disk.
    type: int
    default: 1073741824
  timeout_seconds:
    description: How long a server may be silent.
    type: int
    default: 60
  connections:
    description: How many files are downloaded at the same time.
    type: int
    default: 4
  state_dir:
    description: Folder of C(models.json), which knows the digest of every file and so saves computing it again.
    type: path
    default: /workspace/state
attributes:
  check_mode:
    description: Can run in check mode and return changed status prediction without modifying target.
    support: full
    details:
      - Servers are asked for the sizes of missing models, and files that are not in the index yet are read.
  diff_mode:
    description: Will return details on what has changed, or would change in check mode, when in diff mode.
    support: full
"""

EXAMPLES = r"""
- name: Keep the models of our workflows in the store
  emprops.comfyui.models:
    store: /workspace/shared/models
    models:
      - name: base.safetensors
        directory: checkpoints
        url: https://huggingface.co/example/base/resolve/main/base.safetensors
        sha256: 2c26b46b68ffc68ff99b453c1d30413413422d706483bfa0f98a5e886266e7ae
      - name: portrait.safetensors
        directory: loras
        url: https://civitai.com/api/download/models/12345
    tokens:
      huggingface.co: "{{ vault_hugging_face_token }}"
      civitai.com: "{{ vault_civitai_token }}"
    owner: comfyui
"""

RETURN = r"""
models:
  description: What became of each model, in the order of the list.
  type: list
  elements: dict
  returned: always, once the list is understood
  contains:
    name:
      description: Name of the file.
      type: str
    directory:
      description: Folder in the store.
      type: str
    path:
      description: Where the file is.
      type: str
    state:
      description: V(present), V(downloaded) or V(failed); in check mode V(missing) is what would be downloaded.
      type: str
    source:
      description: Address that the file came from, without its query. V(first seen) is a file that was there before.
      type: str
    bytes:
      description: Size of the file, if it is known.
      type: int
    seconds:
      description: How long this file took.
      type: float
    sha256:
      description: Digest of the file that is there.
      type: str
    error:
      description: Why it failed.
      type: str
      returned: when it failed
  sample:
    - name: base.safetensors
      directory: checkpoints
      path: /workspace/shared/models/checkpoints/base.safetensors
      state: downloaded
      source: https://huggingface.co/example/base/resolve/main/base.safetensors
      bytes: 2132625894
      seconds: 41.2
      sha256: 2c26b46b68ffc68ff99b453c1d30413413422d706483bfa0f98a5e886266e7ae
summary:
  description: Models by state, and the bytes that were downloaded, or would be.
  type: dict
  returned: always, once the list is understood
  sample: {present: 11, missing: 0, downloaded: 1, failed: 0, bytes: 2132625894, seconds: 41.3}
"""

import time
from pathlib import Path

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.emprops.comfyui.plugins.module_utils._model_download import Client, DownloadError
from ansible_collections.emprops.comfyui.plugins.module_utils._models import (
    Index,
    ModelsError,
    check_space,
    describe_failures,
    parse_account,
    parse_models,
    plan_models,
    put_models,
    summarise,
)


def main():
    module = AnsibleModule(
        argument_spec={
            "store": {"type": "path", "required": True},
            "models": {
                "type": "list",
                "elements": "dict",
                "required": True,
                "options": {
                    "name": {"type": "str", "required": True},
                    "directory": {"type": "str", "required": True},
                    "url": {"type": "str", "no_log": True},
                    "sha256": {"type": "str"},
                    "size": {"type": "int"},
                },
            },
            "tokens": {"type": "dict", "default": {}, "no_log": True},
            "owner": {"type": "str"},
            "group": {"type": "str"},
            "reserve": {"type": "int", "default": 1024**3},
            "timeout_seconds": {"type": "int", "default": 60},
            "connections": {"type": "int", "default": 4},
            "state_dir": {"type": "path", "default": "/workspace/state"},
        },
        supports_check_mode=True,
    )
    # Ansible keeps these addresses out of every log; those that cannot hold a secret may be read in the result.
    urls = {entry["url"] for entry in module.params["models"] if entry["url"]}
    module.no_log_values -= {url for url in urls if "?" not in url and "@" not in url}

    started = time.monotonic()
    store, reserve, connections = Path(module.params["store"]), module.params["reserve"], module.params["connections"]
    models = []
    diff = {}

    def result():
        changed = any(model.state == ("missing" if module.check_mode else "downloaded") for model in models)
        summary = summarise(models, time.monotonic() - started)
        return {"changed": changed, "models": [model.result for model in models], "summary": summary, "diff": diff}

    if connections < 1 or reserve < 0 or module.params["timeout_seconds"] < 1:
        module.fail_json(msg="connections and timeout_seconds must be 1 or more, reserve 0 or more")
    try:
        client = Client(module.params["tokens"], module.params["timeout_seconds"])
        wanted = parse_models(store, module.params["models"])
        index = Index(Path(module.params["state_dir"]), read_only=module.check_mode)
        models = plan_models(wanted, index, client, connections)
        diff = {"before": list_names(models, "present"), "after": list_names(models, "present", "missing")}
        index.save()
        check_space(models, reserve)
        if not module.check_mode:
            uid, gid = parse_account(module.params["owner"], module.params["group"])
            put_models(models, index, client, store=store, reserve=reserve, connections=connections, uid=uid, gid=gid)
            diff["after"] = list_names(models, "present", "downloaded")
        index.save()
    except (DownloadError, ModelsError) as error:
        module.fail_json(msg=str(error), **result())

    failures = describe_failures(models)
    if failures:
        module.fail_json(msg=failures, **result())
    module.exit_json(**result())


def list_names(models, *states):
    return "".join(f"{model.wanted.label}\n" for model in models if model.state in states)


if __name__ == "__main__":
    main()
