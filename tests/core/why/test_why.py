"""What people paste, what is understood of it, which causes that leads to, and how a host's evidence orders them."""

import errno
import itertools
import os
import re
from dataclasses import replace
from typing import Any, NamedTuple

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fourtuple.core.census.records import PairCount
from fourtuple.core.errnos import name_of, symptom_of
from fourtuple.core.errors import UsageError
from fourtuple.core.limits.facts import PortFacts, World
from fourtuple.core.limits.ports import PortRoom
from fourtuple.core.limits.verdicts import Queue
from fourtuple.core.sockets.owners import Owners
from fourtuple.core.sockets.role import Role
from fourtuple.core.space.interval import Interval
from fourtuple.core.space.ranges import Ranges
from fourtuple.core.why.causes import CAUSES, Scene, nowhere
from fourtuple.core.why.judge import Why, judge
from fourtuple.core.why.saying import MOST_CHARACTERS, Saying, read_saying
from fourtuple.core.why.symptoms import ERRNOS, MESSAGES, PLATEAUS, Message, Plateau
from tests.core.quiet import PROCESS, WORLD
from tests.told import numbers

NOTHING_KNOWN = replace(WORLD, ports=None, process=replace(PROCESS, files_soft=None, files_open=None))
PORTS = PortRoom(1, 28_232, 0, Interval.of(28_232), (), (), 0, 0, 0, 0)


def asked(text: str, world: World = NOTHING_KNOWN, **scene: Any) -> Why:
    """What `why` says of it, where nothing else is known."""
    saying = read_saying(text)
    told = {"number": saying.number, "errno": saying.errno, "call": saying.call, "target": saying.target}
    return judge(saying, Scene(world=world, port=saying.port, **told | scene), {}, {})


def causes(text: str, world: World = NOTHING_KNOWN, **scene: Any) -> list[str]:
    """The likeliest first."""
    return [each.cause for each in asked(text, world, **scene).explanations]


# Lines as kernels, languages and servers write them.


class Line(NamedTuple):
    """errno: its name; causes: that are among those it leads to"""

    text: str
    errno: str = ""
    call: str = ""
    target: str | None = None
    causes: str = ""
    number: int | None = None


