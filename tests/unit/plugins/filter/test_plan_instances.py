# GNU General Public License v3.0+ (see https://www.gnu.org/licenses/gpl-3.0.txt)

"""What the plan is, is told by test__instances.py."""

from __future__ import annotations

import pytest
from ansible.errors import AnsibleFilterError
from ansible_collections.emprops.comfyui.plugins.filter import instance_table, plan_instances
from ansible_collections.emprops.comfyui.plugins.modules import gpu_info
from unit.fixtures.run_module import run_module

PLAN = plan_instances.FilterModule().filters()["plan_instances"]
TABLE = instance_table.FilterModule().filters()["instance_table"]


@pytest.fixture(name="gpus")
def fixture_gpus():
    return run_module(gpu_info, mock_gpus=2)["gpus"]


def test_what_gpu_info_returns_is_planned(gpus):
    planned = PLAN(gpus, root="/workspace", base_port=8188)
    assert [(one["name"], one["port"], one["uuid"]) for one in planned] == [
        ("gpu0", 8188, gpus[0]["uuid"]),
        ("gpu1", 8189, gpus[1]["uuid"]),
    ]


def test_a_plan_that_cannot_be_is_told_in_words(gpus):
    with pytest.raises(AnsibleFilterError, match="the machine has no GPU 7; it has \\[0, 1\\]"):
        PLAN(gpus, root="/workspace", base_port=8188, indexes=[7])


def test_a_plan_without_prompts_is_a_table_too(gpus):
    planned = PLAN(gpus, root="/workspace", base_port=8188)
    found = [{"ready": True, "reason": None, "comfyui_version": "0.3.12"}] * 2
    assert [line.split()[0] for line in TABLE(planned, found)] == ["GPU", "0", "1"]
