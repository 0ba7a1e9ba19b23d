#!/usr/bin/python
# GNU General Public License v3.0+ (see https://www.gnu.org/licenses/gpl-3.0.txt)

from __future__ import annotations

DOCUMENTATION = r"""
module: model_source_info
short_description: Ask Hugging Face, CivitAI and other servers which files addresses of models mean
version_added: 0.1.0
author: EmProps (@stakeordie)
description:
  - Takes the models that M(emprops.comfyui.workflow_info) found, or any other list, and adds what their sources publish, above all
    the digest that a download can be verified with and an address that means the same file tomorrow.
  - On Hugging Face, the address in the answer names the commit instead of a branch. On CivitAI, it names the file by its number.
  - Nothing is resolved by a name. A model without V(url) is looked up by V(sha256) on CivitAI, and with O(search) files of its name
    are proposed in RV(models[].suggestions), for a person to decide on.
  - A source that contradicts V(sha256) or V(size) is an error of that model, and nothing is filled in.
  - It changes nothing and downloads no model. Proxies and certificates are taken from the environment.
options:
  models:
    description:
      - The models to ask about, each with V(name), V(directory), V(url), V(sha256) and V(size), of which only V(name) must be there.
      - V(url) is the address of a file, or a page or AIR of CivitAI.
      - Other keys, such as those of the rows of M(emprops.comfyui.workflow_info), are ignored.
    type: list
    elements: dict
    required: true
  tokens:
    description:
      - Bearer tokens by host. V(huggingface.co) stands for https on its usual port, any other port is named, as in V(hub.example.com:8443).
      - A token goes to that host only, as a header, never across a redirect to another host and never unencrypted over a network.
    type: dict
    default: {}
  allowed_hosts:
    description:
      - Hosts that may be asked. V(models.example.com) means https there, V(http://127.0.0.1:8080) exactly that address.
      - Without it, the hosts that M(emprops.comfyui.workflow_info) allows.
    type: list
    elements: str
  hugging_face_url:
    description: Another server with the interface of Hugging Face, which is asked and named in the answers in its place.
    type: str
    default: https://huggingface.co
  civitai_url:
    description: Another server with the interface of CivitAI, which is asked and named in the answers in its place.
    type: str
    default: https://civitai.com
  search:
    description: Whether to search for files of the same name where there is no address.
    type: bool
    default: false
  fail_on_error:
    description: Whether the task fails, after all models were asked about, when there was an error with one of them.
    type: bool
    default: false
  timeout_seconds:
    description: How long one try of a question may take. Passing failures are tried four times.
    type: int
    default: 30
  connections:
    description: How many questions are asked at the same time.
    type: int
    default: 8
attributes:
  check_mode:
    description: Can run in check mode and return changed status prediction without modifying target.
    support: full
  diff_mode:
    description: Will return details on what has changed, or would change in check mode, when in diff mode.
    support: none
"""

EXAMPLES = r"""
- name: Find what the workflows need
  emprops.comfyui.workflow_info:
    paths: [/workspace/shared/workflows]
  register: needed

- name: Ask where it comes from and what it must be
  emprops.comfyui.model_source_info:
    models: "{{ needed.models }}"
    tokens:
      huggingface.co: "{{ vault_hugging_face_token }}"
      civitai.com: "{{ vault_civitai_token }}"
  register: sources
  delegate_to: localhost
"""