FULL, TAKEN, TOO_MANY = "EADDRNOTAVAIL", "EADDRINUSE", "EMFILE"
TRACEBACK = """\
Traceback (most recent call last):
  File "/usr/lib/python3.12/socket.py", line 850, in create_connection
    sock.connect(sa)
OSError: [Errno 99] Cannot assign requested address
"""
URLLIB3 = (
    "requests.exceptions.ConnectionError: HTTPConnectionPool(host='10.0.0.9', port=80): Max retries exceeded with url:"
    " / (Caused by NewConnectionError('<urllib3.connection.HTTPConnection object at 0x7f>: Failed to establish a new"
    " connection: [Errno 99] Cannot assign requested address'))"
)
NGINX = "2026/03/01 12:00:00 [crit] 812#812: *4711 "
NGINX_MORE = (
    ', client: 10.0.0.1, server: example.org, request: "GET / HTTP/1.1", upstream: "http://10.0.0.9:8080/",'
    ' host: "10.0.0.4:8443"'
)
STRACE = (
    'connect(3, {sa_family=AF_INET, sin_port=htons(80), sin_addr=inet_addr("10.0.0.9")}, 16) = -1 EADDRNOTAVAIL'
    " (Cannot assign requested address)"
)
WINDOWS = "Only one usage of each socket address (protocol/network address/port) is normally permitted"
WINDOWS_FULL = (
    "WSAENOBUFS (10055): An operation on a socket could not be performed because the system lacked sufficient buffer"
    " space or because a queue was full"
)
POSTGRES = (
    "could not connect to server: Cannot assign requested address\n\tIs the server running on host 10.0.0.9 and"
    " accepting\n\tTCP/IP connections on port 5432?"
)
LINES = [
    # Go
    Line(
        "dial tcp 10.0.0.9:80: connect: cannot assign requested address", FULL, "connect", "10.0.0.9:80", "port-range"
    ),
    Line("dial tcp 10.0.0.4:0->10.0.0.9:80: bind: address already in use", TAKEN, "bind", "10.0.0.9:80", "bound-first"),
    Line(
        "dial tcp 10.0.0.9:80: connect: can't assign requested address", FULL, "connect", "10.0.0.9:80", "other-system"
    ),
    Line("dial tcp 10.0.0.9:5432: i/o timeout", "ETIMEDOUT", "connect", "10.0.0.9:5432", "accept-queue conntrack nat"),
    Line("read tcp 10.0.0.4:51234->10.0.0.9:6379: read: connection reset by peer", "ECONNRESET", "", "10.0.0.9:6379"),
    Line(
        "dial tcp [fd00::9]:443: connect: network is unreachable", "ENETUNREACH", "connect", "[fd00::9]:443", "no-way"
    ),
    Line(
        "http: Accept error: accept tcp [::]:80: accept4: too many open files", TOO_MANY, "accept", "[::]:80", "files"
    ),
    Line("listen tcp :8080: bind: address already in use", TAKEN, "bind", None, "port-owned"),
    # Python
    Line("OSError: [Errno 99] Cannot assign requested address", FULL, "", None, "port-range time-wait bound-first"),
    Line(TRACEBACK, FULL, "connect", None, "port-range"),
    Line(URLLIB3, FULL, "", "10.0.0.9:80", "port-range"),
    Line("2026/11/20 16:00:00 [alert] 31#31: 768 worker_connections are not enough", causes="own-limit"),
    Line("ERROR 1040 (HY000): Too many connections", causes="own-limit"),
    Line("KeyError: 1"),
    Line(
        "curl: (28) Failed to connect to 10.0.0.9 port 80 after 131072 ms: Timeout was reached", "ETIMEDOUT", "connect"
    ),
    Line("curl: (7) Failed to connect to 10.0.0.9 port 80", "ECONNREFUSED", "connect"),
    Line("OSError: [Errno 24] Too many open files", TOO_MANY, "", None, "files"),
    Line("BlockingIOError: [Errno 11] Resource temporarily unavailable", "EAGAIN", "", None, "threads udp-ports"),
    Line("ValueError: filedescriptor out of range in select()", causes="select"),
    Line("RuntimeError: can't start new thread", causes="threads"),
    Line("ValueError: current limit exceeds maximum limit in setrlimit", "EPERM", "setrlimit", None, "nr-open"),
    # Node
    Line("connect EADDRNOTAVAIL 10.0.0.9:443 - Local (0.0.0.0:0)", FULL, "connect", "10.0.0.9:443", "port-range"),
    Line("connect ETIMEDOUT 10.0.0.9:443 - Local (10.0.0.4:51234)", "ETIMEDOUT", "connect", "10.0.0.9:443", "nat"),
    Line("Error: listen EADDRINUSE: address already in use :::3000", TAKEN, "listen", None, "port-owned"),
    Line("Error: connect ECONNREFUSED 127.0.0.1:5432", "ECONNREFUSED", "connect", "127.0.0.1:5432", "no-listener"),
    Line("Error: EMFILE: too many open files, open '/srv/index.html'", TOO_MANY, "", None, "files"),
    Line("Error: read ECONNRESET", "ECONNRESET", "", None, "accept-queue reset"),
    Line("Error: write EPIPE", "EPIPE", "", None, "reset"),
    # nginx, HAProxy, Envoy, Redis, PostgreSQL, MySQL
    Line(
        f"{NGINX}connect() to 10.0.0.9:8080 failed (99: Cannot assign requested address) while connecting to upstream",
        FULL,
        "connect",
        "10.0.0.9:8080",
        "port-range",
    ),
    Line(
        f"{NGINX}connect() failed (110: Connection timed out) while connecting to upstream{NGINX_MORE}",
        "ETIMEDOUT",
        "connect",
        "10.0.0.9:8080",
        "accept-queue",
    ),
    Line(f"{NGINX}accept4() failed (24: Too many open files)", TOO_MANY, "", None, "files"),
    Line(
        "nginx: [emerg] bind() to 0.0.0.0:80 failed (98: Address already in use)",
        TAKEN,
        "bind",
        "0.0.0.0:80",
        "port-owned",
    ),
    Line(
        "upstream connect error or disconnect/reset before headers. reset reason: delayed connect error: 99",
        FULL,
        "connect",
        None,
        "port-range",
    ),
    Line(
        "Could not connect to Redis at 10.0.0.9:6379: Cannot assign requested address", FULL, "connect", "10.0.0.9:6379"
    ),
    Line(POSTGRES, FULL, "connect", None, "port-range"),
    Line("Can't connect to MySQL server on '10.0.0.9:3306' (99)", FULL, "connect", "10.0.0.9:3306", "port-range"),
    # Erlang, Java, Rust
    Line('{failed_connect,[{to_address,{"10.0.0.9",80}},{inet,[inet],eaddrnotavail}]}', FULL, "", None, "port-range"),
    Line("java.net.BindException: Address already in use", TAKEN, "", None, "port-owned bound-first"),
    Line("java.net.BindException: Cannot assign requested address (Bind failed)", FULL, "bind", None, "no-such-source"),
    Line("java.net.SocketException: Too many open files", TOO_MANY, "", None, "files"),
    Line("java.net.NoRouteToHostException: Cannot assign requested address (Address not available)", FULL),
    Line("java.net.NoRouteToHostException: No route to host", "EHOSTUNREACH", "", None, "no-way firewall neighbours"),
    Line("java.net.SocketTimeoutException: connect timed out", "ETIMEDOUT", "connect", None, "accept-queue"),
    Line("java.lang.OutOfMemoryError: unable to create new native thread", causes="threads"),
    Line(
        'Os { code: 99, kind: AddrNotAvailable, message: "Cannot assign requested address" }',
        FULL,
        "",
        None,
        "port-range",
    ),
    # curl, ab, wrk, strace, shells
    Line(
        "curl: (7) Failed to connect to 10.0.0.9 port 8080 after 0 ms: Cannot assign requested address", FULL, "connect"
    ),
    Line("curl: (28) Connection timed out after 3001 milliseconds", "ETIMEDOUT", "", None, "conntrack"),
    Line("curl: (45) bind failed with errno 99: Cannot assign requested address", FULL, "bind", None, "no-such-source"),
    Line("apr_socket_recv: Connection reset by peer (104)", "ECONNRESET", "", None, "accept-queue"),
    Line("unable to connect to 10.0.0.9:http Cannot assign requested address", FULL, "connect", None, "time-wait"),
    Line(STRACE, FULL, "connect", None, "port-range"),
    Line("bash: ulimit: open files: cannot modify limit: Operation not permitted", "EPERM", "", None, "nr-open"),
    Line("bash: fork: retry: Resource temporarily unavailable", "EAGAIN", "", None, "threads"),
    # kernels
    Line("nf_conntrack: nf_conntrack: table full, dropping packet", causes="conntrack"),
    Line("neighbour: arp_cache: neighbor table overflow!", causes="neighbours"),
    Line("Neighbour table overflow.", causes="neighbours"),
    Line(
        "TCP: request_sock_TCP: Possible SYN flooding on port 8080. Sending cookies.", causes="syn-queue accept-queue"
    ),
    Line("    129 times the listen queue of a socket overflowed", call="listen", causes="accept-queue"),
    Line("VFS: file-max limit 100000 reached", causes="file-max"),
    Line("TCP: too many orphaned sockets", causes="orphans"),
    Line("TCP: time wait bucket table overflow", causes="tw-buckets"),
    Line("TCP: out of memory -- consider tuning tcp_mem", causes="tcp-mem"),
    Line("Out of memory: Killed process 4121 (app) total-vm:16777216kB, anon-rss:8388608kB", causes="memory"),
    Line("Memory cgroup out of memory: Killed process 4121 (app)", causes="memory"),
    # Windows, clouds
    Line(f"[WinError 10048] {WINDOWS}", "", "socket", None, "other-system"),
    Line(WINDOWS_FULL, "ENOBUFS", "socket", None, "other-system"),
    Line("ErrorPortAllocation", causes="nat"),
    Line("SNAT port exhaustion on the load balancer", causes="nat"),
    # not of connections: a word that an errno's name is a part of
    Line("the openfile module was loaded"),
    Line("kubelet: tokenfile was read again"),
    # numbers, in sentences
    Line("it stops at 28,232 connections", number=28_232, causes="port-range"),
    Line("stops at 28 232 connections", number=28_232, causes="port-range"),
    Line("28_232 open, then nothing", number=28_232, causes="port-range"),
    Line("it never gets past 28'232 of them", number=28_232, causes="port-range"),
    Line("Connections stop at 28232.", number=28_232, causes="port-range"),
    Line("stuck at 1,048,576 connections", number=1_048_576, causes="nr-open"),
    Line("2026-03-01 12:00:00 worker: no more than 1021 connections", number=1021, causes="files files-there select"),
    Line("at most 55,000 to that host", number=55_000, causes="nat"),
]


