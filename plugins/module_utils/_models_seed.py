# GNU General Public License v3.0+ (see https://www.gnu.org/licenses/gpl-3.0.txt)

"""One machine fetches models from the hubs, its peers copy from it: whose key opens what, and what is asked of it.

What a machine says of itself (its public key, its host keys) goes into files that another one obeys, and so is read strictly.
Private to this collection: it may change in any release.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterable, Mapping
from typing import Any
from urllib.parse import quote

_KEY = r"(?:ssh-ed25519|ssh-rsa|ecdsa-sha2-nistp(?:256|384|521)) [A-Za-z0-9+/]{60,2000}={0,2}"
_PUBLIC_KEY = re.compile(rf"(?P<key>{_KEY})(?: .*)?")
_HOST_KEY_FACT = re.compile(r"ssh_host_key_[a-z0-9]+_public")
_ADDRESS = re.compile(r"[A-Za-z0-9][A-Za-z0-9.-]*|[0-9A-Fa-f:.]*:[0-9A-Fa-f:.]*")


class SeedError(Exception):
    """Something that a machine, or the inventory, says cannot be written where it would be obeyed."""


def seed_authorized_keys(before: str, keys: Mapping[str, str], command: Iterable[str]) -> str:
    """The authorized_keys of the seed: one line for each peer, which may run the command and nothing else.

    `keys` has the public key of each peer, empty for one that is not in this run: its line stays as it was, as does that of one which
    sends no key at all. Whoever is not in it loses theirs. Raises SeedError.
    """
    forced = shlex.join(command)
    if not forced.isprintable() or "\\" in forced:
        raise SeedError(f"the command {forced!r} cannot be written into authorized_keys")
    forced = forced.replace('"', r"\"")
    known = {}
    for line in before.splitlines():
        match = _PUBLIC_KEY.search(line)
        if match:
            known[line[match.end("key") :].strip()] = match["key"]
    lines = []
    for peer, text in sorted(keys.items()):
        if not peer.isprintable() or peer != peer.strip():
            raise SeedError(f"the machine {peer!r} has a name that cannot be written into authorized_keys")
        match = _PUBLIC_KEY.fullmatch(text.strip())
        key = match["key"] if match else known.get(peer)
        if key:
            lines.append(f'restrict,command="{forced}" {key} {peer}\n')
    return "".join(lines)


def seed_known_hosts(facts: Mapping[str, Any], address: str, port: int) -> str:
    """The known_hosts of a peer: the host keys that were read on the seed itself, for the address that it is reached by.

    Raises SeedError.
    """
    if not _ADDRESS.fullmatch(address):
        raise SeedError(f"the seed's address {address!r} is neither a host name nor an IP address")
    host = address.lower() if int(port) == 22 else f"[{address.lower()}]:{int(port)}"
    lines = []
    for name, key in sorted(facts.items()):
        words = f"{facts.get(f'{name}_keytype')} {key}"
        if _HOST_KEY_FACT.fullmatch(name) and re.fullmatch(_KEY, words):
            lines.append(f"{host} {words}\n")
    if not lines:
        raise SeedError("no host key of sshd was found on the seed: is openssh-server installed there?")
    return "".join(lines)


def seed_models(wanted: Iterable[Mapping[str, Any]], rows: Iterable[Mapping[str, Any]], origin: str) -> list[dict[str, Any]]:
    """The wanted models with the seed in front of their addresses.

    `rows` is what the seed's own run returned; its digests are those that the copies must have. One whose digest nobody knows comes from
    its own addresses, like one that the seed could not get. Without rows the seed is asked for all that have a digest.
    """
    results = {_label(row): row for row in rows}
    models = []
    for entry in wanted:
        row = results.get(_label(entry), {})
        has_it = row.get("state") in ("present", "downloaded") if results else True
        sha256 = entry.get("sha256") or row.get("sha256")
        if not has_it or not sha256:
            models.append(dict(entry))
            continue
        listed = [entry.get("url"), *(entry.get("urls") or [])]
        urls = [f"{origin}/{quote(_label(entry))}", *(url for url in listed if url)]
        models.append({**entry, "url": urls[0], "urls": urls[1:], "sha256": sha256})
    return models


def _label(row: Mapping[str, Any]) -> str:
    return f"{row.get('directory')}/{row.get('name')}"
