"""aiohttp whose connections share source ports by destination.

    from fourtuple.adapters.aiohttp import TCPConnector
    session = aiohttp.ClientSession(connector=TCPConnector(sources=sources))

Errors are aiohttp's own; where no port is left, PortsExhausted is the `__cause__` of its ClientConnectorError.
"""

from typing import Any

import aiohttp

from fourtuple.adapters.conflicts import only_one
from fourtuple.client.connecting import socket_factory
from fourtuple.client.sources import Sources


class TCPConnector(aiohttp.TCPConnector):
    """aiohttp.TCPConnector with `sources`, in the place of `socket_factory`; None: what the route gives.

    Raises UsageError with `local_addr` beside it. Alone, that shares its ports here, too.
    """

    def __init__(self, *, sources: Sources | None = None, **options: Any) -> None:
        only_one(sources, options.get("local_addr"), "local_addr")
        super().__init__(socket_factory=socket_factory(sources=sources), **options)
