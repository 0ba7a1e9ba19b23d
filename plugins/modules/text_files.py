#!/usr/bin/python
# GNU General Public License v3.0+ (see https://www.gnu.org/licenses/gpl-3.0.txt)

from __future__ import annotations

DOCUMENTATION = r"""
module: text_files
short_description: Keep a list of small text files as they should be, in one call
version_added: 0.1.0
author: EmProps (@stakeordie)
description:
  - Writes files whose content differs; each is whole or as it was, also after a power cut.
  - For the handful of units and settings of a role. One call costs what one task costs, where a task per file
    costs that many times as much on every host and every run.
options:
  files:
    description: The files.
    type: list
    elements: dict
    required: true
    suboptions:
      path:
        description: Where the file is.
        type: path
        required: true
      content:
        description: What it holds.
        type: str
        required: true
      mode:
        description: Its permissions, in octal.
        type: str
        default: "0644"
attributes:
  check_mode:
    description: Can run in check mode and return changed status prediction without modifying target.
    support: full
  diff_mode:
    description: Will return details on what has changed, or would change in check mode, when in diff mode.
    support: full
"""

EXAMPLES = r"""
- name: Write the units
  emprops.comfyui.text_files:
    files:
      - path: /etc/systemd/system/comfyui.target
        content: "{{ lookup('ansible.builtin.template', 'etc/systemd/system/comfyui.target.j2') }}"
"""

RETURN = r"""
written:
  description: Paths of the files that changed, or would in check mode.
  type: list
  elements: str
  returned: success
  sample: [/etc/systemd/system/comfyui.target]
"""

from pathlib import Path

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.emprops.comfyui.plugins.module_utils._files import put_text, read_text


def main():
    module = AnsibleModule(
        argument_spec={
            "files": {
                "type": "list",
                "elements": "dict",
                "required": True,
                "options": {
                    "path": {"type": "path", "required": True},
                    "content": {"type": "str", "required": True},
                    "mode": {"type": "str", "default": "0644"},
                },
            },
        },
        supports_check_mode=True,
    )
    written, diff = [], []
    for file in module.params["files"]:
        path = Path(file["path"])
        try:
            before = read_text(path)
            changed = put_text(path, file["content"], mode=int(file["mode"], 8), dry=module.check_mode)
        except (OSError, ValueError) as error:
            module.fail_json(msg=f"cannot write {path}: {error}", written=written)
        if changed:
            written.append(str(path))
            names = {"before_header": str(path), "after_header": str(path)}
            diff.append({"before": before, "after": file["content"], **names})
    module.exit_json(changed=bool(written), written=written, diff=diff)


if __name__ == "__main__":
    main()
