#!/usr/bin/env python3
# GNU General Public License v3.0+ (see https://www.gnu.org/licenses/gpl-3.0.txt)

"""A link with a delay and a cap per connection, between this network namespace and one of its own, in which it runs a command.

Two tun devices with a relay between them, since many kernels have neither netem nor fq. Packets pass as the kernel cuts them, up to
64 KiB, so the relay costs little; TCP at both ends is the kernel's. A connection that gets ahead of its cap queues here. Nothing is
lost: how much of it there can be is bounded by what a sender may have on the way (WINDOW).
"""

from __future__ import annotations

import argparse
import ctypes
import fcntl
import gc
import heapq
import os
import select
import struct
import subprocess
import time
from pathlib import Path

NEAR, FAR = "10.77.0.1", "10.77.0.2"
WINDOW = 4 * 1024**2
_CLONE_NEWNET = 0x40000000
_TUNSETIFF, _TUNSETOFFLOAD = 0x400454CA, 0x400454D0
_TUN_NO_PI_VNET_HDR = 0x0001 | 0x1000 | 0x4000
_CHECKSUMS_AND_SEGMENTS = 0x01 | 0x02 | 0x04
_VNET_HDR = 10
_PORTS = slice(_VNET_HDR + 20, _VNET_HDR + 24)  # of a TCP packet without IP options
_PACKET = 65536 + _VNET_HDR


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--delay", type=float, required=True, help="seconds each way")
    parser.add_argument("--rate", type=float, required=True, help="bytes a second and connection, of what comes from the far side")
    parser.add_argument("command", nargs="+", help="what runs at the far side")
    options = parser.parse_args()
    near = open_tun("near", NEAR, FAR)
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.unshare(_CLONE_NEWNET):
        raise OSError(ctypes.get_errno(), "a network namespace takes root")
    far = open_tun("far", FAR, NEAR)
    Path("/proc/sys/net/ipv4/tcp_wmem").write_text(f"4096 65536 {WINDOW}")
    gc.disable()
    if os.fork() == 0:
        relay(near, far, options.delay, 0.0)
    if os.fork() == 0:
        relay(far, near, options.delay, options.rate)
    os.execvp(options.command[0], options.command)  # noqa: S606 - no shell is the point


def open_tun(name: str, address: str, peer: str) -> int:
    handle = os.open("/dev/net/tun", os.O_RDWR | os.O_NONBLOCK)
    fcntl.ioctl(handle, _TUNSETIFF, struct.pack("16sH22x", name.encode(), _TUN_NO_PI_VNET_HDR))
    fcntl.ioctl(handle, _TUNSETOFFLOAD, _CHECKSUMS_AND_SEGMENTS)
    subprocess.run(["ip", "address", "add", address, "peer", peer, "dev", name], check=True)
    subprocess.run(["ip", "link", "set", name, "txqueuelen", "10000", "up"], check=True)
    return handle


def relay(source: int, target: int, delay: float, rate: float) -> None:
    """For ever, before everything else: a network is not slower because a computer is busy."""
    os.nice(-10)
    waiting: list[tuple[float, int, bytes]] = []
    free: dict[bytes, float] = {}  # when each connection is done with what it was given
    number = 0
    while True:
        now = time.monotonic()
        while waiting and waiting[0][0] <= now:
            os.write(target, heapq.heappop(waiting)[2])
        timeout = max(0.0, waiting[0][0] - time.monotonic()) if waiting else None
        if not select.select([source], [], [], timeout)[0]:
            continue
        now = time.monotonic()
        for _turn in range(32):
            try:
                packet = os.read(source, _PACKET)
            except BlockingIOError:
                break
            due = now
            if rate:
                due = max(now, free.get(packet[_PORTS], 0.0)) + len(packet) / rate
                free[packet[_PORTS]] = due
            number += 1
            heapq.heappush(waiting, (due + delay, number, packet))


if __name__ == "__main__":
    main()
