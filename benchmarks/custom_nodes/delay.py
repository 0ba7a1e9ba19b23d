#!/usr/bin/env python3
# GNU General Public License v3.0+ (see https://www.gnu.org/licenses/gpl-3.0.txt)

"""A TCP relay on loopback that is as far away as a server on another continent: every byte takes its time, and so does a connection.

    python delay.py --to 127.0.0.1:PORT --seconds 0.04

prints the port that it listens on. What a round trip takes is added to each connection once before its first byte, as a handshake
would, and half of it to every byte each way; the rate is not limited.
"""

from __future__ import annotations

import argparse
import asyncio
from contextlib import suppress


async def carry(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, seconds: float, not_before: float) -> None:
    """Hand on what comes, each piece so much later, in order."""
    loop = asyncio.get_running_loop()
    waiting: asyncio.Queue[tuple[float, bytes]] = asyncio.Queue()

    async def deliver() -> None:
        while True:
            due, data = await waiting.get()
            await asyncio.sleep(max(0.0, due - loop.time()))
            if not data:
                break
            writer.write(data)
            await writer.drain()
        with suppress(OSError):
            writer.write_eof()

    task = asyncio.create_task(deliver())
    with suppress(ConnectionError):
        while data := await reader.read(256 * 1024):
            waiting.put_nowait((max(loop.time(), not_before) + seconds, data))
    waiting.put_nowait((max(loop.time(), not_before) + seconds, b""))
    with suppress(ConnectionError):
        await task


async def serve(host: str, port: int, seconds: float) -> None:
    async def accept(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        there_reader, there_writer = await asyncio.open_connection(host, port)
        begun = asyncio.get_running_loop().time() + seconds
        await asyncio.gather(carry(reader, there_writer, seconds / 2, begun), carry(there_reader, writer, seconds / 2, begun))
        for end in (writer, there_writer):
            end.close()

    server = await asyncio.start_server(accept, "127.0.0.1", 0, backlog=128)
    print(server.sockets[0].getsockname()[1], flush=True)
    async with server:
        await server.serve_forever()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--to", required=True, metavar="HOST:PORT")
    parser.add_argument("--seconds", type=float, required=True, help="a round trip")
    options = parser.parse_args()
    host, _, port = options.to.rpartition(":")
    asyncio.run(serve(host, int(port), options.seconds))


if __name__ == "__main__":
    main()
