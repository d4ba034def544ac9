"""urllib3 with connections that share source ports between destinations.

    from fourtuple.adapters.urllib3 import PoolManager
    http = PoolManager(sources=fourtuple.Sources("10.0.0.4", "10.0.0.5"))

Errors are those of urllib3; if no port is left, PortsExhausted is the `__cause__` of its NewConnectionError.
"""

import socket
import sys
from typing import Any

import urllib3
import urllib3.connection
from urllib3.exceptions import ConnectTimeoutError, LocationParseError, NameResolutionError, NewConnectionError
from urllib3.util.connection import allowed_gai_family

from fourtuple.adapters.conflicts import only_one
from fourtuple.client.connecting import dial
from fourtuple.client.sources import Sources


class HTTPConnection(urllib3.connection.HTTPConnection):
    """urllib3.connection.HTTPConnection with `sources`, the source addresses; None: as the route determines."""

    def __init__(self, *args: Any, sources: Sources | None = None, **options: Any) -> None:
        super().__init__(*args, **options)
        self.sources = sources

    def _new_conn(self) -> socket.socket:
        host: str = self._dns_host.strip("[]")
        try:
            host.encode("idna")
        except UnicodeError:
            raise LocationParseError(f"'{host}', label empty or too long") from None
        try:
            sock = dial(
                (host, self.port),
                self.sources,
                timeout=urllib3.Timeout.resolve_default_timeout(self.timeout),
                options=self.socket_options or (),
                bind_to=self.source_address,
                family=allowed_gai_family(),
            )
        except socket.gaierror as error:
            raise NameResolutionError(self.host, self, error) from error
        except TimeoutError as error:
            message = f"Connection to {self.host} timed out. (connect timeout={self.timeout})"
            raise ConnectTimeoutError(self, message) from error
        except OSError as error:
            raise NewConnectionError(self, f"Failed to establish a new connection: {error}") from error
        sys.audit("http.client.connect", self, self.host, self.port)
        return sock


class HTTPSConnection(HTTPConnection, urllib3.connection.HTTPSConnection):
    """urllib3.connection.HTTPSConnection with `sources`."""


class HTTPConnectionPool(urllib3.HTTPConnectionPool):
    """urllib3.HTTPConnectionPool with `sources`."""

    ConnectionCls = HTTPConnection


class HTTPSConnectionPool(urllib3.HTTPSConnectionPool):
    """urllib3.HTTPSConnectionPool with `sources`."""

    ConnectionCls = HTTPSConnection


class PoolManager(urllib3.PoolManager):
    """urllib3.PoolManager with `sources`, the source addresses; None: as the route determines.

    Raises UsageError if `source_address` is given too. `source_address` alone also shares its ports.
    """

    def __init__(self, *args: Any, sources: Sources | None = None, **options: Any) -> None:
        only_one(sources, options.get("source_address"), "source_address")
        super().__init__(*args, **options)
        self.sources = sources
        self.pool_classes_by_scheme = {"http": HTTPConnectionPool, "https": HTTPSConnectionPool}

    def _new_pool(self, *args: Any, **options: Any) -> urllib3.HTTPConnectionPool:
        pool = super()._new_pool(*args, **options)
        pool.conn_kw["sources"] = self.sources  # not a part of the key by which pools are found
        return pool
