# GNU General Public License v3.0+ (see https://www.gnu.org/licenses/gpl-3.0.txt)

from __future__ import annotations

import base64
import http.server
import os
import socket
import subprocess
import tempfile
import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import pytest
from ansible_collections.emprops.comfyui.plugins.module_utils._command import Account
from ansible_collections.emprops.comfyui.plugins.module_utils._git import (
    GitAccess,
    GitError,
    Mirror,
    check_host,
    check_ref,
    clean_url,
    list_refs,
    resolve_ref,
    same_repository,
    was_rewritten,
)
from ansible_collections.emprops.comfyui.plugins.module_utils._git_options import git_access
from support.outside import server

NO_COMMIT = "f" * 40


@pytest.fixture(name="cache")
def fixture_cache(tmp_path):
    return tmp_path / "cache"


def files_of(tree):
    return sorted(
        str(path.relative_to(tree)) for path in tree.rglob("*") if ".git" not in path.relative_to(tree).parts and not path.is_dir()
    )


# --- addresses ---


@pytest.mark.parametrize(
    "text, url",
    [
        pytest.param("https://github.com/a/b", "https://github.com/a/b", id="https"),
        pytest.param("git clone https://github.com/a/b.git", "https://github.com/a/b.git", id="git clone in front"),
        pytest.param(" https://github.com/a/b/ ", "https://github.com/a/b", id="spaces and slash"),
        pytest.param("git@github.com:a/b.git", "git@github.com:a/b.git", id="scp form"),
        pytest.param("ssh://git@github.com:22/a/b", "ssh://git@github.com:22/a/b", id="ssh"),
        pytest.param("https://github.com:8443/a%20b", "https://github.com:8443/a%20b", id="port and escaped space"),
    ],
)
def test_addresses_that_are_used(text, url):
    assert clean_url(text) == url


@pytest.mark.parametrize(
    "text, message",
    [
        pytest.param("", "'' is no repository address", id="empty"),
        pytest.param("git clone ", "is no repository address", id="git clone of nothing"),
        pytest.param("https://github.com/a/b c", "is no repository address", id="space"),
        pytest.param("https://github.com/a\nb", "is no repository address", id="line break"),
        pytest.param("--upload-pack=touch", "is no repository address", id="option"),
        pytest.param("../b", "is no repository address", id="relative path"),
        pytest.param("/srv/b", "is no repository address", id="absolute path"),
        pytest.param("file:///srv/b", "is no repository address that is allowed here", id="file"),
        pytest.param("http://github.com/a/b", "is no repository address that is allowed here (allowed: https, ssh)", id="unencrypted"),
        pytest.param("ext::sh -c id", "is no repository address", id="command"),
        pytest.param("https:///a/b", "names no host", id="no host"),
        pytest.param("ssh://-oProxyCommand=id/x", "names no host", id="option as host"),
        pytest.param("https://[::1/a", "is no repository address", id="half a host"),
        pytest.param("https://github.com/a?b=c", "github.com/a holds a query or fragment", id="query"),
        pytest.param("https://github.com/a#b", "holds a query or fragment", id="fragment"),
        pytest.param("https://user@github.com/a", "the address of github.com/a holds a user name", id="user name"),
    ],
)
def test_addresses_that_are_refused(text, message):
    with pytest.raises(GitError) as caught:
        clean_url(text)
    assert message in str(caught.value)


@pytest.mark.parametrize(
    "text",
    [
        "https://user:s3cret@github.com/a/b",
        "https://:s3cret@github.com/a/b",
        "git clone http://user:s3cret@github.com/a/b",
        "ssh://git:s3cret@github.com/a/b",
        "https://user:s3cret@github.com/a b",
        "https://github.com/a?token=s3cret",
    ],
)
def test_a_secret_in_an_address_is_refused_and_not_repeated(text):
    with pytest.raises(GitError) as caught:
        clean_url(text)
    assert "s3cret" not in str(caught.value)


def test_ssh_can_be_forbidden():
    with pytest.raises(GitError, match=r"git@github.com:a/b uses ssh; allowed are https"):
        clean_url("git@github.com:a/b", ("https",))