@pytest.mark.parametrize("line", LINES, ids=lambda line: " ".join(line.text.split())[:50])
def test_a_line_is_understood(line: Line) -> None:
    saying = read_saying(line.text)
    said = name_of(saying.errno) if saying.errno else ""

    assert (said, saying.call, saying.target, saying.number) == (line.errno, line.call, line.target, line.number)
    assert set(line.causes.split()) <= set(causes(line.text))


def test_there_are_many_of_them() -> None:
    assert len({line.text for line in LINES}) == len(LINES) >= 40


@pytest.mark.parametrize(
    ("text", "port"),
    [
        ("listen tcp :8080: bind: address already in use", 8080),
        ("Error: listen EADDRINUSE: address already in use :::3000", 3000),
        ("12:34:56 Error: listen EADDRINUSE: address already in use :::3000", 3000),
        ("nginx: [emerg] bind() to 0.0.0.0:80 failed (98: Address already in use)", 80),
        ("nginx: [emerg] bind() to [::]:80 failed (98: Address already in use)", 80),
        ("[Errno 98] error while attempting to bind on address ('127.0.0.1', 8000): address already in use", 8000),
        ("could not bind, port 5432 is in use: Address already in use", 5432),
        ("dial tcp 10.0.0.4:5000->10.0.0.9:80: bind: address already in use", 5000),
        ("dial tcp 10.0.0.4:0->10.0.0.9:80: bind: address already in use", None),
        ("bind: Address already in use", None),
        ("bind :99999: Address already in use", None),
        ("dial tcp 10.0.0.9:80: connect: cannot assign requested address", None),
    ],
)
def test_the_port_that_bind_wanted(text: str, port: int | None) -> None:
    """The local one: not the destination's, nor the minutes of a clock."""
    assert read_saying(text).port == port


