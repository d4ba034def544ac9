"""Every adapter against the real library, where there are 64 ports and 3 servers."""

import asyncio
import errno
from typing import Any

import pytest

from tests.adapters.fill import fill
from tests.client.inside import inside

BINDS = ["urllib3", "requests", "httpx", "httpx_async", "aiohttp", "asyncio"]
EVERY = [*BINDS, "redis", "redis_asyncio"]


def filled(library: str, how: str) -> dict[str, Any]:
    found = inside(lambda: asyncio.run(fill(library, how)))
    assert found["opened"] == sum(found["accepted"])
    return found


@pytest.mark.parametrize("library", BINDS)
def test_the_library_alone_stops_at_64_in_all(library: str) -> None:
    """Its own option for a source address takes a port from every destination at once."""
    found = filled(library, "alone")

    assert found["accepted"] == [64, 0, 0]
    assert found["errnos"] == [[errno.EADDRINUSE]] * 3
    assert not any(found["exhausted"])


@pytest.mark.parametrize("library", EVERY)
def test_the_adapter_holds_64_towards_each_destination(library: str) -> None:
    """The same 64 ports serve all three; then the library's own error comes from a PortsExhausted."""
    found = filled(library, "with")

    assert found["accepted"] == [64, 64, 64]
    assert (found["source_ports"], found["sources"]) == (64, ["127.0.0.1"])
    assert found["errnos"] == [[errno.EADDRNOTAVAIL]] * 3
    assert found["exhausted"] == [True] * 3
    if library != "asyncio":  # which has no errors of its own
        assert [error.split(".")[0] for error in found["errors"]] == [library.split("_")[0]] * 3


@pytest.mark.parametrize("library", ["requests", "httpx_async", "aiohttp", "redis", "redis_asyncio"])
def test_two_sources_hold_twice_as_many(library: str) -> None:
    found = filled(library, "two")

    assert found["accepted"] == [128, 128, 128]
    assert (found["source_ports"], found["sources"]) == (64, ["127.0.0.1", "127.0.0.2"])
    assert found["exhausted"] == [True] * 3


@pytest.mark.parametrize("library", ["urllib3", "requests", "httpx", "httpx_async", "aiohttp"])
def test_the_library_s_own_option_shares_ports_with_the_adapter(library: str) -> None:
    """Swapping the import is enough where one source address was given already."""
    found = filled(library, "own")

    assert found["accepted"] == [64, 64, 64]
    assert found["sources"] == ["127.0.0.7"]
    assert found["exhausted"] == [True] * 3
