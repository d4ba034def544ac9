"""requests with connections that share source ports between destinations.

    from fourtuple.adapters.requests import HTTPAdapter
    session = requests.Session()
    session.mount("http://", HTTPAdapter(sources=sources))  # and "https://"

Errors are those of requests; if no port is left, PortsExhausted is in the chain of `__context__`. Connections to a
proxy are not affected.
"""

from typing import Any

import requests.adapters

from fourtuple.adapters.urllib3 import PoolManager
from fourtuple.client.connecting import checked
from fourtuple.client.sources import Sources


class HTTPAdapter(requests.adapters.HTTPAdapter):
    """requests.adapters.HTTPAdapter with `sources`, the source addresses; None: as the route determines."""

    def __init__(self, *args: Any, sources: Sources | None = None, **options: Any) -> None:
        self.sources = checked(sources)
        super().__init__(*args, **options)

    def __getstate__(self) -> dict[str, Any]:
        parent: Any = super()  # whose type lacks the method
        state: dict[str, Any] = parent.__getstate__()
        return state | {"sources": self.sources}

    def init_poolmanager(self, connections: int, maxsize: int, block: bool = False, **options: Any) -> None:
        """As in requests, with PoolManager from this package."""
        super().init_poolmanager(connections, maxsize, block, **options)
        self.poolmanager = PoolManager(
            num_pools=connections, maxsize=maxsize, block=block, sources=self.sources, **options
        )