@pytest.mark.parametrize("text", ["28232", "28,232", "28 232", "28_232", "28'232", " 28232\n"])
def test_a_bare_number_is_where_it_stops(text: str) -> None:
    saying = read_saying(text)

    assert (saying.number, saying.errno) == (28_232, 0)
    assert saying.text == text.strip()


@pytest.mark.parametrize("text", ["99", "EADDRNOTAVAIL", "eaddrnotavail", " 99 "])
def test_a_bare_errno_is_one(text: str) -> None:
    saying = read_saying(text)

    assert (saying.number, saying.errno, saying.call, saying.causes) == (None, errno.EADDRNOTAVAIL, "", ())


def test_of_small_numbers_those_are_errnos_that_are_explained() -> None:
    """64 is ENONET, of which nobody speaks, and what Google's NAT gives a machine."""
    assert (read_saying("110").errno, read_saying("110").number) == (errno.ETIMEDOUT, None)
    assert (read_saying("64").errno, read_saying("64").number) == (0, 64)
    assert causes("64") == ["nat"]


@pytest.mark.parametrize("text", ["", " ", "\n\t"])
def test_nothing_is_told_so(text: str) -> None:
    with pytest.raises(UsageError):
        read_saying(text)


def test_of_a_very_long_text_the_beginning_is_read() -> None:
    tail = "x" * MOST_CHARACTERS + " cannot assign requested address"

    assert read_saying(tail).errno == 0
    assert read_saying(tail[::-1][:10] + " cannot assign requested address" + tail).errno == errno.EADDRNOTAVAIL


