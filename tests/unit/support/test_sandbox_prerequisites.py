# GNU General Public License v3.0+ (see https://www.gnu.org/licenses/gpl-3.0.txt)

from __future__ import annotations

import socket
from dataclasses import replace

import pytest
from support.sandbox.commands import SandboxError
from support.sandbox.prerequisites import TOOLS, Host, look, problems, require, wanted_packages

READY = Host(root=True, apt=True, python=(3, 12), venv=True, tools=frozenset([*TOOLS, "dockerd"]), docker_answers=True)


def test_a_computer_with_everything_has_no_problem_and_wants_no_package():
    assert problems(READY) == []
    assert wanted_packages(READY) == []


@pytest.mark.parametrize(
    ("change", "what", "fix"),
    [
        pytest.param({"root": False}, "take root", "sudo make demo", id="not root"),
        pytest.param({"apt": False}, "no apt-get", "use Debian or Ubuntu", id="no apt"),
        pytest.param({"python": (3, 10)}, "Python 3.10 is too old", "make PYTHON=", id="old Python"),
        pytest.param({"venv": False, "root": False}, "missing: python3-venv", "sudo apt-get install python3-venv", id="no venv, not root"),
        pytest.param(
            {"tools": READY.tools - {"debootstrap"}, "apt": False},
            "debootstrap",
            "apt-get install debootstrap",
            id="no debootstrap, no apt",
        ),
        pytest.param(
            {"tools": READY.tools - {"dockerd"}, "docker_answers": False, "root": False},
            "missing: docker.io",
            "sudo apt-get install docker.io",
            id="client only, not root",
        ),
        pytest.param({"free_gib": {"/var/lib/docker": 3.25}}, "/var/lib/docker has 3.2 GiB", "docker system prune", id="full disk"),
        pytest.param({"ports_taken": (8189,)}, "port 8189", "ss -ltnp 'sport = :8189'", id="a stranger on a port"),
    ],
)
def test_each_problem_is_named_with_what_fixes_it(change, what, fix):
    found = problems(replace(READY, **change))
    assert any(what in problem and fix in remedy for problem, remedy in found), found


def test_all_problems_are_named_at_once():
    poor = replace(READY, root=False, python=(3, 10), free_gib={"/x": 1.0}, ports_taken=(8188,))
    with pytest.raises(SandboxError) as error:
        require(poor)
    assert all(word in str(error.value) for word in ("take root", "3.10", "/x has 1.0", "port 8188"))


def test_root_with_apt_gets_the_packages_instead_of_a_problem():
    bare = replace(READY, tools=frozenset(["git", "ssh-keygen"]), docker_answers=False, venv=False)
    assert problems(bare) == []
    assert wanted_packages(bare) == ["debootstrap", "docker.io", "python3-venv"]


def test_a_client_without_an_engine_gets_the_engine_and_an_engine_that_answers_is_enough():
    client = replace(READY, tools=READY.tools - {"dockerd"}, docker_answers=False)
    assert (problems(client), wanted_packages(client)) == ([], ["docker.io"])
    assert wanted_packages(replace(client, docker_answers=True)) == []


def test_setup_alone_wants_no_more_than_python():
    bare = Host(root=False, apt=False, python=(3, 12), venv=True)
    assert problems(bare, sandbox=False) == []
    assert wanted_packages(bare, sandbox=False) == []


def test_a_larger_deployment_wants_more_disk():
    found = replace(READY, free_gib={"/x": 20.0})
    assert problems(found, needed_gib=10) == []
    assert "25 GiB are needed" in problems(found, needed_gib=25)[0][0]


def test_a_port_that_is_listened_on_is_seen(tmp_path):
    with socket.create_server(("127.0.0.1", 0)) as stranger:
        port = stranger.getsockname()[1]
        assert look(ports=(port,)).ports_taken == (port,)
    assert look(folders=(tmp_path / "not" / "yet",)).free_gib[str(tmp_path / "not" / "yet")] > 0
