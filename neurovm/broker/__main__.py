# SPDX-License-Identifier: Apache-2.0
"""python -m neurovm.broker PORT READY"""

from __future__ import annotations

import asyncio
import contextlib
import os
import sys

from neurovm.broker.server import Broker, Connection

HOST = "127.0.0.1"


async def serve(port: int, ready: int) -> None:
    """Accept on loopback until standard input ends; say on `ready` that we do."""
    broker, loop = Broker(), asyncio.get_running_loop()
    server = await loop.create_server(lambda: Connection(broker), HOST, port)
    os.write(ready, b"!")
    os.close(ready)
    await loop.run_in_executor(None, sys.stdin.buffer.read)
    server.close()


if __name__ == "__main__":
    with contextlib.suppress(KeyboardInterrupt):
        asyncio.run(serve(int(sys.argv[1]), int(sys.argv[2])))
    # Connections end with this process.
    os._exit(0)
