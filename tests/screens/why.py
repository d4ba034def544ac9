"""What `why` says of numbers, errnos and lines of logs, with what made-up hosts say for and against."""

from dataclasses import replace
from typing import Any

from fourtuple.core.census.records import PairCount
from fourtuple.core.limits.facts import World
from fourtuple.core.limits.ports import PortRoom
from fourtuple.core.limits.verdicts import Queue
from fourtuple.core.sockets.owners import Owners, Process
from fourtuple.core.sockets.role import Role
from fourtuple.core.space.interval import Interval
from fourtuple.core.why.catalogue.rows import catalogue, phrases
from fourtuple.core.why.judge import Why, judge
from fourtuple.core.why.leads import target_of
from fourtuple.core.why.reader import PHRASES, read_findings
from fourtuple.core.why.scene import Bearing, Scene, UnixQueue
from fourtuple.faces.text.why import why_lines
from tests.core.quiet import WORLD
from tests.made import RESOLVED

PORTS = PortRoom(1, 28_232, 28_000, Interval.of(232), (), (), 0, 0, 0, 0)
NGINX = (
    "2026/03/01 12:00:00 [crit] 812#812: *4711 connect() to 10.0.0.9:8080 failed (99: Cannot assign requested address)"
    ' while connecting to upstream, client: 10.0.0.1, upstream: "http://10.0.0.9:8080/"'
)


SEVERAL = """\
2026-01-02T10:32:01 app[7]: http: Accept error: accept tcp [::]:80: accept4: too many open files; retrying in 5ms
2026-01-02T10:32:02 app[7]: http: Accept error: accept tcp [::]:80: accept4: too many open files; retrying in 10ms
2026-01-02T10:32:05 app[7]: dial tcp 10.0.0.9:443: connect: connection refused
2026-01-02T10:32:09 proxy[9]: read tcp 10.0.0.1:41234->10.0.0.4:80: read: connection reset by peer
"""
UNIX = (
    "2026/03/01 12:00:00 [error] 812#812: *9 connect() to unix:/run/php-fpm.sock failed (11: Resource temporarily"
    ' unavailable) while connecting to upstream, client: 10.0.0.1, upstream: "fastcgi://unix:/run/php-fpm.sock:"'
)


def pair(destination: str = "10.0.0.9:8080", **counts: int) -> PairCount:
    """Of 28,232 ports so many, by what they are in use for."""
    known = {"established": 0, "time_wait": 0, "other": 0, "close_wait": 0} | counts
    used = known["established"] + known["time_wait"] + known["other"]
    return PairCount(
        role=Role.CLIENT,
        source="10.0.0.4",
        destination=destination,
        used=used,
        usable=28_232,
        percent=round(100 * used / 28_232, 1),
        left=Interval.of(28_232 - used),
        owners=Owners((Process(812, "nginx", used),)),
        **known,
    )


def answer(text: str, world: World = WORLD, ceilings: dict[str, int] | None = None, **scene: Any) -> Why:
    findings = read_findings([text], (*PHRASES, *phrases()))
    known: dict[str, Any] = {"bearing": Bearing.NOW, "asked": True} | scene
    scenes = [Scene(world, each, **({"target": target_of(each)} | known)) for each in findings]
    return judge(scenes, ceilings or {}, world.why_not, rows=catalogue())


def _lines(text: str, *, everything: bool = False, **scene: Any) -> str:
    return "\n".join(why_lines(answer(text, **scene), everything=everything))


TIME_WAIT: dict[str, Any] = {
    "pair": pair(time_wait=27_900, established=300),
    "ports": PORTS,
    "owners": "nginx (812)",
    "local": False,
}
QUEUES: dict[str, Any] = {
    "world": replace(
        WORLD, counters={"ListenOverflows": 1200, "ListenDrops": 1200}, sysctls={"net.core.somaxconn": "128"}
    ),
    "queue": Queue(1, 129, 129, 128),
    "full": ("0.0.0.0:80",),
}
FILES: dict[str, Any] = {
    "world": replace(WORLD, process=replace(WORLD.process, files_soft=1024, files_open=1020)),
    "asked": True,
}


def _name() -> str:
    """The destination is one address of a name."""
    found = answer("EADDRNOTAVAIL", target="192.0.2.10:6379", **TIME_WAIT)
    return "\n".join(why_lines(replace(found, resolved=(RESOLVED,))))


SCREENS = {
    "number": lambda: _lines("28232", ports=PORTS),
    "number-files": lambda: _lines("1024", **FILES),
    "number-unknown": lambda: _lines("5,000", ceilings={"net.core.somaxconn": 4096, "RLIMIT_NOFILE": 20_000}),
    "errno": lambda: _lines("EADDRNOTAVAIL", **TIME_WAIT),
    "name": _name,
    "errno-all": lambda: _lines("EADDRNOTAVAIL", everything=True, **TIME_WAIT),
    "errno-by-number": lambda: _lines("98"),
    "files": lambda: _lines("accept4: too many open files", **FILES),
    "log-line": lambda: _lines(NGINX, **TIME_WAIT),
    "go": lambda: _lines(
        "dial tcp 10.0.0.9:80: connect: cannot assign requested address",
        pair=pair("10.0.0.9:80", established=100, close_wait=20_000, other=20_000),
        ports=PORTS,
        close_wait=20_000,
        close_wait_owners="app (4121)",
    ),
    "port-taken": lambda: _lines(
        "listen tcp :8080: bind: address already in use", holders=["LISTEN 0.0.0.0:8080, nginx (812)"]
    ),
    "timeout": lambda: _lines("ETIMEDOUT", **QUEUES),
    "refused": lambda: _lines("connect to 127.0.0.1:80 failed: Connection refused", local=True, listens=False),
    "conntrack": lambda: _lines("nf_conntrack: table full, dropping packet"),
    "several": lambda: _lines(SEVERAL, bearing=Bearing.THEN),
    "of-then": lambda: _lines(NGINX, bearing=Bearing.THEN, **TIME_WAIT),
    "one-destination": lambda: _lines(
        "EADDRNOTAVAIL",
        ports=replace(PORTS, ceiling=50, blocked=27_000, room=Interval.of(0)),
        pair=pair(established=50),
        destinations=1,
    ),
    "unix": lambda: _lines(UNIX, unix=UnixQueue("/run/php-fpm.sock", 129, 128)),
    "own-limit": lambda: _lines("768 worker_connections are not enough"),
    "nothing-known": lambda: _lines("KeyError: 1"),
}