@pytest.mark.parametrize(
    "one, other, same",
    [
        ("https://github.com/a/b", "https://GitHub.com/A/b.git", True),
        ("git@github.com:a/b.git", "https://github.com/a/b", True),
        ("ssh://git@github.com/a/b", "git@github.com:a/b", True),
        ("https://github.com/a/b", "https://github.com/a/c", False),
        ("https://github.com/a/b", "https://gitlab.com/a/b", False),
        ("https://github.com/a/b", "https://github.com:8443/a/b", False),
    ],
)
def test_two_spellings_of_one_repository(one, other, same):
    assert same_repository(one, other) is same


@pytest.mark.parametrize("ref", ["main", "v1.0", "feature/x", "websocket_version", "a@b", "ü"])
def test_names_that_git_may_be_handed(ref):
    assert check_ref(ref) == ref


@pytest.mark.parametrize(
    "ref",
    [
        "",
        "-f",
        "--all",
        "/x",
        ".x",
        "a..b",
        "a//b",
        "a@{1}",
        "a b",
        "a\nb",
        "a~1",
        "a^",
        "a:b",
        "a?",
        "a*",
        "a[",
        "a\\b",
        "x.lock",
        "x/",
        "x.",
        "x" * 256,
    ],
)
def test_names_that_git_may_not_be_handed(ref):
    with pytest.raises(GitError, match="is no branch, tag or commit"):
        check_ref(ref)


# --- access ---


def test_git_asks_nobody_and_speaks_only_the_allowed_protocols():
    environment = GitAccess(protocols=("https",)).environment()
    assert environment["GIT_TERMINAL_PROMPT"] == "0"
    assert environment["GIT_ALLOW_PROTOCOL"] == "https"
    assert GitAccess(protocols=("https",)).environment(local=True)["GIT_ALLOW_PROTOCOL"] == "https:file"


def test_ssh_uses_the_key_and_the_pinned_hosts_alone():
    command = GitAccess(ssh_key_file="/k y", ssh_known_hosts_file="/hosts").environment()["GIT_SSH_COMMAND"]
    for part in (
        "-F /dev/null",
        "BatchMode=yes",
        "StrictHostKeyChecking=yes",
        "UserKnownHostsFile=/hosts",
        "IdentitiesOnly=yes",
        "-i '/k y'",
    ):
        assert part in command
    assert "StrictHostKeyChecking=no" not in GitAccess().environment()["GIT_SSH_COMMAND"]


def test_a_protocol_that_is_not_allowed_is_refused_by_git_itself(origin):
    with pytest.raises(GitError, match="transport 'file' not allowed"):
        list_refs(origin("a", {"x": ""}).url, GitAccess())


def test_hooks_and_settings_of_the_account_are_not_used(origin, account, cache, tmp_path):
    (tmp_path / ".gitconfig").write_text(f'[url "file:///nonexistent/"]\n  insteadOf = file://\n[core]\n  hooksPath = {tmp_path}\n')
    (tmp_path / "post-checkout").write_text(f"#!/bin/sh\ntouch {tmp_path}/evil\n")
    (tmp_path / "post-checkout").chmod(0o755)
    access = GitAccess(replace(account, home=str(tmp_path)), ("file",))
    repository = origin("a", {"x": "1"})
    Mirror.of(cache, repository.url, access).checkout(repository.git("rev-parse", "HEAD"), tmp_path / "a")
    assert not (tmp_path / "evil").exists()


@pytest.fixture(name="hub")
def fixture_hub():
    """An HTTP server that lets nobody in and remembers what it was shown."""
    seen = []

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            seen.append(self.headers.get("Authorization"))
            self.send_response(401)
            self.send_header("WWW-Authenticate", "Basic")
            self.end_headers()

        def log_message(self, *arguments):
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}", seen
    server.shutdown()
    server.server_close()


def test_the_token_goes_to_its_own_server_as_a_header_and_nowhere_else(hub):
    url, seen = hub
    basic = "Basic " + base64.b64encode(b"x-access-token:s3cret").decode()
    for token_url, header in ((f"{url}/private/", basic), ("http://127.0.0.1:9/", None), (f"{url}/other/", None)):
        seen.clear()
        access = GitAccess(protocols=("http",), token="s3cret", token_url=token_url)
        with pytest.raises(GitError) as caught:
            list_refs(f"{url}/private/repository", access)
        assert seen[0] == header
        assert f"cannot read {url}/private/repository: " in str(caught.value)
        assert "s3cret" not in f"{caught.value} {access!r}" and basic not in str(caught.value)


