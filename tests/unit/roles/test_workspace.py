# GNU General Public License v3.0+ (see https://www.gnu.org/licenses/gpl-3.0.txt)

from __future__ import annotations

from pathlib import Path

import yaml

TASKS = {task["name"]: task for task in yaml.safe_load((Path(__file__).parents[3] / "roles/workspace/tasks/main.yml").read_text())}


def test_an_account_of_somebody_elses_keeps_its_shell_and_home():
    assert "getent_passwd[item.name][3] == item.comment" in TASKS["Create the accounts that run and build"]["when"]


def test_a_link_of_the_building_account_is_not_followed():
    folders = TASKS["Make the folders of the installation"]
    assert folders["ansible.builtin.file"]["follow"] == "{{ item.path != 'cache/home' }}"
    # Whatever else is below a folder that is not root's would need the same.
    assert [item["path"] for item in folders["loop"] if "/" in item["path"]] == ["cache/home"]