RETURN = r"""
models:
  description: What is known of each model, in the order of the list.
  type: list
  elements: dict
  returned: always, once the list is understood
  contains:
    name:
      description: Name of the file, as it was given.
      type: str
    directory:
      description: Folder in the store, as it was given.
      type: str
    source:
      description: Who answered for it, V(huggingface), V(civitai) or V(https); null where there was nobody to ask.
      type: str
    url:
      description: Address of the file, as exact as its source can be. Null where there is an error.
      type: str
    sha256:
      description: Digest of the file, as it was given or as the source publishes it.
      type: str
    size:
      description: Bytes of the file, if they are known exactly.
      type: int
    approximate_size:
      description: Bytes of the file, perhaps rounded, as they are on CivitAI.
      type: int
    file_name:
      description: What the source calls the file.
      type: str
    gated:
      description: Whether a download needs the consent of its publisher. Null where the source does not say.
      type: bool
    pickle_scan:
      description: What the source's own scan found, V(safe), V(unsafe) or V(unknown). Null where there is no scan.
      type: str
    suggestions:
      description: Files of the same name, each with its V(source), V(url), V(file_name) and V(sha256). They may be other files.
      type: list
      elements: dict
    warnings:
      description: What a person should know.
      type: list
      elements: str
    error:
      description: Why nothing could be learned, or what contradicts what was given.
      type: str
  sample:
    - name: base.safetensors
      directory: checkpoints
      source: huggingface
      url: https://huggingface.co/example/base/resolve/462165984030d82259a11f4367a4eed129e94a7b/base.safetensors
      sha256: 2c26b46b68ffc68ff99b453c1d30413413422d706483bfa0f98a5e886266e7ae
      size: 2132625894
      approximate_size: 2132625894
      file_name: base.safetensors
      gated: false
      pickle_scan: safe
      suggestions: []
      warnings: []
      error:
failed_models:
  description: How many models have an error.
  type: int
  returned: always, once the list is understood
  sample: 0
"""

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.emprops.comfyui.plugins.module_utils._model_sources._ask_models import (
    ask_models,
    describe_failures,
    mirror_hosts,
    model_sources,
    parse_models,
    secret_urls,
)
from ansible_collections.emprops.comfyui.plugins.module_utils._model_sources._base import SourceError
from ansible_collections.emprops.comfyui.plugins.module_utils._model_url import DownloadError
from ansible_collections.emprops.comfyui.plugins.module_utils._questions import Questions
from ansible_collections.emprops.comfyui.plugins.module_utils._workflow_safety import DEFAULT_HOSTS, HostsError


def main():
    module = AnsibleModule(
        argument_spec={
            "models": {"type": "list", "elements": "dict", "required": True, "no_log": True},
            "tokens": {"type": "dict", "default": {}, "no_log": True},
            "allowed_hosts": {"type": "list", "elements": "str"},
            "hugging_face_url": {"type": "str", "default": "https://huggingface.co"},
            "civitai_url": {"type": "str", "default": "https://civitai.com"},
            "search": {"type": "bool", "default": False},
            "fail_on_error": {"type": "bool", "default": False},
            "timeout_seconds": {"type": "int", "default": 30},
            "connections": {"type": "int", "default": 8},
        },
        supports_check_mode=True,
    )
    params = module.params
    if params["connections"] < 1 or params["timeout_seconds"] < 1:
        module.fail_json(msg="connections and timeout_seconds must be 1 or more")
    hosts = DEFAULT_HOSTS if params["allowed_hosts"] is None else params["allowed_hosts"]
    try:
        bases = params["hugging_face_url"], params["civitai_url"]
        hosts = (*hosts, *mirror_hosts(*bases))
        questions = Questions(params["tokens"], params["timeout_seconds"], hosts)
        models = parse_models(params["models"])
        secrets = secret_urls(models, hosts)
        sources = model_sources(questions, *bases)
    except (DownloadError, HostsError, SourceError) as error:
        module.fail_json(msg=str(error))
    # Ansible would keep every name and number of the list out of the result; only some addresses must be.
    module.no_log_values = {token for token in params["tokens"].values() if token} | secrets
    rows = ask_models(models, sources, questions, params["connections"], params["search"])
    result = {"models": rows, "failed_models": sum(row["error"] is not None for row in rows)}
    if params["fail_on_error"] and result["failed_models"]:
        module.fail_json(msg=describe_failures(rows), **result)
    module.exit_json(changed=False, **result)


if __name__ == "__main__":
    main()
