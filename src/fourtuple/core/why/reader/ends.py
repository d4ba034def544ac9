"""Between which ends a call failed: the call, source, destination, protocol and local port that a message names."""

import ipaddress
import itertools
import re
from collections.abc import Iterator

from fourtuple.core.late import late_pattern
from fourtuple.core.record import dataclass

_V4 = r"\d{1,3}(?:\.\d{1,3}){3}"
_V6 = r"\[[0-9a-f:.]+(?:%\w+)?\]"
_V6_BARE = r"[0-9a-f]{1,4}(?::[0-9a-f]{0,4}){2,7}|::[0-9a-f]{1,4}"
_NAME = r"(?:[a-z0-9_](?:[a-z0-9_-]{0,61}[a-z0-9_])?\.){1,30}[a-z][a-z0-9-]{0,61}[a-z0-9]|localhost"
_CODE = "".join(
    rf"(?<!\.{end})" for end in ("py", "js", "go", "rs", "rb", "cc", "ts", "java", "cpp", "php", "erl", "c", "h")
)
_PORTS = {
    "http": 80, "ws": 80, "https": 443, "wss": 443, "redis": 6379, "rediss": 6379, "amqp": 5672, "amqps": 5671,
    "postgres": 5432, "postgresql": 5432, "mysql": 3306, "mongodb": 27017, "nats": 4222, "mqtt": 1883, "ldap": 389,
}  # fmt: skip
_BEFORE_SOURCE = ("local (", "laddr=", "local_addr=", "localaddress=/", "localaddress=", "local address ", "l:/")
LOCAL_CALLS = ("bind", "listen")

