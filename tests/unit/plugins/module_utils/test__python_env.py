# GNU General Public License v3.0+ (see https://www.gnu.org/licenses/gpl-3.0.txt)

"""With the real uv; the packages are a few wheels of ours, and the index is empty."""

from __future__ import annotations

import os
from contextlib import suppress
from dataclasses import replace

import pytest
from ansible_collections.emprops.comfyui.plugins.module_utils import _python_env
from ansible_collections.emprops.comfyui.plugins.module_utils._command import run
from ansible_collections.emprops.comfyui.plugins.module_utils._python_env import (
    PythonEnv,
    PythonEnvError,
    PythonOptions,
    check_indexes,
    ensure_uv,
    interpreter_version,
)


@pytest.fixture(name="env")
def fixture_env(workspace, python, account):
    release = workspace.releases / "r"
    release.mkdir(parents=True)
    env = PythonEnv(release, workspace.cache, python, account)
    env.create()
    return env


def resolved(env):
    return dict(line.split(" ")[0].split("==") for line in env.lock.read_text().splitlines() if "==" in line)


# --- options ---


def test_options_go_into_a_lock_and_come_back():
    options = PythonOptions(uv_version="1", constraints=("numpy<2",), overrides=("x==1",), exclude_newer="2025-02-01")
    assert PythonOptions.of(options.as_dict()) == options
    assert options.as_dict()["constraints"] == ["numpy<2"]
    with pytest.raises(TypeError, match="colour"):
        PythonOptions.of({"colour": "red"})


def test_what_counts_as_another_environment():
    options = PythonOptions(uv_version="1", exclude_newer="2025-02-01")
    assert replace(options, uv_version="2").base == options.base
    assert replace(options, constraints=("x",)).base == options.base
    assert replace(options, constraints=("x",)).identity != options.identity
    assert replace(options, uv_version="2").identity == options.identity
    assert replace(options, exclude_newer="2025-03-01").base != options.base


# --- the tools ---


def test_an_interpreter_that_is_not_there_is_named():
    with pytest.raises(PythonEnvError, match="/nonexistent/python is no Python of this machine"):
        interpreter_version("/nonexistent/python")


@pytest.mark.parametrize("answer, ok", [("3.9.18", False), ("3.10.0", True), ("3.14.1", True)])
def test_an_interpreter_that_is_too_old_is_refused(tmp_path, answer, ok):
    python = tmp_path / "python"
    python.write_text(f"#!/bin/sh\necho {answer}\n")
    python.chmod(0o755)
    if ok:
        assert interpreter_version(str(python)) == answer
    else:
        with pytest.raises(PythonEnvError, match=rf"is Python {answer}; ComfyUI needs 3\.10 or newer"):
            interpreter_version(str(python))


def test_uv_is_there_once_and_for_all(tools, python, account, monkeypatch):
    def refuse(*_arguments, **_options):
        raise AssertionError("nothing needs to run")

    monkeypatch.setattr(_python_env, "run", refuse)
    uv = ensure_uv(tools, python.uv_version, account, {})
    assert uv == tools / f"uv-{python.uv_version}/uv"
    monkeypatch.undo()
    assert run([str(uv), "--version"]).split()[1] == python.uv_version
    assert [path.name for path in uv.parent.iterdir()] == ["uv"]


def test_a_version_of_uv_that_is_not_there_is_named_and_leaves_nothing(tmp_path, account):
    (tmp_path / "empty").mkdir()
    with pytest.raises(PythonEnvError, match=r"cannot install uv 0\.0\.0 from the package index: "):
        ensure_uv(tmp_path / "tools", "0.0.0", account, {"UV_DEFAULT_INDEX": (tmp_path / "empty").as_uri()})
    assert list((tmp_path / "tools").glob("*/*")) == []


# --- environments ---


def test_an_environment_that_is_there_is_kept(env):
    inode = env.venv.stat().st_ino
    assert env.create().startswith("3.")
    assert env.venv.stat().st_ino == inode


def test_half_an_environment_is_made_anew(env):
    env.python.unlink()
    env.create()
    assert run([str(env.python), "-c", "print(1)"]) == "1\n"


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become somebody else")
def test_folders_that_uv_writes_to_belong_to_the_account(workspace, python, tmp_path):
    nobody = _python_env.Account.named("nobody")
    env = PythonEnv(tmp_path / "release", workspace.cache, python, nobody)
    with suppress(PythonEnvError):  # pytest's own folders are closed to others
        env.run_uv(workspace.cache / "tools" / f"uv-{python.uv_version}/uv", "--version")
    assert {(workspace.cache / name).stat().st_uid for name in ("uv", "tmp")} == {nobody.uid}


@pytest.mark.parametrize("name", ["index_url", "torch_index_url"])
def test_an_index_with_a_password_is_refused_because_the_lock_would_show_it(name):
    with pytest.raises(PythonEnvError, match=f"{name} holds a user name or password") as caught:
        check_indexes(PythonOptions.of({"uv_version": "1", name: "https://me:hunter2@packages.example.com/simple"}))
    assert "hunter2" not in str(caught.value)


# --- an environment out of another ---


def test_an_environment_like_another_has_its_packages_and_bytecode_and_names_itself(workspace, env, account, python):
    (env.release / "requirements").mkdir(exist_ok=True)
    env.lock.write_text("shared-part==1.0\n")
    env.install()
    site = next((env.venv / "lib").glob("python3*/site-packages"))
    run([str(env.python), "-m", "compileall", "-q", str(site)])
    program = env.venv / "bin/program"
    program.write_text(f"#!{env.python}\nimport shared_part, sys\nprint(shared_part.version, sys.prefix)\n")
    program.chmod(0o755)
    before = {path: (path.stat().st_ino, path.read_bytes()) for path in site.rglob("*") if path.is_file()}

    other = replace(env, release=workspace.releases / "other")
    other.release.mkdir()
    version = other.create(env.release, env.create())
    assert version.startswith("3.")
    assert run([str(other.venv / "bin/program")]).split() == ["1.0", str(other.venv)]
    assert run([str(program)]).split() == ["1.0", str(env.venv)]
    copied = next((other.venv / "lib").glob("python3*/site-packages"))
    assert {path.relative_to(copied) for path in copied.rglob("*.pyc")} == {path.relative_to(site) for path in site.rglob("*.pyc")} != set()

    (other.release / "requirements").mkdir()
    other.lock.write_text("shared-part==2.0\n")
    other.install()
    run([str(other.python), "-m", "compileall", "-q", str(copied)])
    assert run([str(other.python), "-c", "import shared_part; print(shared_part.version)"]) == "2.0\n"
    assert run([str(env.python), "-c", "import shared_part; print(shared_part.version)"]) == "1.0\n"
    assert {path: (path.stat().st_ino, path.read_bytes()) for path in site.rglob("*") if path.is_file()} == before


@pytest.mark.parametrize("spoil", ["absent", "another version", "broken"])
def test_where_another_cannot_be_taken_an_empty_one_is_made(workspace, env, spoil):
    version = env.create()
    if spoil == "broken":
        (env.venv / "bin/python").unlink()
    other = replace(env, release=workspace.releases / "other")
    other.release.mkdir()
    other.create(env.release if spoil != "absent" else workspace.releases / "nowhere", "3.0.0" if spoil == "another version" else version)
    assert run([str(other.python), "-c", "import sys; print(sys.prefix)"]).strip() == str(other.venv)