def test_the_token_is_on_no_command_line(monkeypatch):
    monkeypatch.setattr(subprocess, "Popen", lambda argv, **_kwargs: (_ for _ in ()).throw(OSError(str(argv))))
    with pytest.raises(GitError) as caught:
        list_refs("https://git.example/a", GitAccess(token="s3cret", token_url="https://git.example/"))
    assert "s3cret" not in str(caught.value) and "ls-remote" in str(caught.value)


def test_the_modules_option_becomes_an_access():
    account = Account.named(None)
    assert git_access(None, account) == git_access({}, account) == GitAccess(account)
    keys = {"token": "t", "token_url": "u", "ssh_key_file": "k", "ssh_known_hosts_file": "h"}
    access = git_access({"protocols": ["file"], "hosts": ["a"], **keys}, account)
    assert access == GitAccess(account, ("file",), ["a"], "k", "h", "t", "u")


# --- names to commits ---


def test_branches_tags_and_the_default_branch_become_commits(origin, access):
    repository = origin("a", {"x": "1"})
    first = repository.git("rev-parse", "HEAD")
    repository.git("tag", "light")
    repository.git("tag", "--annotate", "--message=m", "heavy")
    repository.git("branch", "feature/x")
    second = repository.commit({"x": "2"})
    wanted = {None: second, "main": second, "light": first, "heavy": first, "feature/x": first}
    assert {ref: resolve_ref(repository.url, ref, access) for ref in wanted} == wanted


def test_a_branch_wins_over_a_tag_of_its_name(origin, access):
    repository = origin("a", {"x": "1"})
    repository.git("tag", "main")
    second = repository.commit({"x": "2"})
    assert resolve_ref(repository.url, "main", access) == second


def test_a_full_commit_is_the_answer_itself_and_nobody_is_asked(access):
    assert resolve_ref("file:///nonexistent", NO_COMMIT, access) == NO_COMMIT


def test_a_branch_that_is_not_there_is_told_with_those_that_are(origin, access):
    repository = origin("a", {"x": ""})
    repository.git("branch", "dev")
    with pytest.raises(GitError) as caught:
        resolve_ref(repository.url, "develop", access)
    assert str(caught.value) == f"{repository.url} has no branch or tag 'develop'; its branches are: dev, main"


def test_of_many_branches_some_are_told(origin, access):
    repository = origin("a", {"x": ""})
    for number in range(12):
        repository.git("branch", f"b{number:02d}")
    with pytest.raises(GitError, match=r"b00, b01, .*, b11 …$"):
        resolve_ref(repository.url, "develop", access)


def test_a_repository_without_commits_says_so(tmp_path, access):
    subprocess.run(["git", "init", "--quiet", "--bare", tmp_path / "empty"], check=True)
    url = (tmp_path / "empty").as_uri()
    with pytest.raises(GitError, match="has no default branch"):
        resolve_ref(url, None, access)
    with pytest.raises(GitError, match="its branches are: none"):
        resolve_ref(url, "main", access)


def test_a_repository_that_is_not_there_is_named(tmp_path, access):
    url = (tmp_path / "nowhere").as_uri()
    with pytest.raises(GitError, match=f"cannot read {url}: .*does not appear to be a git repository"):
        resolve_ref(url, "main", access)


def test_a_server_that_does_not_answer_is_named():
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{closed.getsockname()[1]}/a"
        with pytest.raises(GitError, match=f"cannot read {url}: "):
            resolve_ref(url, "main", GitAccess(protocols=("http",)))


# --- mirror and checkout ---


