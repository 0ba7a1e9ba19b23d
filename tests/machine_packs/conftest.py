# GNU General Public License v3.0+ (see https://www.gnu.org/licenses/gpl-3.0.txt)

"""A sandbox machine with sixty packs, and the world that they come from. Run by molecule; SANDBOX_NAME says which machine."""

from __future__ import annotations

import json
import subprocess

import pytest
from machine import conftest
from machine.conftest import CHECKOUT, NAME, play
from support import many_packs

machine, sandbox, world = conftest.machine, conftest.sandbox, conftest.world
still_serves, serves_again = conftest.still_serves, conftest.serves_again

OUTSIDE = CHECKOUT / ".sandbox" / NAME / "outside"
BASE = "http://outside.test/git"
GIVEN = ("--extra-vars", "@molecule/custom_nodes/vars/packs.yml")
PACKS = ("playbooks/code.yml",)
CODE = (*PACKS, "playbooks/serving.yml")


def bring(*playbooks, **variables):
    """Run the tiers that packs are about, which is less to wait for than site.yml."""
    return play(*(playbooks or CODE), *GIVEN, **variables)


@pytest.fixture(scope="session")
def packs():
    """The manifest that the machine was made with."""
    return json.loads((CHECKOUT / ".sandbox" / NAME / "packs.json").read_text(encoding="utf-8"))["custom_nodes"]


@pytest.fixture
def broken():
    """Make packs with these faults; returns their entries."""

    def make(*faults):
        return many_packs.make_broken(OUTSIDE / "git", BASE, faults)

    return make


@pytest.fixture
def outside():
    """Run something in the world outside the machine."""

    def run(*argv):
        return subprocess.run(["docker", "exec", f"emprops-sandbox-{NAME}-outside", *argv], check=True, capture_output=True, text=True)

    return run
