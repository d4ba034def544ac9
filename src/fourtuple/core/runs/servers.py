"""Which setting of a well-known server limits its connections, and which one ends them, by the program's name."""

from collections.abc import Mapping
from types import MappingProxyType

from fourtuple.core.record import dataclass


@dataclass(frozen=True, slots=True)
class Settings:
    """The names of a server's settings, as its documentation has them.

    most: limits how many connections it has at the same time
    idle: ends connections on which nothing happens; empty: it does not do that
    answered: ends connections after an answer of HTTP, with Connection: close; empty: unknown, or it speaks no HTTP
    waits: at its limit it accepts no more, so that others wait in its accept queue; otherwise it closes them
    """

    most: str
    idle: str
    answered: str = ""
    waits: bool = False


_REDIS = Settings("maxclients", "timeout")
_MYSQL = Settings("max_connections", "connect_timeout or wait_timeout")
_APACHE = Settings(
    "MaxRequestWorkers",
    "RequestReadTimeout or KeepAliveTimeout",
    "KeepAlive or MaxKeepAliveRequests",
    waits=True,
)
SERVERS: Mapping[str, Settings] = MappingProxyType(
    {
        "apache2": _APACHE,
        "haproxy": Settings("maxconn", "timeout client or timeout http-request", "option httpclose", waits=True),
        "httpd": _APACHE,
        "lighttpd": Settings(
            "server.max-connections",
            "server.max-keep-alive-idle or server.max-read-idle",
            "server.max-keep-alive-requests",
            waits=True,
        ),
        "mariadbd": _MYSQL,
        "memcached": Settings("-c (conn_limit)", "-o idle_timeout"),
        "mosquitto": Settings("max_connections", "the protocol: it waits for CONNECT"),
        "mysqld": _MYSQL,
        "nginx": Settings(
            "worker_connections",
            "client_header_timeout or keepalive_timeout",
            "keepalive_requests, keepalive_time or keepalive_timeout",
        ),
        "node": Settings(
            "server.maxConnections",
            "server.headersTimeout or server.keepAliveTimeout",
            "server.maxRequestsPerSocket",
        ),
        "postgres": Settings("max_connections", "authentication_timeout or idle_session_timeout"),
        "redis-server": _REDIS,
        "sshd": Settings("MaxStartups", "LoginGraceTime"),
        "valkey-server": _REDIS,
    }
)
