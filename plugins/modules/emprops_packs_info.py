#!/usr/bin/python
# GNU General Public License v3.0+ (see https://www.gnu.org/licenses/gpl-3.0.txt)

from __future__ import annotations

DOCUMENTATION = r"""
module: emprops_packs_info
short_description: Ask EmProps' own API which custom-node packs a machine should have
version_added: 0.1.0
author: EmProps (@stakeordie)
description:
  - Reads the default packs, and the packs of workflows and of collections, into one list in install order.
  - A pack that several of them have is in it once. Where they disagree about its repository, branch or commit, the task
    fails and names both.
  - When the API does not answer, the packs of the last good answer to the same question stand, with a warning, so that the machine stays
    as it is. What the API says about the question itself, such as that it does not know a workflow, is an error all the same.
  - A script that the API has for a pack (C(custom_script)) is never run. A warning names the pack.
  - Nothing is installed because of an answer, and nothing is changed but O(cache_file). Proxies and certificates are taken from the
    environment.
options:
  base_url:
    description: Address of the API.
    type: str
    required: true
  token:
    description:
      - Key that is sent with each question, as a bearer token in a header.
      - It goes to the host of O(base_url) only, never across a redirect to another host and never unencrypted over a network.
    type: str
  workflows:
    description: Names of workflows whose packs are wanted beside the default ones.
    type: list
    elements: str
    default: []
  collections:
    description: Ids of collections whose packs are wanted beside the default ones.
    type: list
    elements: str
    default: []
  timeout_seconds:
    description: How long one try of a question may take. Passing failures are tried four times.
    type: int
    default: 30
  cache_file:
    description:
      - File that keeps the last good answer, for when the API does not answer. Without it, that is an error.
      - It is readable by its owner alone. One that others can write is not used.
    type: path
attributes:
  check_mode:
    description: Can run in check mode and return changed status prediction without modifying target.
    support: full
    details:
      - In check mode the answer is not kept.
  diff_mode:
    description: Will return details on what has changed, or would change in check mode, when in diff mode.
    support: none
"""

EXAMPLES = r"""
- name: Ask which packs the machines should have
  emprops.comfyui.emprops_packs_info:
    base_url: https://api.emprops.ai
    token: "{{ vault_emprops_api_key }}"
    workflows: [txt2img-flux]
    cache_file: ~/.cache/emprops.comfyui/packs.json
  register: wanted
  delegate_to: localhost
  run_once: true
"""

RETURN = r"""
packs:
  description:
    - The packs in install order, in the shape of the manifest. What the API does not say about a pack is left out.
    - Names and addresses are as the API has them, and still to be checked by who installs them.
  type: list
  elements: dict
  returned: success
  contains:
    name:
      description: Name of its folder.
      type: str
    url:
      description: Address of its repository.
      type: str
    branch:
      description: Branch or tag to check out.
      type: str
    commit:
      description: Commit to check out.
      type: str
    recursive:
      description: Whether its submodules belong to it.
      type: bool
    requirements:
      description: Whether its Python requirements are installed.
      type: bool
    build_requirements:
      description: What its packages need to be built.
      type: list
      elements: str
    env:
      description: Variables for the instances. Values may hold V(${NAME}).
      type: dict
    install_order:
      description: Its place, before all that have none.
      type: int
    enabled:
      description: Whether it is installed.
      type: bool
    persist:
      description: Files and folders that outlive a release.
      type: list
      elements: str
    skip_install_script:
      description: Whether its C(install.py) is left alone.
      type: bool
  sample:
    - name: ComfyUI-Manager
      url: https://github.com/ltdrdata/ComfyUI-Manager
      branch: main
      recursive: false
      requirements: true
      install_order: 1
stale:
  description: Whether the API did not answer, and the packs are those of an earlier answer.
  type: bool
  returned: success
asked_at:
  description: When the API gave this answer.
  type: str
  returned: success
  sample: "2026-11-02T09:30:00Z"
"""

import time
from pathlib import Path
from urllib.parse import urlsplit

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.emprops.comfyui.plugins.module_utils._emprops_api import (
    EmpropsApiError,
    NoAnswerError,
    as_question,
    keep_packs,
    read_packs,
    recall_packs,
)
from ansible_collections.emprops.comfyui.plugins.module_utils._model_url import DownloadError, host_of, port_of
from ansible_collections.emprops.comfyui.plugins.module_utils._questions import Questions, base_origin, base_url
from ansible_collections.emprops.comfyui.plugins.module_utils._reach import HIDDEN
from ansible_collections.emprops.comfyui.plugins.module_utils._workflow_safety import HostsError


def main():
    module = AnsibleModule(
        argument_spec={
            "base_url": {"type": "str", "required": True},
            "token": {"type": "str", "no_log": True},
            "workflows": {"type": "list", "elements": "str", "default": []},
            "collections": {"type": "list", "elements": "str", "default": []},
            "timeout_seconds": {"type": "int", "default": 30},
            "cache_file": {"type": "path"},
        },
        supports_check_mode=True,
    )
    params = module.params
    token = params["token"] or ""
    if params["timeout_seconds"] < 1:
        module.fail_json(msg="timeout_seconds must be 1 or more")
    try:
        base = base_url(params["base_url"])
        questions = Questions({f"{host_of(base)}:{port_of(urlsplit(base))}": token}, params["timeout_seconds"], [base_origin(base)])
    except (DownloadError, HostsError) as error:
        module.fail_json(msg=str(error))
    if token and questions.token_for(base) is None:
        module.fail_json(msg=f"{base} is not https, so the token would cross the network for everyone to read")
    workflows, collections = (list(dict.fromkeys(filter(None, params[key]))) for key in ("workflows", "collections"))
    cache = Path(params["cache_file"]) if params["cache_file"] else None
    question = as_question(base, workflows, collections)

    def warn(text):
        # Ansible hides such values in results, but not in warnings.
        module.warn(text.replace(token, HIDDEN) if token else text)

    try:
        packs, warnings = read_packs(questions, base, workflows=workflows, collections=collections)
    except EmpropsApiError as error:
        module.fail_json(msg=str(error))
    except NoAnswerError as error:
        why = f"the EmProps API did not answer ({error})"
        kept = recall_packs(cache, question) if cache else None
        if kept is None:
            module.fail_json(msg=f"{why}, and {cache or 'no cache_file'} keeps an earlier answer to this question")
        packs, asked_at = kept
        warn(f"{why}; the packs are those of {asked_at}, so the machine stays as it is")
        module.exit_json(changed=False, packs=packs, stale=True, asked_at=asked_at)

    asked_at = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
    for warning in warnings:
        warn(warning)
    if cache and not module.check_mode:
        try:
            keep_packs(cache, question, packs, asked_at)
        except OSError as error:
            warn(f"the answer of the EmProps API cannot be kept in {cache}: {error.strerror}")
    module.exit_json(changed=False, packs=packs, stale=False, asked_at=asked_at)


if __name__ == "__main__":
    main()