# A text that must be in the message, and the pattern that is then tried.
_ENDS = tuple(
    (guard, late_pattern(pattern))
    for guard, pattern in (
        (":", rf"(?<![\w.:\[@-])(?P<host>{_V6}|{_V4}|{_NAME}){_CODE}:(?P<port>\d{{1,5}})(?!\w|:\d|\.\d)"),
        (":", r"(?:://|@|\bdial (?:tcp|udp)\d? |\bhost |\bto )(?P<host>[a-z0-9_][\w-]{0,62}):(?P<port>\d{2,5})\b"),
        (":", rf"(?:://|@)(?P<host>{_V6}|{_V4}|{_NAME}):(?P<port>\d{{1,5}})\b"),
        (
            "://",
            rf"\b(?P<scheme>{'|'.join(_PORTS)})://(?:[^@/\s\"']{{1,100}}@)?"
            rf"(?P<host>{_V6}|{_V4}|[a-z0-9][\w.-]{{0,253}})(?=[/\s\"',?)]|\Z)",
        ),
        (  # Node: ::1:8080
            "::",
            r"(?<![\w:.\[])(?P<host>(?:[0-9a-f]{0,4}:){2,7}(?:[0-9a-f]{1,4}|(?<=::))?):(?P<port>\d{1,5})(?!\w|:[\w:]|\.\d)",
        ),
        (
            "port",
            rf"(?<![\w.:])(?P<host>{_V6}|{_V6_BARE}|{_V4}|{_NAME})\W{{1,3}}(?:and accepting tcp/ip connections on )?"
            rf"port:?\W{{1,3}}(?P<port>\d{{1,5}})\b",
        ),
        (
            "port",
            r"\bhosts?(?:name)?\"?[ =:]{1,3}['\"]?(?P<host>[\w.:-]{1,255}?)['\"]?(?: \([^)]{0,100}\))?"
            r"(?: and accepting tcp/ip connections on|[,;]| \|)? ?['\"]?(?:at |on )?(?:tcp )?"
            r"port\"?[ =:]{1,3}['\"]?(?P<port>\d{1,5})\b",
        ),
        (
            "port",
            r"\baddress\"?[ =:]{1,3}['\"](?P<host>[\w.:-]{1,255})['\"],? ?"
            r"['\"]?port\"?[ =:]{1,3}['\"]?(?P<port>\d{1,5})\b",
        ),
        ("'", rf"[(\[{{]'(?P<host>{_V4}|[0-9a-f:]*::[0-9a-f:]*|[a-z][\w.-]{{0,253}})', ?(?P<port>\d{{1,5}})\b"),
        ('"', rf"[(\[{{]\"(?P<host>{_V4}|[0-9a-f:]*::[0-9a-f:]*|[a-z][\w.-]{{0,253}})\", ?(?P<port>\d{{1,5}})\b"),
        ("{{", r"\{\{(?P<host>\d{1,3}(?:, ?\d{1,3}){3})\}, ?(?P<port>\d{1,5})\}"),  # Erlang
        ("htons", rf"htons\((?P<port>\d{{1,5}})\), sin_addr=inet_addr\(\"(?P<host>{_V4})\""),
        (
            "htons",
            r"sin6_port=htons\((?P<port>\d{1,5})\).{0,60}inet_pton\(af_inet6, \"(?P<host>[0-9a-f:.]{1,60})\"",
        ),
        ("/", rf"(?<![\w.])(?P<host>{_V4}|{_NAME})/(?:{_V4}|<unresolved>):(?P<port>\d{{1,5}})"),  # Netty
        ("/", rf"(?<!/)/(?P<host>{_V4}):(?P<port>\d{{1,5}})"),  # Java: /10.0.0.9:80
        (":", rf"\b(?P<host>{_V4}):(?P<scheme>{'|'.join(_PORTS)})\b"),  # ab, nc: 10.0.0.9:http
    )
)
_ALONE = late_pattern(rf"\b(?:to|on|at|host|server|address|from) ['\"(]?(?P<host>{_V4}|{_V6})(?!\w|:\d|\.\d|/\d)")
_ALONE_BY_NAME = late_pattern(
    rf"\b(?:connect(?:ing|ion)? to|lookup) (?:host |server )?['\"(]?(?P<host>{_NAME})(?![\w:/]|\.\w)"
)
_UNIX = late_pattern(
    r"(?:unix:(?://)?|\bdial unix |sun_path=@?\"|\bsocket ['\"(]?|\bto ['\"]?|\bbind ['\"]?|\bat"
    r" ['\"]?)(?P<path>@?/[^\s:'\",;)]{2,108}|@[\w./-]{3,})"
    r"|(?P<socket>(?<![\w/.])/(?:[\w.+-]+/)*[\w.+-]*\.sock(?:et)?)(?![\w.])"
)
_NOT_ENDS = late_pattern(
    r"\b(?:client|server|referrer|x-forwarded-for|remote_addr|peer): ?\"?[^\s,\"]+\"?|\brequest: \"[^\"]*\"|,"
    r" host: \"[^\"]*\""
)
_UPSTREAM = late_pattern(r"\bupstream: \"(?:fastcgi|uwsgi|scgi|grpc|https?)://")
_LISTENS = late_pattern(
    r"(?:\blisten(?:ing)?|\bbind|\baddress already in use|eaddrinuse)\b.{0,80}?(?<![\w:])(?:::|\*"
    r"|0\.0\.0\.0)?:(?P<port>\d{1,5})(?!\w|:\d|\.\d)"
)
_PORT = late_pattern(r"\bport[:,]? ?(?P<port>\d{1,5})\b|', ?(?P<pair>\d{1,5})\)")
_CALLS = late_pattern(
    r"(?<![a-z0-9-])(?P<call>connect0?|bind0?|listen|accept4?|dial|setrlimit|prlimit|ulimit|epoll_ctl|epoll_create1?"
    r"|inotify_init1?"
    r"|inotify_add_watch|pthread_create|fork|clone3?|mmap|sendto|sendmsg|send|write|writev|recv|recvfrom|recvmsg|read|readv"
    r"|getaddrinfo|spawn(?:ing)?|socket(?=\(|:)|io_uring_setup|io_uring_queue_init)(?![\w-]|\.(?:create|py|go|js|java))"
    r"|(?P<connecting>connecting to|\bconnection to|establish a new connection|\bconnect(?:ion)?_?error"
    r"|newconnectionerror|connectexception"
    r"|\.(?!\w{0,20}disconnect)\w{0,40}connect\w{0,40}\()"
    r"|(?P<accepting>accepting (?:an? )?(?:\w+ )?connection)"
    r"|(?P<binding>attempting to bind|binding to)"
)
_CANONICAL = {
    "dial": "connect", "accept4": "accept", "prlimit": "setrlimit", "ulimit": "setrlimit",
    "epoll_create1": "epoll_create", "inotify_init1": "inotify_init", "clone3": "clone", "writev": "write",
    "readv": "read", "recvfrom": "recv", "recvmsg": "recv", "connect0": "connect", "bind0": "bind",
    "spawn": "fork", "spawning": "fork",
}  # fmt: skip
_DIALLED = late_pattern(r"\bdial (?:tcp|udp)[46]? ")  # of Go, whose connect() may call bind() first
_SYSCALL = late_pattern(r"\bsyscall\"?[:=] ?['\"]?(?P<call>[a-z_0-9]+)")
_UDP = late_pattern(r"\budp[46]?\b|sock_dgram|datagram")
_TCP = late_pattern(r"\btcp[46]?\b|sock_stream|https?://|\bhttp\b")


@dataclass(frozen=True, slots=True)
class NamedEnd:
    """One end of a connection that a message names.

    host:  an address, or a name
    port:  0: it names none
    start, end: where in the message
    """

    host: str
    port: int
    start: int
    end: int

    def __str__(self) -> str:
        host = f"[{self.host}]" if ":" in self.host and self.port else self.host
        return f"{host}:{self.port}" if self.port else host


@dataclass(frozen=True, slots=True)
class Between:
    """Between which ends a call failed; each field as in Finding."""

    source: str = ""
    destination: str = ""
    protocol: str = ""
    port: int | None = None


