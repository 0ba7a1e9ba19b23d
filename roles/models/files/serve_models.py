# GNU General Public License v3.0+ (see https://www.gnu.org/licenses/gpl-3.0.txt)

"""Hands out one model store, read only, as the forced command of a key in authorized_keys:

    restrict,command="/usr/bin/python3 /path/to/serve_models.py /path/to/store" ssh-ed25519 AAAA...

It knows `emprops-models look PATH` and `emprops-models read OFFSET PATH`, as the collection's _ssh.py sends them. What has a dot in
front is the store's own or still on its way, and refused like a link that leads out of the store.
"""

from __future__ import annotations

import os
import shlex
import stat
import sys
from pathlib import Path


def main() -> None:
    try:
        name, verb, *numbers, path = shlex.split(os.environ.get("SSH_ORIGINAL_COMMAND", ""))
    except ValueError:
        sys.exit("this key only reads models")
    known = [name, verb, len(numbers)] in (["emprops-models", "look", 0], ["emprops-models", "read", 1])
    if not known or not all(number.isascii() and number.isdigit() and len(number) < 19 for number in numbers):
        sys.exit("this key only reads models")
    if "\0" in path or any(not part or part.startswith(".") for part in path.split("/")):
        sys.exit("the path leads straight down from the store, to no hidden file")
    store = Path(sys.argv[1]).resolve()
    try:
        handle = os.open(store / path, os.O_RDONLY | os.O_NONBLOCK | os.O_NOCTTY)
    except OSError as error:
        sys.exit(f"{path}: {error.strerror}")
    # Asked of the file that is open, so that a link which changes meanwhile gains nothing.
    opened = Path(f"/proc/self/fd/{handle}").resolve()
    if not opened.is_relative_to(store):
        sys.exit(f"{path}: a link leads out of the store")
    if any(part.startswith(".") for part in opened.relative_to(store).parts):
        sys.exit(f"{path}: a link leads to a hidden file")
    size = describe(handle)
    if numbers:
        offset = int(numbers[0])
        while offset < size:
            sent = os.sendfile(1, handle, offset, min(size - offset, 1 << 30))
            if not sent:
                sys.exit(f"{path}: cut short while it was read")
            offset += sent
        describe(handle)


def describe(handle: int) -> int:
    """Say what the file is now; return its size."""
    found = os.fstat(handle)
    if not stat.S_ISREG(found.st_mode):
        sys.exit("that is not a file")
    os.write(1, f"{found.st_mode:x} {found.st_size} {int(found.st_mtime)} {found.st_ino}\n".encode())
    return found.st_size


if __name__ == "__main__":
    main()
