# GNU General Public License v3.0+ (see https://www.gnu.org/licenses/gpl-3.0.txt)

from __future__ import annotations

import ast
from dataclasses import dataclass, replace
from pathlib import Path

import pytest
from ansible_collections.emprops.comfyui.plugins.module_utils import _preflight
from ansible_collections.emprops.comfyui.plugins.module_utils._preflight import (
    GIB,
    Disk,
    Found,
    Problem,
    Wanted,
    check_all,
    read_disk,
    read_memory,
    read_os_release,
    report,
    wanted_addresses,
    wanted_ports,
)
from ansible_collections.emprops.comfyui.plugins.module_utils._reach import Address


@dataclass
class Listener:
    name: str
    cgroup_unit: str | None

    def __str__(self):
        return self.name


STRANGER = Listener("nginx (pid 812)", "nginx.service")
OURS = Listener("python main.py (pid 900, comfyui@gpu0.service)", "comfyui@gpu0.service")
HUB = Address("https", "hub.example", 443)

WANTED = Wanted(controller_version="2.19.14", expected_gpus=2, urls={"models_list": ["https://hub.example/a/b"]})
FOUND = Found(
    os={"ID": "debian", "VERSION_ID": "12", "PRETTY_NAME": "Debian GNU/Linux 12"},
    python=(3, 11),
    architecture="x86_64",
    systemd=True,
    uid=0,
    memory=64 * GIB,
    disk=Disk("/", 100 * GIB),
    gpus=2,
    listeners={8188: [], 8189: []},
    answers={HUB: ""},
)


def _messages(wanted, found):
    return [f"{problem.check}: {problem.message}" for problem in check_all(wanted, found)[0]]


def test_a_good_machine_has_no_problem_and_every_check_was_made():
    assert check_all(WANTED, FOUND) == ([], list(_preflight._CHECKS))


@pytest.mark.parametrize(
    "found, message",
    [
        pytest.param({"os": {"ID": "fedora", "PRETTY_NAME": "Fedora 44"}}, "os: Fedora 44 is not supported", id="another system"),
        pytest.param({"os": {"ID": "ubuntu", "VERSION_ID": "20.04"}}, "os: ubuntu 20.04 is not supported", id="an old release"),
        pytest.param({"os": {}}, "os: an operating system without /etc/os-release is not supported", id="no os-release"),
        pytest.param({"python": (3, 8)}, "python: Python on the machine is 3.8, the oldest that works is 3.10", id="old Python"),
        pytest.param({"architecture": "armv7l"}, "architecture: the processor is armv7l", id="architecture"),
        pytest.param({"systemd": False}, "systemd: systemd does not run here, and the instances are its units", id="no systemd"),
        pytest.param({"uid": 1000, "listeners": {8188: [STRANGER]}}, "user: tasks run with user id 1000 instead of root", id="not root"),
        pytest.param({"memory": 7 * GIB}, "memory: the machine has 7.0 GiB of memory, 8 are needed", id="little memory"),
        pytest.param(
            {"disk": Disk("/", 30 * GIB)},
            "disk: /workspace would be on a disk (at /) with 30.0 GiB free, 40 are needed",
            id="little disk",
        ),
        pytest.param(
            {"disk": Disk("/workspace", 4 * GIB), "deployed": True},
            "disk: /workspace would be on a disk (at /workspace) with 4.0 GiB free, 5 are needed",
            id="a full disk under a release",
        ),
        pytest.param({"gpus": 1}, "gpus: the inventory declares 2 GPUs, the machine shows 1", id="a GPU fell off"),
        pytest.param({"gpus": None, "gpu_error": "there is no nvidia-smi"}, "gpus: there is no nvidia-smi", id="no driver"),
        pytest.param({"listeners": {8188: [STRANGER, STRANGER]}}, "ports: port 8188 is held by nginx (pid 812)", id="a stranger, once"),
        pytest.param(
            {"answers": {HUB: "it does not answer"}},
            "servers: https://hub.example:443 cannot be reached from the machine: it does not answer",
            id="a silent hub",
        ),
    ],
)
def test_what_is_wrong_with_a_machine_is_named(found, message):
    assert _messages(WANTED, replace(FOUND, **found)) == [message]