def called(message: str, at: int) -> str:
    """The call that failed with the error at this place: the last one named before it, or the first one after it."""
    if match := _SYSCALL.search(message):
        return _CANONICAL.get(match["call"], match["call"])
    before, after = "", ""
    for match in _CALLS.finditer(message):
        name = match["call"] or ("bind" if match["binding"] else "accept" if match["accepting"] else "connect")
        if match.start() <= at:
            before = before if name == "socket" and before else name  # often a noun: cannot bind socket
        elif not after:
            after = name
    name = before or after
    return _CANONICAL.get(name, name)


def ends_of(message: str, at: int, call: str) -> Between:
    """Find the ends that belong to the error at this place of the message."""
    is_unix = _unix(message, at)
    protocol = "unix" if is_unix else "udp" if _UDP.search(message) else "tcp" if _TCP.search(message) else ""
    if is_unix:
        return Between(is_unix, "", "unix") if call in LOCAL_CALLS else Between("", is_unix, "unix")
    found = _found(message)
    is_dialled = bool(_DIALLED.search(message))
    for one, other in itertools.pairwise(found) if is_dialled or call not in LOCAL_CALLS else ():
        if re.fullmatch(r" ?-{1,2}> ?", message[one.end : other.start]):
            return Between(_source(one), str(other), protocol, (one.port or None) if call in LOCAL_CALLS else None)
    source = next((end for end in found if message[: end.start].endswith(_BEFORE_SOURCE)), None)
    rest = [end for end in found if end is not source]
    if call in LOCAL_CALLS and not is_dialled:
        return _local(message, at, rest, protocol)
    end = _of_error(message, at, rest)
    return Between(_source(source) if source else "", str(end) if end else _alone(message), protocol)


def _source(end: NamedEnd) -> str:
    return "" if end.host in ("0.0.0.0", "::") and not end.port else str(end)  # noqa: S104


def _unix(message: str, at: int) -> str:
    """The path of the Unix socket that the message names, nearest to the error; empty: it names none."""
    paths = [
        match
        for match in _UNIX.finditer(message)
        if match["socket"] or match[0].startswith(("unix:", "dial unix", "sun_path")) or "sock" in match[0]
    ]
    if not paths:
        return ""
    nearest = min(paths, key=lambda match: abs(match.start() - at))
    return nearest["path"] or nearest["socket"]


def _found(message: str) -> list[NamedEnd]:
    """All ends of a message in its order, without those of clients that a proxy serves."""
    kept = _NOT_ENDS.sub(lambda match: "\x00" * len(match[0]), message)
    if upstream := _UPSTREAM.search(kept):
        kept = "\x00" * (upstream.end() - 7) + kept[upstream.end() - 7 :]
    ends: list[NamedEnd] = []
    for end in sorted(_matches(kept), key=lambda end: (end.start, -end.end)):
        if not ends or end.start >= ends[-1].end:
            ends.append(end)
        elif end.port and not ends[-1].port:
            ends[-1] = end
    return ends


def _matches(message: str) -> Iterator[NamedEnd]:
    for guard, pattern in _ENDS:
        for match in pattern.finditer(message) if guard in message else ():
            groups = match.groupdict()
            port = int(groups["port"]) if groups.get("port") else _PORTS[groups["scheme"]]
            if port < 65536 and (host := _host(match["host"])):
                yield NamedEnd(host, port, match.start("host"), match.end())


def _host(text: str) -> str:
    """The address or the name; empty: it is neither."""
    host = text.strip("[]").partition("%")[0]
    if "," in host:
        host = host.replace(" ", "").replace(",", ".")
    if re.fullmatch(r"[a-z0-9_][\w.-]*", host) and not re.fullmatch(r"[\d.]+", host):
        return host
    try:
        return str(ipaddress.ip_address(host))
    except ValueError:
        return ""


def _of_error(message: str, at: int, found: list[NamedEnd]) -> NamedEnd | None:
    """The end that belongs to the error: the last one before it, unless a new part of the message begins between."""
    before = [end for end in found if end.start < at]
    after = [end for end in found if end.start >= at]
    named = [end for end in found if end.port]
    if before:
        return before[-1] if before[-1].port or not after else next((end for end in after if end.port), before[-1])
    return after[0] if after else (named[0] if named else None)


def _local(message: str, at: int, found: list[NamedEnd], protocol: str) -> Between:
    end = _of_error(message, at, found)
    if end and end.port:
        return Between(str(end), "", protocol, end.port)
    match = _LISTENS.search(message) or _PORT.search(message)
    port = int(next(filter(None, match.groups()))) if match else 0
    return Between(str(end) if end else _alone(message), "", protocol, port if 0 < port < 65536 else None)


def _alone(message: str) -> str:
    match = _ALONE.search(message) or _ALONE_BY_NAME.search(message)
    return (_host(match["host"]) if match else "") or ""
