# GNU General Public License v3.0+ (see https://www.gnu.org/licenses/gpl-3.0.txt)

"""The converged machine, used: what its users rely on day by day."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

import pytest

from .conftest import CONTAINER, play

UNITS = ["comfyui@gpu0", "comfyui@gpu1"]


@pytest.mark.parametrize("unit", UNITS)
def test_every_gpu_has_a_running_unit(machine, unit):
    assert machine.service(unit).is_running
    assert machine.check_output("systemctl is-enabled comfyui.target") == "enabled"


@pytest.mark.parametrize("unit", UNITS)
def test_a_unit_is_hardened(machine, unit):
    words = machine.check_output("systemd-analyze security --no-pager %s | tail -1", f"{unit}.service").split()
    assert float(words[words.index("level") + 3]) <= 3.0


def test_instances_run_unprivileged_and_read_only(machine, world):
    pid = world.pid("comfyui@gpu0")
    assert machine.check_output("stat --format=%%U /proc/%s", pid) == "comfyui"
    assert machine.run("nsenter --target %s --mount touch /workspace/releases/probe", pid).rc != 0


def test_each_instance_answers_on_its_own_port(world):
    assert world.wait()
    outputs = set()
    for port in world.ports:
        stats = world.get(port, "/system_stats")
        argv = stats["system"]["argv"]
        outputs.add(argv[argv.index("--output-directory") + 1])
        assert stats["devices"][0]["type"] == "cpu"
    assert len(outputs) == len(world.ports)


def test_the_node_types_of_every_pack_are_there(world):
    for port in world.ports:
        classes = world.get(port, "/object_info")
        assert {"EmptyImage", "DemoSwatch", "DemoSleep", "DemoEnv"} <= classes.keys()


def test_secrets_of_packs_reach_the_instances_and_nobody_else(machine, world):
    file = machine.file("/etc/comfyui/custom_nodes.env")
    assert (file.user, file.mode) == ("root", 0o600)
    environment = machine.check_output("tr '\\0' '\\n' < /proc/%s/environ", world.pid("comfyui@gpu0")).splitlines()
    assert "DEMO_TOKEN=sandbox-token" in environment
    assert "DEMO_UNSET=" in environment
    assert machine.run("grep -rl sandbox-token /workspace/releases /workspace/state /workspace/logs /var/log").stdout == ""


def test_the_deploy_key_is_readable_by_the_builder_alone(machine):
    keys = machine.check_output("find /etc/comfyui -type f -name 'emprops_shared*'").split()
    assert keys
    for key in keys:
        assert machine.file(key).mode == 0o600


def test_docker_and_the_nvidia_toolkit_are_there_at_the_pinned_version(machine):
    assert "nvidia" in json.loads(machine.check_output("docker info --format '{{json .Runtimes}}'"))
    versions = machine.check_output("dpkg-query --show --showformat='${Version}\\n' nvidia-container-toolkit libnvidia-container1")
    assert set(versions.split()) == {"1.20.0-1"}
    assert machine.file("/var/run/cdi/nvidia.yaml").exists


def test_the_log_file_follows_the_journal(machine):
    assert "Starting server" in machine.check_output("cat /workspace/logs/comfyui_gpu0/output.log")
    assert machine.run("logrotate --force /etc/logrotate.d/comfyui").rc == 0
    assert machine.file("/workspace/logs/comfyui_gpu0/output.log.1").exists


def test_models_are_where_comfyui_finds_them(world):
    for port in world.ports:
        assert "sandbox_checkpoint.safetensors" in world.get(port, "/models/checkpoints")


def test_a_killed_instance_comes_back_and_leaves_the_other_alone(machine, world):
    assert world.wait()
    killed, other = world.pid("comfyui@gpu0"), world.pid("comfyui@gpu1")
    machine.check_output("kill -9 %s", killed)
    assert world.wait()
    assert world.pid("comfyui@gpu0") not in ("0", killed)
    assert world.pid("comfyui@gpu1") == other


def test_a_stop_is_clean(machine, world):
    machine.check_output("systemctl stop comfyui@gpu1")
    assert machine.check_output("systemctl show --property=Result --value comfyui@gpu1") == "success"
    assert "Stopped server" in machine.check_output("journalctl --unit=comfyui@gpu1 --output=cat --lines=50")
    outcome = play("--tags", "comfyui_instances")
    assert outcome.code == 0, outcome.output
    assert world.wait()


def test_unknown_arguments_do_not_make_a_unit_loop(machine, world, still_serves):
    outcome = play("--tags", "comfyui_instances", comfyui_instances_extra_args=["--normalvram"])
    assert outcome.code != 0
    assert "does not know --normalvram" in outcome.plain


def test_a_restart_of_the_machine_brings_both_back(world):
    subprocess.run(["docker", "restart", CONTAINER], check=True, capture_output=True, timeout=120)
    assert world.wait(seconds=120)
    outcome = play()
    assert outcome.code == 0, outcome.output
    assert outcome.changed == 0, outcome.output


def test_a_gpu_that_is_no_longer_listed_is_retired_and_can_return(machine, world):
    outcome = play("--tags", "comfyui_instances", comfyui_instances_gpus=[0])
    assert outcome.code == 0, outcome.output
    assert not machine.service("comfyui@gpu1").is_running
    assert not machine.file("/etc/comfyui/instances/gpu1.env").exists
    assert world.answers(world.ports[0])
    outcome = play("--tags", "comfyui_instances")
    assert outcome.code == 0, outcome.output
    assert world.wait()


def test_old_outputs_are_removed_when_that_is_asked_for(machine, world):
    machine.check_output("install --owner=comfyui /dev/null /workspace/comfyui_gpu0/output/old.png")
    machine.check_output("touch --date='3 days ago' /workspace/comfyui_gpu0/output/old.png")
    machine.check_output("install --owner=comfyui /dev/null /workspace/comfyui_gpu0/output/new.png")
    outcome = play("--tags", "comfyui_instances", comfyui_instances_output_max_days=2)
    assert outcome.code == 0, outcome.output
    machine.check_output("systemctl start comfyui-clean.service")
    assert not machine.file("/workspace/comfyui_gpu0/output/old.png").exists
    assert machine.file("/workspace/comfyui_gpu0/output/new.png").exists
    assert play("--tags", "comfyui_instances").code == 0
    assert not machine.service("comfyui-clean.timer").is_running


def test_the_shared_repository_can_also_come_over_http_with_a_token(machine, sandbox):
    token = Path(sandbox["token_file"]).read_text(encoding="utf-8").strip()
    over_http = {"emprops_shared_repository": "http://outside.test/private/shared.git", "emprops_shared_token": token}
    outcome = play("--tags", "emprops_shared", "-vvv", **over_http)
    assert outcome.code == 0, outcome.output
    assert token not in outcome.output.replace(json.dumps(over_http)[1:-1], "")
    assert machine.run("grep -rlF -- %s /workspace/shared /workspace/state /etc", token).stdout == ""
    refused = play("--tags", "emprops_shared", **{**over_http, "emprops_shared_token": "wrong"}, emprops_shared_update=True)
    assert refused.code != 0
    assert "private/shared.git" in refused.plain
    assert play("--tags", "emprops_shared").code == 0


def test_the_deploy_key_never_appears_however_much_is_told(sandbox):
    lines = Path(sandbox["deploy_key_file"]).read_text(encoding="utf-8").splitlines()
    outcome = play("--tags", "emprops_shared", "-vvvv", "--diff")
    assert outcome.code == 0, outcome.output
    assert [line for line in lines[1:-1] if line in outcome.output] == []


def test_limits_reach_the_units_and_the_instances_serve_within_them(machine, world):
    outcome = play("--tags", "comfyui_instances", comfyui_instances_memory_max="2G", comfyui_instances_cpu_quota="150%")
    assert outcome.code == 0, outcome.output
    for unit in UNITS:
        assert machine.check_output("systemctl show --property=MemoryMax --value %s", unit) == str(2 * 1024**3)
        quota = machine.check_output("systemctl show --property=CPUQuotaPerSecUSec --value %s", unit)
        assert float(quota.removesuffix("s")) == 1.5
    assert world.wait()
    assert play("--tags", "comfyui_instances").code == 0
    assert machine.check_output("systemctl show --property=MemoryMax --value comfyui@gpu0") == "infinity"


def test_the_official_program_is_deployed_only_when_chosen_and_said_so(world, sandbox):
    chosen = {
        "comfyui_fork_source": "official",
        "comfyui_fork_official_repository": sandbox["comfyui_repository"],
        "comfyui_fork_official_version": world.machine.check_output("git -C /workspace/current/ComfyUI -c safe.directory=* rev-parse HEAD"),
    }
    outcome = play("--tags", "comfyui_fork", **chosen)
    assert outcome.code == 0, outcome.output
    assert "comfyui_fork_source is official" in outcome.plain
    assert "comfyui_fork_source is official" not in play("--tags", "comfyui_fork").plain


def test_test_mode_deploys_the_test_manifest_and_leaving_it_goes_back(world):
    before = world.serving()
    tags = ("--tags", "emprops_shared,comfyui_fork,custom_nodes,comfyui_instances")
    outcome = play(*tags, emprops_shared_test_mode=True)
    assert outcome.code == 0, outcome.output
    for port in world.ports:
        classes = world.get(port, "/object_info")
        assert "DemoSwatch" in classes
        assert "DemoSleep" not in classes
    outcome = play(*tags)
    assert outcome.code == 0, outcome.output
    assert world.serving().release == before.release


def test_the_repositorys_own_model_paths_are_used_when_asked_for(machine, world):
    tags = ("--tags", "emprops_shared,comfyui_instances")
    outcome = play(*tags, emprops_shared_model_paths_source="repository")
    assert outcome.code == 0, outcome.output
    assert "/workspace/ComfyUI" in machine.file("/etc/comfyui/extra_model_paths.yaml").content_string
    assert world.wait()
    assert play(*tags).code == 0
    assert "sandbox_checkpoint.safetensors" in world.get(world.ports[0], "/models/checkpoints")
