"""Causes in programs: their own limits, and what stands behind them."""

from collections.abc import Mapping

from fourtuple.core.limits.cures import Cure, Needs
from fourtuple.core.why.scene import Cause

PROGRAMS: Mapping[str, Cause] = {
    "own-limit": Cause(
        "the program has reached its own limit of connections, such as max_connections, maxclients or a pool's size",
        (
            Cure(
                "raise it in the program's settings, along with its limit of open files",
                "more memory; the server behind must take as many",
                Needs.SETTING,
            ),
            Cure("close idle connections, or share them: a pool, a proxy", "", Needs.SETTING),
            Cure("of a pool: find what holds its connections: slow queries, or code that does not give them back"),
        ),
    ),
    "upstream-down": Cause(
        "a proxy has no server to send to: all behind it are down, or were marked as failed",
        (
            Cure("read the proxy's errors before this one: they say why each server was marked as failed"),
            Cure("connect to each server from the proxy's host: curl -v, ss -lnt there"),
            Cure(
                "allow more failures before a server is marked: max_fails and fail_timeout of nginx, fall of HAProxy",
                "requests reach a server that is down for longer",
                Needs.SETTING,
            ),
        ),
    ),
    "docker-ports": Cause(
        "Docker has no free host port in the range from which it publishes ports, or the port is taken",
        (
            Cure("docker ps shows the published ports; ss -lntp who has the port"),
            Cure("publish a chosen port: -p PORT:PORT, or remove containers that are not used", "", Needs.SETTING),
            Cure(
                "widen net.ipv4.ip_local_port_range, from which Docker takes ports",
                "endangers servers that listen in the new range: reserve their ports first",
                Needs.ROOT,
            ),
        ),
    ),
    "browser": Cause("a browser's own limit for one host", (Cure("use fourtuple hold instead of a browser"),)),
}