@pytest.mark.parametrize("text", ["1" * 5000, "it stops at 1" + ",000" * 2000])
def test_a_number_without_end_is_explained_by_nothing(text: str) -> None:
    assert causes(text) == []


PIECES = st.sampled_from(
    [
        *(line.text for line in LINES),
        *("10.0.0.9:80", "999.1.1.1:80", "[fd00::9]:443", "[::::]:1", "1.2.3.4:99999", ":::3000", "Errno 99", "(99: "),
        *(
            "errno 99999",
            "28,232",
            "٢٨٢٣٢",
            "²",
            "bind",
            "listen tcp :0",
            "port 70000",
            "[Errno",
            "->",
            "1,000,000,000",
        ),
    ]
)


@settings(deadline=None)
@given(
    st.one_of(st.text(), st.lists(st.one_of(PIECES, st.text(max_size=5))).map(" ".join), st.lists(PIECES).map("".join))
)
def test_no_text_is_too_strange(text: str) -> None:
    """It is understood, or not; the only complaint is that there is none."""
    if not text.strip():
        return
    why = asked(text, WORLD, ports=PORTS)

    said = why.to_json()["saying"]

    assert why.saying.errno in {0, *errno.errorcode}
    assert said["errno"] == ("" if why.saying.errno == 0 else errno.errorcode[why.saying.errno])
    assert (said["number"], said["text"]) == (why.saying.number, why.saying.text)
    assert (why.saying.number is None) or why.saying.errno == 0  # it is the one or the other


# The tables.


def test_every_cause_that_a_table_names_is_there() -> None:
    named = {cause for plateau in PLATEAUS for cause in plateau.causes}
    named |= {cause for message in MESSAGES for cause in message.causes}
    named |= {cause for row in ERRNOS.values() for cause in row}

    assert named | {name for name, cause in CAUSES.items() if cause.stops_at is not nowhere} == set(CAUSES)


@pytest.mark.parametrize("name", CAUSES)
def test_every_cause_can_be_come_to_by_a_text(name: str) -> None:
    """By a number, an errno with its call, or words that the pattern was made for."""
    numbers = [str(plateau.first) for plateau in PLATEAUS if name in plateau.causes]
    errnos = [f"{call}() failed: {name_of(number)}" for (call, number), row in ERRNOS.items() if name in row]
    lines = [line.text for line in LINES if name in line.causes.split()]

    assert any(name in causes(text) for text in [*numbers, *errnos, *lines])


@pytest.mark.parametrize("message", MESSAGES, ids=lambda message: message.pattern[:40])
def test_every_message_has_a_line_that_it_was_made_for(message: Message) -> None:
    """Or else what the C library calls its errno, in a sentence; it says what the table says."""
    texts = [*(line.text for line in LINES), f"it failed: {os.strerror(message.number)}"]
    sayings = [read_saying(text) for text in texts if re.search(message.pattern, text, re.IGNORECASE)]

    assert any(set(message.causes) <= set(saying.causes) for saying in sayings)
    assert not message.number or message.number in [saying.errno for saying in sayings]


def test_plateaus_are_in_order() -> None:
    assert all(plateau.first <= plateau.last and plateau.says and plateau.causes for plateau in PLATEAUS)
    assert all(one.last < other.first for one, other in itertools.pairwise(PLATEAUS))


