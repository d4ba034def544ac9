"""redis.asyncio with connections that share source ports between destinations.

    from fourtuple.adapters.redis_asyncio import Connection
    pool = redis.asyncio.ConnectionPool(connection_class=Connection, sources=sources, host="10.0.0.9")
    client = redis.asyncio.Redis(connection_pool=pool)

Errors are those of redis-py; if no port is left, PortsExhausted is in the chain of `__context__`. Pass SSLConnection to
ConnectionPool itself: from_url uses redis-py's own class for rediss://.
"""

import socket
from typing import Any

import redis.asyncio

from fourtuple.adapters.within import within
from fourtuple.client.connecting import checked
from fourtuple.client.sources import Sources
from fourtuple.client.streams import open_connection


class Connection(redis.asyncio.Connection):
    """redis.asyncio.Connection with `sources`, the source addresses; None: as the route determines."""

    def __init__(self, *, sources: Sources | None = None, **options: Any) -> None:
        self.sources = checked(sources)
        super().__init__(**options)

    async def _connect(self) -> None:
        async with within(self.socket_connect_timeout):
            self._reader, self._writer = await open_connection(**self._connection_arguments(), sources=self.sources)
        sock = self._writer.transport.get_extra_info("socket")
        try:
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            if self.socket_keepalive:
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
                options: Any = self.socket_keepalive_options
                for name, value in options.items():
                    sock.setsockopt(socket.IPPROTO_TCP, name, value)
        except (OSError, TypeError):
            self._writer.close()
            raise


class SSLConnection(redis.asyncio.SSLConnection, Connection):
    """redis.asyncio.SSLConnection with `sources`."""