def test_a_checkout_is_by_commit_without_history(origin, access, cache, tmp_path):
    repository = origin("a", {"x": "1", "folder/y": "y"})
    old = repository.git("rev-parse", "HEAD")
    middle = repository.commit({"x": "2"})
    repository.commit({"x": "3"})
    mirror = Mirror.of(cache, repository.url, access)
    mirror.checkout(middle, tmp_path / "a")
    assert (tmp_path / "a/x").read_text() == "2" and files_of(tmp_path / "a") == ["folder/y", "x"]
    assert access.git("log", "--format=%H", cwd=tmp_path / "a").split() == [middle]
    assert access.git("remote", "get-url", "origin", cwd=tmp_path / "a").strip() == repository.url
    with pytest.raises(Exception, match="failed"):
        access.git(f"--git-dir={mirror.path}", "cat-file", "-e", old)


def test_what_the_mirror_has_is_checked_out_without_the_server(origin, access, cache, tmp_path):
    repository = origin("a", {"x": "1"})
    first = repository.git("rev-parse", "HEAD")
    second = repository.commit({"x": "2"})
    mirror = Mirror.of(cache, repository.url, access)
    mirror.checkout(first, tmp_path / "first")
    mirror.fetch(second)
    repository.vanish()
    mirror.checkout(first, tmp_path / "again")
    mirror.checkout(second, tmp_path / "second")
    assert [(tmp_path / name / "x").read_text() for name in ("again", "second")] == ["1", "2"]
    with pytest.raises(GitError, match=f"cannot fetch {NO_COMMIT} of {repository.url}: "):
        mirror.fetch(NO_COMMIT)


def test_a_commit_that_a_forced_push_removed_can_not_be_fetched_and_that_is_said(origin, access, cache):
    repository = origin("a", {"x": "1"})
    removed = repository.commit({"x": "2"})
    repository.git("reset", "--quiet", "--hard", "HEAD~1")
    repository.git("reflog", "expire", "--expire=now", "--all")
    repository.git("gc", "--quiet", "--prune=now")
    with pytest.raises(GitError) as caught:
        Mirror.of(cache, repository.url, access).fetch(removed)
    assert str(caught.value) == f"{repository.url} has no commit {removed}; it may have been removed by a forced push"


def test_a_commit_that_no_branch_starts_with_is_fetched_also_from_a_server_that_gives_only_branches(origin, access, cache, tmp_path):
    repository = origin("a", {"x": "1"})
    first = repository.git("rev-parse", "HEAD")
    repository.commit({"x": "2"})

    class OldProtocol(GitAccess):
        def environment(self, *, local=False):
            found = super().environment(local=local)
            count = int(found["GIT_CONFIG_COUNT"])
            return found | {
                "GIT_CONFIG_COUNT": str(count + 1),
                f"GIT_CONFIG_KEY_{count}": "protocol.version",
                f"GIT_CONFIG_VALUE_{count}": "0",
            }

    mirror = Mirror.of(cache, repository.url, OldProtocol(protocols=("file",)))
    mirror.checkout(first, tmp_path / "a")
    assert (tmp_path / "a/x").read_text() == "1"
    assert (mirror.path / "refs/remotes/main").is_file()


@pytest.mark.parametrize("kind", ["HEAD^{tree}", "HEAD:x"], ids=["tree", "file"])
def test_an_object_that_is_no_commit_is_refused(origin, access, cache, kind):
    repository = origin("a", {"x": "1"})
    thing = repository.git("rev-parse", kind)
    with pytest.raises(GitError, match=thing):
        Mirror.of(cache, repository.url, access).fetch(thing)
    assert not Mirror.of(cache, repository.url, access).has(thing)


def test_a_checkout_replaces_what_a_killed_one_left(origin, access, cache, tmp_path):
    repository = origin("a", {"x": "1"})
    partial = tmp_path / ".a.partial"
    (partial / ".git").mkdir(parents=True)
    (partial / "half").write_text("")
    Mirror.of(cache, repository.url, access).checkout(repository.git("rev-parse", "HEAD"), tmp_path / "a")
    assert files_of(tmp_path / "a") == ["x"] and not partial.exists()


