"""requests whose connections share source ports by destination.

    from fourtuple.adapters.requests import HTTPAdapter
    session = requests.Session()
    session.mount("http://", HTTPAdapter(sources=sources))  # and "https://"

Errors are requests' own; where no port is left, PortsExhausted is found along `__context__`. Connections to a proxy
remain as requests makes them.
"""

from typing import Any

import requests.adapters

from fourtuple.adapters.urllib3 import PoolManager
from fourtuple.client.connecting import checked
from fourtuple.client.sources import Sources


class HTTPAdapter(requests.adapters.HTTPAdapter):
    """requests.adapters.HTTPAdapter with `sources`: where to come from; None: what the route gives."""

    def __init__(self, *args: Any, sources: Sources | None = None, **options: Any) -> None:
        self.sources = checked(sources)
        super().__init__(*args, **options)

    def __getstate__(self) -> dict[str, Any]:
        state: dict[str, Any] = super().__getstate__()  # type: ignore[assignment]
        return state | {"sources": self.sources}

    def init_poolmanager(self, connections: int, maxsize: int, block: bool = False, **options: Any) -> None:
        """As requests does it."""
        super().init_poolmanager(connections, maxsize, block, **options)
        self.poolmanager = PoolManager(
            num_pools=connections, maxsize=maxsize, block=block, sources=self.sources, **options
        )
