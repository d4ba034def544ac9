"""asyncio streams, the way its documentation has it.

python -m bench.peers.aio serve ADDRESS PORT...
python -m bench.peers.aio open N ADDRESS PORT...
"""

import asyncio
import sys
from asyncio import StreamReader, StreamWriter
from collections.abc import Sequence

from bench.peers.stopwatch import Stopwatch, raise_soft_files

WINDOW = 512  # connects under way
BACKLOG = 65535  # listen(2) clips it to net.core.somaxconn


async def serve(address: str, ports: Sequence[int]) -> None:
    """Sends back what comes in, until it is killed."""
    for port in ports:
        await asyncio.start_server(send_back, address, port, backlog=BACKLOG)
    print("listening", file=sys.stderr, flush=True)
    await asyncio.Event().wait()


async def send_back(reader: StreamReader, writer: StreamWriter) -> None:
    try:
        while message := await reader.read(4096):
            writer.write(message)
    except ConnectionError:
        pass
    finally:
        writer.close()


async def open_all(wanted: int, address: str, ports: Sequence[int]) -> None:
    streams = []
    numbers = iter(range(wanted))

    async def open_some() -> None:
        for number in numbers:
            streams.append(await asyncio.open_connection(address, ports[number % len(ports)]))

    watch = Stopwatch()
    await asyncio.gather(*(open_some() for _ in range(WINDOW)))
    watch.print_figures(len(streams))


if __name__ == "__main__":
    raise_soft_files()
    match sys.argv[1:]:
        case ["serve", where, *numbers]:
            asyncio.run(serve(where, [int(number) for number in numbers]))
        case ["open", count, where, *numbers]:
            asyncio.run(open_all(int(count), where, [int(number) for number in numbers]))
        case _:
            sys.exit(__doc__)