@pytest.mark.parametrize("left", ["shallow.lock", "config.lock", "refs/wanted/x.lock"])
def test_lock_files_of_a_killed_run_are_healed(origin, access, cache, tmp_path, left):
    repository = origin("a", {"x": "1"})
    mirror = Mirror.of(cache, repository.url, access)
    mirror.fetch(repository.git("rev-parse", "HEAD"))
    lock = mirror.path / left
    lock.parent.mkdir(parents=True, exist_ok=True)
    lock.write_text("")
    second = repository.commit({"x": "2"})
    mirror.checkout(second, tmp_path / "a")
    assert (tmp_path / "a/x").read_text() == "2" and not lock.exists()


def test_the_lock_of_the_very_ref_that_was_being_written_is_healed(origin, access, cache):
    repository = origin("a", {"x": "1"})
    commit = repository.git("rev-parse", "HEAD")
    mirror = Mirror.of(cache, repository.url, access)
    mirror.fetch(commit)
    ref = mirror.path / f"refs/wanted/{commit}"
    ref.rename(ref.with_name(f"{commit}.lock"))
    assert not mirror.has(commit)
    mirror.fetch(commit)
    assert mirror.has(commit)


@pytest.mark.parametrize("missing", [["objects"], ["config"], ["objects", "refs", "config"], ["HEAD"]], ids=" ".join)
def test_a_mirror_whose_making_was_killed_is_completed(origin, access, cache, missing):
    repository = origin("a", {"x": "1"})
    mirror = Mirror.of(cache, repository.url, access)
    subprocess.run(["git", "init", "--quiet", "--bare", mirror.path], check=True)
    for name in missing:
        subprocess.run(["rm", "-r", mirror.path / name], check=True)
    commit = repository.git("rev-parse", "HEAD")
    mirror.fetch(commit)
    assert mirror.has(commit)


def test_several_checkouts_of_one_repository_at_once_do_not_disturb_each_other(origin, access, cache, tmp_path):
    repository = origin("a", {"x": "0"})
    commits = [repository.commit({"x": str(number)}) for number in range(6)]
    with ThreadPoolExecutor(6) as pool:
        list(pool.map(lambda commit: Mirror.of(cache, repository.url, access).checkout(commit, tmp_path / "out" / commit), commits))
    assert [(tmp_path / "out" / commit / "x").read_text() for commit in commits] == list("012345")


def test_repositories_of_one_name_have_mirrors_of_their_own(cache, access):
    paths = {Mirror.of(cache, url, access).path for url in ("https://a.example/x/y", "https://a.example/z/y", "git@a.example:x/y")}
    assert len(paths) == 3 and all(path.parent == cache / "git" for path in paths)


@pytest.mark.parametrize(
    "leads_to, allowed",
    [
        pytest.param("x", True, id="file beside it"),
        pytest.param("../x", True, id="file above it"),
        pytest.param("absent", True, id="nothing, inside"),
        pytest.param("../../outside", False, id="out of the tree"),
        pytest.param("/etc/passwd", False, id="absolute"),
        pytest.param("link", False, id="itself"),
        pytest.param("../folder/../../x", False, id="out by a detour"),
    ],
)
def test_links_that_lead_out_of_the_repository_are_refused(origin, access, cache, tmp_path, leads_to, allowed):
    repository = origin("a", {"x": "", "folder/x": ""})
    (repository.path / "folder/link").symlink_to(leads_to)
    commit = repository.commit({})
    target = tmp_path / "out/a"
    mirror = Mirror.of(cache, repository.url, access)
    if allowed:
        mirror.checkout(commit, target)
        assert (target / "folder/link").is_symlink()
    else:
        with pytest.raises(GitError, match=f"{repository.url} holds the link folder/link, which leads out"):
            mirror.checkout(commit, target)
        assert not target.exists()


def test_a_link_to_a_folder_outside_is_refused(origin, access, cache, tmp_path):
    repository = origin("a", {"x": ""})
    (repository.path / "link").symlink_to(tmp_path, target_is_directory=True)
    with pytest.raises(GitError, match="holds the link link"):
        Mirror.of(cache, repository.url, access).checkout(repository.commit({}), tmp_path / "a")


@pytest.fixture(name="nested")
def fixture_nested(origin):
    """A pack with a submodule that has one itself."""
    inner, middle, outer = origin("inner", {"deep": "1"}), origin("middle", {"m": "1"}), origin("outer", {"o": "1"})
    middle.git("submodule", "--quiet", "add", inner.url, "inner")
    middle.commit({})
    outer.git("submodule", "--quiet", "add", middle.url, "parts")
    return outer, outer.commit({})


