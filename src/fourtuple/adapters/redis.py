"""redis-py with connections that share source ports between destinations.

    from fourtuple.adapters.redis import Connection
    pool = redis.ConnectionPool(connection_class=Connection, sources=sources, host="10.0.0.9")
    client = redis.Redis(connection_pool=pool)

Errors are those of redis-py; if no port is left, PortsExhausted is in the chain of `__context__`. Pass SSLConnection to
ConnectionPool itself: from_url uses redis-py's own class for rediss://. For redis.asyncio see redis_asyncio.
"""

import socket
from typing import Any

import redis

from fourtuple.client.connecting import checked, dial
from fourtuple.client.sources import Sources


class Connection(redis.Connection):
    """redis.Connection with `sources`, the source addresses; None: as the route determines."""

    def __init__(self, *args: Any, sources: Sources | None = None, **options: Any) -> None:
        self.sources = checked(sources)
        super().__init__(*args, **options)  # type: ignore[no-untyped-call]

    def _connect(self) -> socket.socket:
        options: list[Any] = [(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)]
        if self.socket_keepalive:
            options.append((socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1))
            options += [(socket.IPPROTO_TCP, name, value) for name, value in self.socket_keepalive_options.items()]
        sock = dial(
            (self.host, self.port),
            self.sources,
            timeout=self.socket_connect_timeout,
            options=options,
            family=self.socket_type,  # redis-py passes it to getaddrinfo in this place
        )
        sock.settimeout(self.socket_timeout)
        return sock


class SSLConnection(redis.SSLConnection, Connection):
    """redis.SSLConnection with `sources`."""
