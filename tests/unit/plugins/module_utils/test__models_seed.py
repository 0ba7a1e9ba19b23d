# GNU General Public License v3.0+ (see https://www.gnu.org/licenses/gpl-3.0.txt)

from __future__ import annotations

import shlex

import pytest
from ansible_collections.emprops.comfyui.plugins.module_utils._model_sources._ssh import is_allowed, parse_address
from ansible_collections.emprops.comfyui.plugins.module_utils._models_seed import (
    SeedError,
    seed_authorized_keys,
    seed_known_hosts,
    seed_models,
)

KEY = f"ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAI{'a' * 43}"
OTHER_KEY = KEY.replace("aaa", "bbb")
COMMAND = ["/usr/bin/python3", "/state/serve_models.py", "/models"]
LINE = f'restrict,command="/usr/bin/python3 /state/serve_models.py /models" {KEY}'
ORIGIN = "ssh+store://comfyui-seed@10.0.0.1:22"
DIGEST = "ab" * 32
URL = "https://hub.example/a"


def test_each_peer_gets_a_line_that_allows_one_command():
    assert seed_authorized_keys("", {"b": OTHER_KEY, "a": f"{KEY} models\n"}, COMMAND) == (f"{LINE} a\n{LINE.replace(KEY, OTHER_KEY)} b\n")


@pytest.mark.parametrize(
    ("keys", "after"),
    [
        pytest.param({"a": ""}, f"{LINE} a\n", id="one that is not in this run keeps its key"),
        pytest.param({"a": OTHER_KEY}, f"{LINE.replace(KEY, OTHER_KEY)} a\n", id="a new key takes the place of the old one"),
        pytest.param({"b": ""}, "", id="one that left the inventory is let in no more"),
        pytest.param({"a": f"{KEY}\n{OTHER_KEY}"}, f"{LINE} a\n", id="two lines are no key"),
        pytest.param({"a": f'command="sh" {OTHER_KEY}'}, f"{LINE} a\n", id="options are no part of a key"),
        pytest.param({"a": "Load key: bad permissions"}, f"{LINE} a\n", id="what is no key changes nothing"),
    ],
)
def test_the_file_follows_the_inventory(keys, after):
    assert seed_authorized_keys(f"{LINE} a\n", keys, COMMAND) == after


def test_a_name_that_is_part_of_another_does_not_stand_for_it():
    assert seed_authorized_keys(f"{LINE} gpu-10\n", {"gpu-1": ""}, COMMAND) == ""


def test_a_store_with_odd_characters_stays_one_word():
    line = seed_authorized_keys("", {"a": KEY}, ["python3", 'a "b" $c'])
    forced = line.partition('command="')[2].rpartition('" ssh-')[0].replace(r"\"", '"')
    assert shlex.split(forced) == ["python3", 'a "b" $c']


@pytest.mark.parametrize(
    ("keys", "command"),
    [
        pytest.param({"a": KEY}, ["python3", "/models\nssh-ed25519 AAAA"], id="a command of two lines"),
        pytest.param({"a": KEY}, ["python3", "/mod\\els"], id="a backslash, which sshd would read"),
        pytest.param({"a\nb": KEY}, COMMAND, id="a machine of two lines"),
    ],
)
def test_what_would_be_read_otherwise_than_it_is_written_is_refused(keys, command):
    with pytest.raises(SeedError, match="cannot be written into authorized_keys"):
        seed_authorized_keys("", keys, command)


@pytest.mark.parametrize(
    ("address", "port", "host"),
    [
        pytest.param("10.0.0.1", 22, "10.0.0.1", id="the usual port"),
        pytest.param("Seed.Example", "2222", "[seed.example]:2222", id="another one, as text"),
        pytest.param("fd00::1", 22, "fd00::1", id="IPv6"),
    ],
)
def test_host_keys_are_known_for_the_address_that_the_seed_is_reached_by(address, port, host):
    kind, key = KEY.split()
    facts = {"ssh_host_key_ed25519_public": key, "ssh_host_key_ed25519_public_keytype": kind, "hostname": "a"}
    assert seed_known_hosts(facts, address, port) == f"{host} {kind} {key}\n"


@pytest.mark.parametrize(
    ("key", "address", "words"),
    [
        pytest.param("", "10.0.0.1", "no host key of sshd was found", id="no key"),
        pytest.param("AAAA\n* ssh-ed25519 AAAA", "10.0.0.1", "no host key of sshd was found", id="a key of two lines"),
        pytest.param(KEY.split()[1], "10.0.0.1 *", "neither a host name nor an IP address", id="an address for all hosts"),
        pytest.param(KEY.split()[1], "-oProxyCommand=id", "neither a host name nor an IP address", id="an address that is an option"),
    ],
)
def test_host_keys_that_would_say_something_else_are_refused(key, address, words):
    facts = {"ssh_host_key_ed25519_public": key, "ssh_host_key_ed25519_public_keytype": "ssh-ed25519"}
    with pytest.raises(SeedError, match=words):
        seed_known_hosts(facts, address, 22)


@pytest.mark.parametrize(
    ("entry", "row", "urls", "sha256"),
    [
        pytest.param({"url": URL}, {"state": "present", "sha256": DIGEST}, [f"{ORIGIN}/loras/a", URL], DIGEST, id="the seed has it"),
        pytest.param({}, {"state": "downloaded", "sha256": DIGEST}, [f"{ORIGIN}/loras/a"], DIGEST, id="only the seed has it"),
        pytest.param({"urls": [URL]}, {"state": "failed", "sha256": None}, [URL], None, id="the seed could not get it"),
        pytest.param({"url": URL, "sha256": DIGEST}, {}, [f"{ORIGIN}/loras/a", URL], DIGEST, id="nobody knows what the seed has"),
        pytest.param({"url": URL}, {}, [URL], None, id="nor what it would have to be"),
    ],
)
def test_a_model_comes_from_the_seed_if_its_digest_is_known(entry, row, urls, sha256):
    named = {"directory": "loras", "name": "a"}
    [model] = seed_models([{**named, **entry}], [{**named, **row}] if row else [], ORIGIN)
    assert [url for url in (model.get("url"), *(model.get("urls") or ())) if url] == urls
    assert model.get("sha256") == sha256


def test_one_that_is_not_in_the_seeds_list_is_not_asked_of_it():
    rows = [{"directory": "loras", "name": "b", "state": "present", "sha256": DIGEST}]
    entry = {"directory": "loras", "name": "a", "url": URL, "sha256": DIGEST}
    assert seed_models([entry], rows, ORIGIN) == [entry]


def test_the_address_is_one_that_the_source_takes():
    rows = [{"directory": "loras/x", "name": "a b#%.safetensors", "state": "present", "sha256": DIGEST}]
    [model] = seed_models([{"directory": "loras/x", "name": "a b#%.safetensors"}], rows, ORIGIN)
    assert parse_address(model["url"]).path == "/loras/x/a b#%.safetensors"
    assert is_allowed(model["url"], [ORIGIN])