def test_submodules_come_with_a_recursive_checkout(nested, access, cache, tmp_path):
    repository, commit = nested
    Mirror.of(cache, repository.url, access).checkout(commit, tmp_path / "a", recursive=True)
    assert files_of(tmp_path / "a") == [".gitmodules", "o", "parts/.gitmodules", "parts/inner/deep", "parts/m"]


def test_submodules_stay_away_otherwise(nested, access, cache, tmp_path):
    repository, commit = nested
    Mirror.of(cache, repository.url, access).checkout(commit, tmp_path / "a")
    assert files_of(tmp_path / "a") == [".gitmodules", "o"]


def test_a_relative_submodule_is_found_beside_the_repository(origin, access, cache, tmp_path):
    part, repository = origin("part", {"p": "1"}), origin("a", {"x": ""})
    repository.git("submodule", "--quiet", "add", part.url, "part")
    repository.git("config", "--file", ".gitmodules", "submodule.part.url", "../part")
    Mirror.of(cache, repository.url, access).checkout(repository.commit({}), tmp_path / "a", recursive=True)
    assert (tmp_path / "a/part/p").read_text() == "1"


def test_a_submodule_that_cannot_be_had_leaves_nothing_under_the_final_name(nested, access, cache, tmp_path, origin):
    repository, commit = nested
    (tmp_path / "origins/inner").rename(tmp_path / "origins/gone")
    with pytest.raises(GitError, match=f"cannot check out {commit} of {repository.url}: "):
        Mirror.of(cache, repository.url, access).checkout(commit, tmp_path / "out/a", recursive=True)
    assert not (tmp_path / "out/a").exists()


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become somebody else")
def test_git_runs_as_the_account(origin):
    nobody = Account.named("nobody")
    repository = origin("a", {"x": "1"})
    commit = repository.git("rev-parse", "HEAD")
    with tempfile.TemporaryDirectory() as folder:  # pytest keeps its own folders from other accounts
        place = Path(folder)
        repository.path.rename(place / "origin")
        subprocess.run(["chown", "-R", str(nobody.uid), place], check=True)
        Mirror.of(place / "cache", (place / "origin").as_uri(), GitAccess(nobody, ("file",))).checkout(commit, place / "a")
        assert (place / "a/x").stat().st_uid == nobody.uid


# --- history ---


def test_a_branch_that_went_on_was_not_rewritten(origin, access, tmp_path):
    repository = origin("a", {"x": "1"})
    old = repository.git("rev-parse", "HEAD")
    for number in range(3):
        new = repository.commit({"x": f"more {number}"})
    for ref in ("main", None):
        assert was_rewritten(repository.url, old, new, ref, tmp_path / "scratch", access) is False
    assert not (tmp_path / "scratch").exists()


@pytest.mark.parametrize("forget", [False, True], ids=["old commit still there", "old commit gone"])
def test_a_branch_without_the_old_commit_was_rewritten(origin, access, tmp_path, forget):
    repository = origin("a", {"x": "1"})
    old = repository.commit({"x": "2"})
    repository.git("reset", "--quiet", "--hard", "HEAD~1")
    new = repository.commit({"x": "other 2"})
    if forget:
        repository.git("reflog", "expire", "--expire=now", "--all")
        repository.git("gc", "--quiet", "--prune=now")
    assert was_rewritten(repository.url, old, new, "main", tmp_path / "scratch", access) is True


def test_a_history_that_cannot_be_read_is_an_error_and_no_answer(tmp_path, access):
    with pytest.raises(GitError, match="cannot read the history of file:///nonexistent: "):
        was_rewritten("file:///nonexistent", NO_COMMIT, NO_COMMIT, "main", tmp_path / "scratch", access)
    assert not (tmp_path / "scratch").exists()


# --- where a server may send us ---


