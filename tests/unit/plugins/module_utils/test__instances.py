# GNU General Public License v3.0+ (see https://www.gnu.org/licenses/gpl-3.0.txt)

from __future__ import annotations

import pytest
from ansible_collections.emprops.comfyui.plugins.module_utils._instances import PlanError, instance_table, plan_instances
from hypothesis import given
from hypothesis import strategies as st

REAL = {"index": 0, "uuid": "GPU-0000", "name": "H200", "mock": False}


def gpus(*indexes, mock=True):
    return [{"index": index, "uuid": f"GPU-{index}", "name": "x", "mock": mock} for index in indexes]


def plan(found, **options):
    return plan_instances(found, **{"root": "/workspace", "base_port": 8188, **options})


@pytest.mark.parametrize(
    "found, indexes, expected",
    [
        pytest.param([], [], [], id="no GPU, no instance"),
        pytest.param([0, 1], [], [("gpu0", 8188), ("gpu1", 8189)], id="every GPU by default"),
        pytest.param([0, 1, 2], [2, 0], [("gpu0", 8188), ("gpu2", 8190)], id="a gap keeps the ports"),
    ],
)
def test_each_gpu_gets_its_own_instance(found, indexes, expected):
    assert [(one["name"], one["port"]) for one in plan(gpus(*found), indexes=indexes)] == expected


@given(st.sets(st.integers(0, 63), min_size=1), st.data())
def test_a_gpu_keeps_its_port_and_folder_whichever_others_are_in_use(indexes, data):
    some = data.draw(st.sets(st.sampled_from(sorted(indexes)), min_size=1))
    everywhere = {one["gpu"]: one for one in plan(gpus(*indexes))}
    assert all(everywhere[one["gpu"]] == one for one in plan(gpus(*indexes), indexes=sorted(some)))


def test_a_real_gpu_is_chosen_by_uuid_and_never_by_flag():
    (instance,) = plan([REAL])
    assert instance["settings"]["CUDA_VISIBLE_DEVICES"] == "GPU-0000"
    assert instance["settings"]["CUDA_DEVICE_ORDER"] == "PCI_BUS_ID"
    arguments = instance["settings"]["COMFYUI_ARGS"].split()
    assert not {"--cuda-device", "--cpu", "--normalvram", "--highvram", "--lowvram"} & set(arguments)


def test_a_mock_gpu_runs_on_the_cpu_with_its_port_unchanged():
    (instance,) = plan(gpus(3))
    assert instance["settings"]["CUDA_VISIBLE_DEVICES"] == ""
    assert "--cpu" in instance["settings"]["COMFYUI_ARGS"].split()
    assert instance["port"] == 8191


def test_no_two_instances_share_a_folder():
    first, second = (one["settings"]["COMFYUI_ARGS"].split() for one in plan(gpus(0, 1)))
    for flag in ("--output-directory", "--input-directory", "--temp-directory", "--user-directory", "--port"):
        assert first[first.index(flag) + 1] != second[second.index(flag) + 1]


@pytest.mark.parametrize(
    "listen, url",
    [
        ("127.0.0.1", "http://127.0.0.1:8188"),
        ("0.0.0.0", "http://127.0.0.1:8188"),
        ("::", "http://[::1]:8188"),
        ("10.0.0.5", "http://10.0.0.5:8188"),
        ("fd00::5", "http://[fd00::5]:8188"),
    ],
)
def test_an_instance_is_asked_where_it_listens(listen, url):
    assert plan(gpus(0), listen=listen)[0]["url"] == url


@pytest.mark.parametrize(
    "found, options, message",
    [
        pytest.param([0, 1], {"indexes": [1, 1]}, "once", id="GPU listed twice"),
        pytest.param([0], {"indexes": [0, 4]}, "no GPU 4", id="GPU that is not there"),
        pytest.param([1], {"base_port": 65535}, "gpu1 would need port 65536", id="port out of range"),
        pytest.param([0], {"extra_args": ["--cuda-device", "1"]}, "--cuda-device.*UUID", id="GPU by flag"),
        pytest.param([0], {"extra_args": ["--port=1"]}, "--port", id="port by flag"),
        pytest.param([0], {"extra_args": ["--a b"]}, "'--a b'", id="argument with a space"),
        pytest.param([0], {"extra_args": ["$HOME"]}, "HOME", id="argument that systemd would expand"),
        pytest.param([0], {"env": {"A": 'x"\nB=1'}}, "cannot carry", id="value that would end its line"),
        pytest.param([0], {"root": "/srv/my files"}, "my files", id="folder with a space"),
    ],
)
def test_an_impossible_plan_is_refused(found, options, message):
    with pytest.raises(PlanError, match=message):
        plan(gpus(*found), **options)


def test_the_table_says_why_an_instance_is_not_ready():
    wanted = plan(gpus(0, 1))
    found = [
        {"ready": True, "reason": None, "comfyui_version": "0.3.12"},
        {"ready": False, "reason": "nothing listens on port 8189 yet", "comfyui_version": None},
    ]
    heading, first, second = instance_table(wanted, found, [{"seconds": 0.25}, {}])
    assert heading.split()[:4] == ["GPU", "UUID", "unit", "port"]
    assert first.split() == ["0", "GPU-0", "comfyui@gpu0.service", "8188", "ready", "0.3.12", "0.25"]
    assert "nothing listens on port 8189 yet" in second
