"""asyncio streams, the way its documentation has it.

python -m bench.peers.aio serve ADDRESS PORT...
python -m bench.peers.aio open N ADDRESS PORT...
python -m bench.peers.aio echo N SECONDS ADDRESS PORT...
"""

import asyncio
import itertools
import json
import sys
import time
from asyncio import StreamReader, StreamWriter
from collections.abc import Sequence

from bench.peers.stopwatch import Stopwatch, raise_soft_files

WINDOW = 512  # connects under way
BACKLOG = 65535  # listen(2) clips it to net.core.somaxconn
MESSAGE = bytes(32)
WAITING = 2048  # messages on their way: as many as fourtuple has


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


async def open_all(wanted: int, address: str, ports: Sequence[int]) -> list[tuple[StreamReader, StreamWriter]]:
    streams = []
    numbers = iter(range(wanted))

    async def open_some() -> None:
        for number in numbers:
            streams.append(await asyncio.open_connection(address, ports[number % len(ports)]))

    watch = Stopwatch()
    await asyncio.gather(*(open_some() for _ in range(WINDOW)))
    watch.print_figures(len(streams))
    return streams


async def echo(wanted: int, seconds: float, address: str, ports: Sequence[int]) -> None:
    """A message and its answer, again and again, on every connection in turn; WAITING of them wait at a time."""
    streams = await open_all(wanted, address, ports)
    took_us: list[float] = []
    start_s = time.monotonic()
    end_s = start_s + seconds

    async def ask(part: Sequence[tuple[StreamReader, StreamWriter]]) -> None:
        sent_s = time.monotonic()
        for reader, writer in itertools.cycle(part):
            if sent_s >= end_s:
                return
            writer.write(MESSAGE)
            await reader.readexactly(len(MESSAGE))
            answered_s = time.monotonic()
            took_us.append((answered_s - sent_s) * 1e6)
            sent_s = answered_s

    await asyncio.gather(*(ask(streams[start::WAITING]) for start in range(WAITING)))
    held_s = time.monotonic() - start_s
    took_us.sort()
    answer_us = {name: took_us[int(share * (len(took_us) - 1))] for name, share in SHARES.items()}
    print(json.dumps({"answers_per_s": len(took_us) / held_s, "answer_us": answer_us}))


SHARES = {"p50": 0.5, "p90": 0.9, "p99": 0.99, "max": 1.0}

if __name__ == "__main__":
    raise_soft_files()
    match sys.argv[1:]:
        case ["serve", where, *numbers]:
            asyncio.run(serve(where, [int(number) for number in numbers]))
        case ["open", count, where, *numbers]:
            asyncio.run(open_all(int(count), where, [int(number) for number in numbers]))
        case ["echo", count, duration_s, where, *numbers]:
            asyncio.run(echo(int(count), float(duration_s), where, [int(number) for number in numbers]))
        case _:
            sys.exit(__doc__)
