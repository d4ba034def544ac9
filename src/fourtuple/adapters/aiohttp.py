"""aiohttp with connections that share source ports between destinations.

    from fourtuple.adapters.aiohttp import TCPConnector
    session = aiohttp.ClientSession(connector=TCPConnector(sources=sources))

Errors are those of aiohttp; if no port is left, PortsExhausted is the `__cause__` of its ClientConnectorError.
"""

from typing import Any

import aiohttp

from fourtuple.adapters.conflicts import only_one
from fourtuple.client.connecting import socket_factory
from fourtuple.client.sources import Sources


class TCPConnector(aiohttp.TCPConnector):
    """aiohttp.TCPConnector with `sources` instead of `socket_factory`; None: as the route determines.

    Raises UsageError if `local_addr` is given too. `local_addr` alone also shares its ports.
    """

    def __init__(self, *, sources: Sources | None = None, **options: Any) -> None:
        only_one(sources, options.get("local_addr"), "local_addr")
        super().__init__(socket_factory=socket_factory(sources=sources), **options)