@pytest.mark.parametrize("plateau", PLATEAUS, ids=lambda plateau: str(plateau.first))
def test_a_plateau_reaches_from_its_first_number_to_its_last(plateau: Plateau) -> None:
    """Numbers that are errnos as well are asked about in words."""
    for number in (plateau.first, plateau.last):
        found = asked(f"it stops at {number} connections") if number >= 100 else asked(str(number))
        assert plateau.says in found.means
        assert set(plateau.causes) <= {each.cause for each in found.explanations}
    for number in (plateau.first - 1, plateau.last + 1):
        assert plateau.says not in asked(f"{number:,} connections").means


def test_every_cause_says_what_it_is_and_what_to_do() -> None:
    assert all(cause.says.strip() and cause.do and all(map(str.strip, cause.do)) for cause in CAUSES.values())


# Evidence.


def pair(used: int, time_wait: int = 0) -> PairCount:
    return PairCount(
        role=Role.CLIENT,
        source="10.0.0.4",
        destination="10.0.0.9:80",
        established=used - time_wait,
        time_wait=time_wait,
        other=0,
        close_wait=0,
        used=used,
        usable=None,
        percent=None,
        left=None,
        owners=Owners(),
    )


def sysctls(**values: int) -> World:
    """`fs__nr_open` stands for fs.nr_open."""
    return replace(WORLD, sysctls={name.replace("__", "."): str(value) for name, value in values.items()})


CONNTRACK_FULL = sysctls(net__netfilter__nf_conntrack_max=1000, net__netfilter__nf_conntrack_count=990)
CONNTRACK_EMPTY = sysctls(net__netfilter__nf_conntrack_max=1000, net__netfilter__nf_conntrack_count=9)
OUT_OF_PORTS = "dial tcp 10.0.0.9:80: connect: cannot assign requested address"


def test_connection_tracking_that_is_full_comes_first() -> None:
    assert causes("ETIMEDOUT", CONNTRACK_FULL)[0] == "conntrack"
    assert causes("ETIMEDOUT", CONNTRACK_EMPTY)[0] == "accept-queue"
    assert causes("ETIMEDOUT", replace(CONNTRACK_EMPTY, counters={"nf_conntrack.drop": 3}))[0] == "conntrack"


def test_a_queue_that_is_full_comes_first() -> None:
    """Also before connection tracking that is nearly full."""
    full = asked("ETIMEDOUT", CONNTRACK_FULL, full=["127.0.0.1:80 129 of 129"]).explanations

    assert [each.cause for each in full[:2]] == ["accept-queue", "conntrack"]
    assert full[0].speaks_for[0].endswith("127.0.0.1:80 129 of 129")


def test_syns_that_were_dropped_speak_for_the_queue_of_syns() -> None:
    dropped = replace(WORLD, counters={"TCPReqQFullDrop": 5, "TCPReqQFullDoCookies": 7})

    assert causes("ETIMEDOUT", dropped)[0] == "syn-queue"


def test_a_neighbour_table_that_is_full_comes_first() -> None:
    world = replace(sysctls(net__ipv4__neigh__default__gc_thresh3=1024), neighbours=1024)

    assert causes("no route to host", world)[0] == "neighbours"
    assert causes("no route to host", replace(world, neighbours=1))[-1] == "neighbours"


def test_ports_that_are_used_up_come_first_where_they_are() -> None:
    """Then it is not the source address; and the other way round where they are free."""
    used_up = causes(OUT_OF_PORTS, WORLD, ports=PORTS, pair=pair(28_232))
    free = causes(OUT_OF_PORTS, WORLD, ports=PORTS, pair=pair(100))

    assert used_up[0] == "port-range"
    assert free.index("no-such-source") < free.index("port-range")
    assert used_up.index("no-such-source") > used_up.index("bound-first")


