"""HTTP requests by clients in Python: each connection sends the next request when its answer has come.

python -m bench.peers.asking httpx|aiohttp SECONDS CONNECTIONS URL
"""

import asyncio
import json
import resource
import ssl
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager

import anyio

Ask = Callable[[], Awaitable[int]]  # → the status


@asynccontextmanager
async def by_httpx(connections: int, url: str) -> AsyncIterator[Sequence[Ask]]:
    """A client for each connection: one with a pool of 1,000 is twelve times as slow."""
    import httpx

    def asking(client: httpx.AsyncClient) -> Ask:
        async def ask() -> int:
            return (await client.get(url)).status_code

        return ask

    context = ssl.create_default_context()  # which each client would make for itself
    async with AsyncExitStack() as until_the_end:
        clients = [httpx.AsyncClient(timeout=60, trust_env=False, verify=context) for _ in range(connections)]
        yield [asking(await until_the_end.enter_async_context(client)) for client in clients]


@asynccontextmanager
async def by_aiohttp(connections: int, url: str) -> AsyncIterator[Sequence[Ask]]:
    import aiohttp

    async def ask() -> int:
        async with client.get(url) as answer:
            await answer.read()
            return answer.status

    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=connections)) as client:
        yield [ask] * connections


async def ask_all(asks: Sequence[Ask], seconds: float) -> dict[str, float]:
    """How many requests have their answer, once each connection has had its first one."""
    done = 0

    async def go_on(ask: Ask) -> None:
        nonlocal done
        while True:
            if (status := await ask()) != 200:
                raise ValueError(f"status {status}")
            done += 1

    async with anyio.create_task_group() as group:
        for ask in asks:
            group.start_soon(go_on, ask)
        while done < len(asks):
            await asyncio.sleep(0.01)
        first, start_s, before = done, time.monotonic(), resource.getrusage(resource.RUSAGE_SELF)
        await asyncio.sleep(seconds)
        elapsed_s, after, last = time.monotonic() - start_s, resource.getrusage(resource.RUSAGE_SELF), done
        group.cancel_scope.cancel()
    cpu_s = after.ru_utime - before.ru_utime + after.ru_stime - before.ru_stime
    return {"done": last - first, "elapsed_s": elapsed_s, "cpu_s": cpu_s}


async def main(library: str, seconds: float, connections: int, url: str) -> None:
    clients = {"httpx": by_httpx, "aiohttp": by_aiohttp}
    async with clients[library](connections, url) as asks:
        print(json.dumps(await ask_all(asks, seconds)))


if __name__ == "__main__":
    match sys.argv[1:]:
        case ["httpx" | "aiohttp" as library, seconds, connections, url]:
            asyncio.run(main(library, float(seconds), int(connections), url))
        case _:
            sys.exit(__doc__)