@pytest.mark.parametrize(
    "url, hosts, allowed",
    [
        pytest.param("https://github.com/a/b", None, True, id="any"),
        pytest.param("https://GitHub.com/a/b", ["github.com"], True, id="listed"),
        pytest.param("git@github.com:a/b", ["github.com"], True, id="scp form"),
        pytest.param("ssh://git@github.com/a/b", ["github.com"], True, id="ssh"),
        pytest.param("https://github.com:8443/a/b", ["github.com"], False, id="another port"),
        pytest.param("https://github.com:8443/a/b", ["github.com:8443"], True, id="a listed port"),
        pytest.param("https://github.com.evil.example/a", ["github.com"], False, id="a longer name"),
        pytest.param("https://evil.example/github.com", ["github.com"], False, id="in the path"),
        pytest.param("git@evil.example:a/b", ["github.com"], False, id="another by ssh"),
        pytest.param("https://github.com/a", [], False, id="none"),
        pytest.param("file:///srv/a", ["github.com"], True, id="this machine"),
    ],
)
def test_only_listed_hosts_are_asked(url, hosts, allowed):
    if allowed:
        check_host(url, hosts)
    else:
        with pytest.raises(GitError, match="is not among the hosts that packs may come from"):
            check_host(url, hosts)


@pytest.fixture(name="web")
def fixture_web(tmp_path, origin):
    """A web server with the repository `a`; what it should do else is in `web.moves` (path to address) and `web.private`."""

    class Handler(server.Handler):
        moves: dict[str, str] = {}
        private: set[str] = set()

        def do_GET(self):
            name = self.path.partition("/info/refs")[0]
            if name in self.moves:
                self.send_response(301)
                self.send_header("Location", self.moves[name] + self.path.removeprefix(name))
                self.send_header("Content-Length", "0")
                self.end_headers()
            elif name in self.private:
                self.send_response(401)
                self.send_header("WWW-Authenticate", 'Basic realm="x"')
                self.send_header("Content-Length", "0")
                self.end_headers()
            else:
                super().do_GET()

        def log_message(self, *_arguments):
            pass

    (tmp_path / "git").mkdir()
    repository = origin("a", {"x": "1"})
    subprocess.run(["git", "clone", "--quiet", "--bare", str(repository.path), str(tmp_path / "git/a.git")], check=True)
    handler = type("Web", (Handler,), {"moves": {}, "private": set()})
    running = http.server.ThreadingHTTPServer(("127.0.0.1", 0), lambda *a, **k: handler(*a, outside=tmp_path, www=tmp_path, **k))
    handler.url, handler.commit = f"http://127.0.0.1:{running.server_port}", repository.git("rev-parse", "HEAD")
    threading.Thread(target=running.serve_forever, args=(0.05,), daemon=True).start()
    yield handler
    running.shutdown()


@pytest.fixture(name="to_web")
def fixture_to_web(web):
    return GitAccess(protocols=("http",), hosts=[web.url.removeprefix("http://")], timeout=30)


def test_a_repository_that_moved_is_followed_where_that_is_allowed_and_remembered(web, to_web, cache, tmp_path):
    web.moves["/git/old.git"] = f"{web.url}/git/a.git"
    old = f"{web.url}/git/old.git"
    assert resolve_ref(old, None, to_web) == web.commit
    assert to_web.moved == {old: f"{web.url}/git/a.git"}
    mirror = Mirror.of(cache, old, to_web)
    assert mirror.fetch_head("main") == web.commit
    mirror.checkout(web.commit, tmp_path / "out")
    assert files_of(tmp_path / "out") == ["x"]


@pytest.mark.parametrize(
    "there, why",
    [
        pytest.param("http://127.0.0.2:1/git/a.git", "127.0.0.2:1 is not among the hosts", id="another host"),
        pytest.param("file:///srv/git/a.git", "no repository address that is allowed here", id="this machine"),
        pytest.param("http://me:s3cret@127.0.0.1/git/a.git", "holds a password", id="a password"),
    ],
)
def test_a_repository_that_sends_us_elsewhere_is_refused(web, to_web, there, why):
    web.moves["/git/old.git"] = there
    with pytest.raises(GitError) as caught:
        resolve_ref(f"{web.url}/git/old.git", None, to_web)
    assert f"{web.url}/git/old.git sends git elsewhere, which is refused: " in str(caught.value) and why in str(caught.value)
    assert "s3cret" not in str(caught.value)