def test_what_is_mostly_time_wait_is_short_connections() -> None:
    """Where most of them wait that comes first, before the range they fill; where nobody waits, last."""
    many = asked(OUT_OF_PORTS, WORLD, ports=PORTS, pair=pair(20_000, 18_000)).explanations
    none = causes(OUT_OF_PORTS, WORLD, ports=PORTS, pair=pair(28_232, 0))
    full, few = (causes(OUT_OF_PORTS, WORLD, ports=PORTS, pair=pair(28_232, count)) for count in (28_000, 9_000))

    assert many[0].cause == full[0] == "time-wait"
    assert few[:2] == ["port-range", "time-wait"]
    (evidence,) = many[0].speaks_for
    assert numbers(evidence) == [18_000, 20_000]
    assert ["10.0.0.9:80" in evidence, "TIME_WAIT" in evidence] == [True, True]
    assert "471/s" in many[0].besides[0]
    assert none.index("time-wait") > none.index("same-tuple")


def test_ports_that_are_held_by_bind_are_a_program_that_binds_first() -> None:
    held = replace(PORTS, ceiling=10_000, room=Interval.of(10_000), blocked=18_232)

    assert causes(OUT_OF_PORTS, WORLD, ports=held)[0] == "bound-first"


def test_bind_that_fails_without_a_port_of_its_own_is_a_program_that_binds_first() -> None:
    """The destination's port is nobody's business there, whoever listens on it here."""
    line = "dial tcp 10.0.0.4:0->10.0.0.9:80: bind: address already in use"
    holders = ["LISTEN 0.0.0.0:80, nginx (7)"] if read_saying(line).port == 80 else []

    assert causes(line, WORLD, ports=replace(PORTS, blocked=3000), holders=holders)[0] == "bound-first"


def test_who_has_the_port_is_named() -> None:
    found = asked("listen tcp :8080: bind: address already in use", WORLD, holders=["LISTEN 0.0.0.0:8080, app (7)"])

    assert found.explanations[0].cause == "port-owned"
    (evidence,) = found.explanations[0].speaks_for
    assert evidence.endswith("LISTEN 0.0.0.0:8080, app (7)")
    nobody = asked("listen tcp :40000: bind: address already in use", WORLD).explanations
    inside = next(each for each in nobody if each.cause == "port-owned")
    assert [numbers(each) for each in inside.speaks_against] == [[40_000]]
    assert [numbers(each) for each in inside.speaks_for] == [[40_000]]


def test_files_of_the_process_are_it_where_its_limit_is_there() -> None:
    """1,021 connections: with a limit of 1,024 it is this end, with one of 20,000 the other."""
    small = replace(WORLD, process=replace(PROCESS, files_soft=1024, files_open=1020))

    assert causes("1,021 connections", small)[0] == "files"
    assert causes("1,021 connections")[0] == "files"
    assert causes("1,021 connections", WORLD)[0] != "files"
    assert causes("1,021 connections", WORLD).index("files-there") < causes("1,021 connections", WORLD).index("files")


def test_two_files_for_each_connection() -> None:
    """As in a proxy: it stops at half of the limit."""
    proxy = replace(WORLD, process=replace(PROCESS, files_soft=6000, files_open=5990))

    assert causes("2,995 connections", proxy) == ["files"]


@pytest.mark.parametrize(
    ("number", "world", "cause"),
    [
        (28_232, WORLD, "port-range"),
        (14_116, WORLD, "half-range"),
        (20_000, WORLD, "files"),
        (7_777, sysctls(net__netfilter__nf_conntrack_max=7_777), "conntrack"),
        (7_778, sysctls(net__core__somaxconn=7_777), "accept-queue"),
        (7_777, sysctls(fs__nr_open=7_777), "nr-open"),
        (7_777, sysctls(fs__epoll__max_user_watches=7_777), "watches"),
        (5_000, replace(WORLD, ports=PortFacts(range(40_000, 45_000), Ranges([]))), "port-range"),
    ],
)
def test_a_number_that_is_a_limit_of_this_host_is_that_limit(number: int, world: World, cause: str) -> None:
    """Whatever it is elsewhere, and with a few less, which listeners and libraries take; not with 65 less."""
    assert causes(f"{number:,}", world)[0] == cause
    assert causes(f"{number - 64:,}", world)[0] == cause
    assert cause not in causes(f"{number - 67:,}", world)[:1]