@pytest.mark.parametrize(
    "found",
    [
        pytest.param({"memory": 8 * GIB - GIB // 2}, id="a machine sold with 8 GiB shows less"),
        pytest.param({"disk": Disk("/", 30 * GIB), "deployed": True}, id="models filled the disk since the first run"),
        pytest.param({"listeners": {8188: [OURS]}}, id="our own unit holds the port"),
        pytest.param({"gpus": 4}, id="more GPUs than declared"),
        pytest.param({"answers": None}, id="nobody was asked"),
    ],
)
def test_these_are_no_problems(found):
    assert _messages(WANTED, replace(FOUND, **found)) == []


@pytest.mark.parametrize(
    "wanted, message",
    [
        pytest.param({"controller_version": "2.16.3"}, "the controller runs ansible-core 2.16.3", id="old controller"),
        pytest.param({"base_port": 0}, "comfyui_instances_base_port is 0", id="port 0"),
        pytest.param({"base_port": "eighty"}, "comfyui_instances_base_port is 'eighty'", id="a port in words"),
        pytest.param({"base_port": True}, "comfyui_instances_base_port is True", id="a port that is a boolean"),
        pytest.param({"base_port": 65535, "gpus": [0, 1]}, "GPU 1 would need port 65536", id="a range over the end"),
        pytest.param({"mock_gpus": -1}, "docker_gpu_mock_gpus is -1", id="fewer than no GPUs"),
        pytest.param({"mock_gpus": 999999999}, "docker_gpu_mock_gpus is 999999999", id="a typing error that would fill the memory"),
        pytest.param({"expected_gpus": "two"}, "docker_gpu_expected_gpus is 'two'", id="a count in words"),
        pytest.param({"gpus": [0, 0]}, "comfyui_instances_gpus is [0, 0]", id="a GPU twice"),
        pytest.param({"gpus": [-1]}, "comfyui_instances_gpus is [-1]", id="a GPU before the first"),
        pytest.param({"gpus": [0, 5]}, "wants an instance on GPU 5, the machine shows 2 GPUs", id="a GPU that is not there"),
        pytest.param({"root": "workspace"}, "comfyui_root ('workspace') is not an absolute path", id="relative root"),
        pytest.param({"root": "/home/ubuntu"}, "comfyui_root ('/home/ubuntu') is a folder of the system or somebody's home", id="a home"),
        pytest.param({"root": "/tmp/x"}, "comfyui_root ('/tmp/x') is a folder of the system", id="a folder that is emptied"),
        pytest.param({"root": "//"}, "comfyui_root ('//') is the root of the whole machine", id="the whole machine"),
        pytest.param({"root": "/a/../etc"}, "comfyui_root ('/a/../etc') goes back with ..", id="a path that goes back"),
        pytest.param({"paths": {"models_dir": "/my models"}}, "models_dir ('/my models') has spaces", id="a space"),
        pytest.param({"paths": {"models_dir": "/a\x00b"}}, "models_dir ('/a\\x00b') has spaces or control", id="a NUL byte"),
        pytest.param({"names": {"models_list": ["../x"]}}, "models_list has the name '../x', which does not lead", id="a name that climbs"),
        pytest.param({"names": {"models_list": [None]}}, "models_list has the name None, which is empty", id="no name"),
        pytest.param({"names": {"models_list": ["a\nb"]}}, "which has control characters in it", id="a name of two lines"),
        pytest.param({"urls": {"preflight_urls": ["ftp://a/b"]}}, "preflight_urls: 'ftp://a/b' has the scheme 'ftp'", id="scheme"),
        pytest.param({"urls": {"preflight_urls": ["https://me:pw@a/b"]}}, "'https://***@a/b' carries a credential", id="credential"),
        pytest.param(
            {"secrets": [{"name": "a_key", "present": False, "needed_for": "the repository"}]},
            "secrets: a_key is not set and is needed for the repository",
            id="a secret that is not set",
        ),
    ],
)
def test_what_is_wrong_with_an_inventory_is_named(wanted, message):
    messages = _messages(replace(WANTED, **{"urls": {}, **wanted}), FOUND)
    assert len(messages) == 1
    assert message in messages[0]


def test_the_password_of_an_address_is_in_no_message():
    wanted = replace(WANTED, urls={"preflight_urls": ["https://me:hunter2@a/b?token=hunter2", "ssh://git:hunter2@a/b", "ftp://x:hunter2@a"]})
    assert "hunter2" not in report(check_all(wanted, FOUND)[0])


def test_everything_wrong_stands_in_one_numbered_message():
    problems, _made = check_all(replace(WANTED, base_port=0), replace(FOUND, uid=1, gpus=1))
    text = report(problems)
    assert text.startswith("This machine is not ready: 3 things are wrong. Nothing on it was changed.\n1. inventory: ")
    assert "\n2. user: " in text
    assert "\n3. gpus: " in text
    assert text.count("\n   Fix: ") == 3


def test_one_problem_is_counted_in_the_singular():
    assert "1 thing is wrong" in report([Problem("os", "it is odd", "change it")])


@pytest.mark.parametrize(
    "wanted, found_gpus, ports",
    [
        pytest.param(Wanted(), 2, [8188, 8189], id="one for each GPU found"),
        pytest.param(Wanted(mock_gpus="3"), None, [8188, 8189, 8190], id="one for each mock GPU, also from --extra-vars"),
        pytest.param(Wanted(expected_gpus=1), 8, [8188], id="one for each GPU declared"),
        pytest.param(Wanted(gpus=[0, 3], base_port=9000), 4, [9000, 9003], id="a gap keeps the ports"),
        pytest.param(Wanted(base_port=-5), 2, [], id="none where the base makes no sense"),
        pytest.param(Wanted(), None, [], id="none where the GPUs are not known"),
    ],
)
def test_each_instance_has_its_port(wanted, found_gpus, ports):
    assert wanted_ports(wanted, found_gpus) == ports


def test_a_server_is_asked_once_and_knows_all_variables_that_name_it():
    wanted = Wanted(urls={"a": ["https://hub.example/1", "https://hub.example/2"], "b": ["https://hub.example/3", "nonsense"]})
    assert wanted_addresses(wanted) == {HUB: ["a", "b"]}


def test_checks_that_could_not_be_made_are_not_claimed():
    made = check_all(WANTED, replace(FOUND, disk=None, gpus=None, listeners=None, answers=None))[1]
    assert not {"disk", "gpus", "ports", "servers"} & set(made)


def test_the_disk_is_asked_at_the_nearest_parent_that_exists(tmp_path):
    disk = read_disk(str(tmp_path / "not" / "yet"))
    assert disk.path == str(tmp_path)
    assert disk.free > 0


def test_os_release_is_read_with_quotes_and_comments(tmp_path):
    file = tmp_path / "os-release"
    file.write_text("# a comment\nID=ubuntu\nVERSION_ID=\"24.04\"\nNAME='Ubuntu'\n")
    assert read_os_release(file) == {"ID": "ubuntu", "VERSION_ID": "24.04", "NAME": "Ubuntu"}
    assert read_os_release(tmp_path / "missing") == {}


def test_memory_is_read_in_bytes(tmp_path):
    file = tmp_path / "meminfo"
    file.write_text("MemFree: 1 kB\nMemTotal:        2048 kB\n")
    assert read_memory(file) == 2 * 1024 * 1024


PLUGINS = Path(_preflight.__file__).parents[1]


@pytest.mark.parametrize("file", ["module_utils/_preflight.py", "module_utils/_reach.py", "modules/preflight_info.py"])
def test_an_old_python_can_read_the_code_that_complains_about_it(file):
    tree = ast.parse((PLUGINS / file).read_text(), feature_version=(3, 8))
    newer = {"removeprefix", "removesuffix", "readlink", "is_relative_to", "pairwise", "bit_count"}
    assert not newer & {node.attr for node in ast.walk(tree) if isinstance(node, ast.Attribute)}
