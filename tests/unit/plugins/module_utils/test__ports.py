# GNU General Public License v3.0+ (see https://www.gnu.org/licenses/gpl-3.0.txt)

from __future__ import annotations

import os
import socket
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import pytest
from ansible_collections.emprops.comfyui.plugins.module_utils._ports import Listener, listeners

LISTENS = "import socket; s = socket.create_server(('127.0.0.1', 0)); print(s.getsockname()[1], flush=True); input()"


def listening_socket(family, address):
    found = socket.socket(family)
    found.bind((address, 0))
    found.listen()
    return found


@pytest.mark.parametrize(
    "family, address",
    [
        pytest.param(socket.AF_INET, "127.0.0.1", id="loopback"),
        pytest.param(socket.AF_INET, "0.0.0.0", id="every address"),
        pytest.param(socket.AF_INET6, "::1", id="IPv6 loopback"),
    ],
)
def test_a_listener_is_found_with_its_process(family, address):
    with closing(listening_socket(family, address)) as held:
        port = held.getsockname()[1]
        [found] = listeners([port])[port]
    assert (found.pid, found.address) == (os.getpid(), address)
    assert "python" in found.program or "pytest" in found.program


def test_a_port_that_is_bound_or_connected_but_not_listened_on_is_free():
    with closing(socket.socket()) as bound, closing(listening_socket(socket.AF_INET, "127.0.0.1")) as held:
        bound.bind(("127.0.0.1", 0))
        with closing(socket.create_connection(held.getsockname())) as connected:
            ports = [bound.getsockname()[1], connected.getsockname()[1]]
            assert listeners(ports) == {port: [] for port in ports}


def test_every_process_that_shares_a_socket_is_found():
    with closing(listening_socket(socket.AF_INET, "127.0.0.1")) as held:
        port = held.getsockname()[1]
        held.set_inheritable(True)
        with subprocess.Popen(["cat"], stdin=subprocess.PIPE, pass_fds=[held.fileno()]) as child:
            found = {(listener.pid, listener.program) for listener in listeners([port])[port]}
            child.stdin.close()
    assert (child.pid, "cat") in found
    assert os.getpid() in {pid for pid, _ in found}


def test_a_script_is_named_and_the_secrets_after_it_are_not(tmp_path):
    script = tmp_path / "main.py"
    script.write_text(LISTENS)
    command = [sys.executable, "-u", str(script), "--token", "hunter2"]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        port = int(process.stdout.readline())
        [found] = listeners([port])[port]
        process.stdin.close()
    assert found.pid == process.pid
    assert found.program == f"{Path(sys.executable).name} main.py"
    assert str(found) == f"{found.program} (pid {process.pid})"


def test_code_on_a_command_line_is_not_a_name():
    with subprocess.Popen([sys.executable, "-c", LISTENS], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        port = int(process.stdout.readline())
        [found] = listeners([port])[port]
        process.stdin.close()
    assert found.program == Path(sys.executable).name


def test_a_listener_whose_process_cannot_be_seen_still_holds_the_port(tmp_path):
    (tmp_path / "net").mkdir()
    (tmp_path / "net" / "tcp").write_text(
        "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode\n"
        "   0: 0100007F:1FFC 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 4242 1 0 100 0 0 10 0\n"
    )
    assert listeners([8188, 8189], tmp_path) == {8188: [Listener(None, None, None, "127.0.0.1")], 8189: []}
    assert str(listeners([8188], tmp_path)[8188][0]) == "a process that cannot be seen from here"


def test_a_listener_is_known_by_its_unit(tmp_path):
    (tmp_path / "net").mkdir()
    (tmp_path / "net" / "tcp").write_text(
        "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode\n"
        "   0: 00000000:1FFC 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 4242 1 0 100 0 0 10 0\n"
    )
    (tmp_path / "77" / "fd").mkdir(parents=True)
    (tmp_path / "77" / "fd" / "3").symlink_to("socket:[4242]")
    (tmp_path / "77" / "cmdline").write_bytes(b"/usr/sbin/nginx\0-g\0daemon off;\0")
    (tmp_path / "77" / "cgroup").write_text("0::/system.slice/nginx.service\n")
    [found] = listeners([8188], tmp_path)[8188]
    assert found == Listener(77, "nginx", "nginx.service", "0.0.0.0")
    assert str(found) == "nginx (pid 77, nginx.service)"