def test_a_repository_that_sends_us_in_a_circle_ends(web, to_web):
    web.moves["/git/old.git"] = f"{web.url}/git/old.git"
    with pytest.raises(GitError):
        resolve_ref(f"{web.url}/git/old.git", None, to_web)


def test_a_repository_that_asks_for_a_password_or_is_gone_is_told_in_words(web, to_web, cache):
    web.private.add("/git/a.git")
    with pytest.raises(GitError, match="it asks for a password, so it is private, or gone"):
        Mirror.of(cache, f"{web.url}/git/a.git", to_web).fetch_head(None)
    with pytest.raises(GitError, match="there is no such repository"):
        resolve_ref(f"{web.url}/git/absent.git", None, to_web)


def test_a_submodule_of_a_host_that_is_not_allowed_is_refused_by_its_path(web, to_web, cache, tmp_path):
    bare = tmp_path / "git/a.git"
    git = ["git", "-c", "user.name=x", "-c", "user.email=x@x", f"--git-dir={bare}"]
    blob = subprocess.run(
        [*git, "hash-object", "-w", "--stdin"],
        input='[submodule "s"]\n\tpath = deep/s\n\turl = http://127.0.0.2:1/s.git\n',
        text=True,
        capture_output=True,
        check=True,
    ).stdout.strip()
    tree = f"100644 blob {blob}\t.gitmodules\n160000 commit {'a' * 40}\ts\n"
    written = subprocess.run([*git, "mktree", "--missing"], input=tree, text=True, capture_output=True, check=True).stdout.strip()
    commit = subprocess.run([*git, "commit-tree", written, "-m", "m"], text=True, capture_output=True, check=True).stdout.strip()
    subprocess.run([*git, "update-ref", "refs/heads/main", commit], check=True)
    with pytest.raises(GitError, match=r"the submodule deep/s: 127\.0\.0\.2:1 is not among the hosts"):
        Mirror.of(cache, f"{web.url}/git/a.git", to_web).checkout(commit, tmp_path / "out", recursive=True)
    assert not (tmp_path / "out").exists() and list(tmp_path.glob(".out*")) == []


# --- what a mirror survives ---


def test_a_damaged_mirror_is_made_anew(origin, access, cache, tmp_path):
    repository = origin("a", {"x": "1" * 1000})
    commit = repository.git("rev-parse", "HEAD")
    mirror = Mirror.of(cache, repository.url, access)
    mirror.fetch(commit)
    for path in (mirror.path / "objects").rglob("*"):
        if path.is_file():
            path.chmod(0o644)
            path.write_bytes(b"")
    mirror.checkout(commit, tmp_path / "out")
    assert files_of(tmp_path / "out") == ["x"]


def test_what_a_killed_fetch_left_is_swept_away(origin, access, cache):
    repository = origin("a", {"x": "1"})
    mirror = Mirror.of(cache, repository.url, access)
    (mirror.path / "objects/pack").mkdir(parents=True)
    (mirror.path / "refs").mkdir()
    for name in ("objects/pack/tmp_pack_x", "shallow.lock", "refs/x.lock"):
        (mirror.path / name).touch()
    mirror.fetch(repository.git("rev-parse", "HEAD"))
    assert [path for path in mirror.path.rglob("*") if path.name.startswith("tmp_") or path.suffix == ".lock"] == []


def test_a_checkout_is_a_repository_of_its_own_that_the_next_fetch_does_not_touch(origin, access, cache, tmp_path):
    repository = origin("a", {"x": "1"})
    first = repository.git("rev-parse", "HEAD")
    mirror = Mirror.of(cache, repository.url, access)
    mirror.checkout(first, tmp_path / "one")
    second = repository.commit({"x": "2"})
    mirror.checkout(second, tmp_path / "two")

    def git(place, *arguments):
        command = ["git", "-c", "safe.directory=*", "-C", str(tmp_path / place), *arguments]
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()

    assert [git(place, "rev-parse", "HEAD") for place in ("one", "two")] == [first, second]
    assert [git(place, "status", "--porcelain") for place in ("one", "two")] == ["", ""]
    assert git("one", "remote", "get-url", "origin") == repository.url