def test_a_queue_of_this_host_stops_at_its_backlog_and_one() -> None:
    assert causes("333 connections", queue=Queue(1, 0, 333, 332))[0] == "accept-queue"


def test_a_target_that_is_not_listened_at_refuses() -> None:
    refused = "connect: connection refused 10.0.0.9:80"

    assert causes(refused, listens=False)[0] == "no-listener"
    assert causes(refused, listens=True) == ["firewall", "no-listener"]


@pytest.mark.parametrize(("target", "first"), [("8.8.8.8:80", "nat"), ("10.0.0.9:80", "accept-queue")])
def test_a_router_is_thought_of_where_the_address_is_public(target: str, first: str) -> None:
    assert causes(f"dial tcp {target}: i/o timeout")[0] == first


def test_what_speaks_neither_for_nor_against_is_said_besides() -> None:
    nat = next(each for each in asked("dial tcp 8.8.8.8:80: i/o timeout").explanations if each.cause == "nat")

    assert nat.score == 1
    assert ["8.8.8.8:80" in each for each in nat.speaks_for] == [True]
    assert ["--nat" in each for each in nat.besides] == [True]
    assert nat.speaks_against == ()


@pytest.mark.parametrize(
    ("text", "only"),
    [
        ("bind: cannot assign requested address", ["no-such-source"]),
        ("listen EADDRINUSE: address already in use", ["port-owned"]),
        ("setrlimit: operation not permitted", ["nr-open"]),
        ("accept: cannot assign requested address", causes("EADDRNOTAVAIL")),
    ],
)
def test_the_call_that_failed_narrows_it(text: str, only: list[str]) -> None:
    """Of bind() it is not the range; a call of which nothing is known says no more than the errno."""
    assert causes(text) == only


def test_a_cause_comes_once() -> None:
    """The words lead to it, the errno too."""
    found = causes("can't assign requested address")

    assert sorted(found) == sorted(set(found))
    assert {"other-system", "port-range", "no-such-source"} <= set(found)


# What is not known.


@pytest.mark.parametrize("text", ["hello", "the quick brown fox", "ELOOP", "HTTP 404"])
def test_what_nobody_knows_has_no_explanation(text: str) -> None:
    why = asked(text, WORLD)

    assert why.explanations == ()
    assert why.means == ()


def test_a_number_that_nobody_knows_is_told_the_limits_next_to_it() -> None:
    ceilings = {"small": 100, "below": 7_000, "above": 8_000, "large": 10**6}
    why = judge(Saying("7777", number=7_777), Scene(world=WORLD, number=7_777), ceilings, {})

    assert why.explanations == ()
    (means,) = why.means
    assert re.findall(r"(\w+), ([\d,]+)", means) == [("below", "7,000"), ("above", "8,000")]


@pytest.mark.parametrize(
    ("ceilings", "says"),
    [({"below": 10}, ("below, 10",)), ({"above": 10_000}, ("above, 10,000",)), ({}, ())],
)
def test_next_to_a_number_there_may_be_one_limit_or_none(ceilings: dict[str, int], says: tuple[str, ...]) -> None:
    means = judge(Saying("7777", number=7_777), Scene(world=WORLD, number=7_777), ceilings, {}).means

    assert [each.endswith(said) for each, said in zip(means, says, strict=True)] == [True] * len(says)


def test_what_the_errno_means_comes_first() -> None:
    assert asked("EMFILE").means == (symptom_of(errno.EMFILE).limit,)
    assert "RLIMIT_NOFILE" in symptom_of(errno.EMFILE).limit


def test_as_json_the_errno_is_a_name() -> None:
    said = judge(read_saying(OUT_OF_PORTS), Scene(world=WORLD), {}, {"open files": "root may read it"}).to_json()

    assert said["saying"]["errno"] == FULL
    assert said["saying"]["target"] == "10.0.0.9:80"
    assert said["unknown"] == {"open files": "root may read it"}
    assert asked("28232").to_json()["saying"]["errno"] == ""
