"""Which causes a text leads to, and how the evidence of a host orders them."""

import itertools
import re
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fourtuple.core.census.records import PairCount
from fourtuple.core.errnos import SYMPTOMS
from fourtuple.core.limits.cures import Cure, Needs
from fourtuple.core.limits.facts import PortFacts, World
from fourtuple.core.limits.ports import PortRoom
from fourtuple.core.limits.verdicts import Queue
from fourtuple.core.sockets.owners import Owners
from fourtuple.core.sockets.role import Role
from fourtuple.core.space.endpoints import Endpoint
from fourtuple.core.space.interval import Interval
from fourtuple.core.space.ranges import Ranges
from fourtuple.core.why.catalogue.rows import catalogue, phrases
from fourtuple.core.why.causes import ADVISED, CAUSES, SESSIONS
from fourtuple.core.why.findings import Finding, System
from fourtuple.core.why.judge import OF_SESSION, OPEN, Explained, Why, judge
from fourtuple.core.why.leads import ERRORS, PLATEAUS, WITH_WORDS, Plateau, target_of, toward_of
from fourtuple.core.why.reader import PHRASES, read_findings
from fourtuple.core.why.reader.states import CAUSES_OF
from fourtuple.core.why.scene import Bearing, Scene, UnixQueue, advised, nowhere
from fourtuple.faces.text.why import why_lines
from tests.core.quiet import PROCESS, WORLD
from tests.told import numbers

NOTHING_KNOWN = replace(WORLD, ports=None, process=replace(PROCESS, files_soft=None, files_open=None))
PORT_FACTS = PortFacts(range(32_768, 61_000), Ranges([]))
PORTS = PortRoom(1, 28_232, 0, Interval.of(28_232), (), (), 0, 0, 0, 0)


def judged(text: str, world: World = NOTHING_KNOWN, bearing: Bearing = Bearing.NOW, **scene: Any) -> Why:
    """What `why` says of a text, where nothing else is known."""
    findings = read_findings([text], (*PHRASES, *phrases()))
    known: dict[str, Any] = {"asked": True} | scene
    scenes = [Scene(world, each, bearing, **({"target": target_of(each)} | known)) for each in findings]
    return judge(scenes, {}, {}, rows=catalogue())


def asked(text: str, world: World = NOTHING_KNOWN, bearing: Bearing = Bearing.NOW, **scene: Any) -> Explained:
    """The one failure that the text reports."""
    (found,) = judged(text, world, bearing, **scene).findings
    return found


def causes(text: str, world: World = NOTHING_KNOWN, bearing: Bearing = Bearing.NOW, **scene: Any) -> list[str]:
    """The likeliest first."""
    return [each.cause for each in asked(text, world, bearing, **scene).explanations]


# The tables.


def test_every_cause_that_a_table_names_is_there() -> None:
    named = {cause for plateau in PLATEAUS for cause in plateau.causes}
    named |= {cause for row in (*ERRORS.values(), *WITH_WORDS.values()) for cause in row}
    named |= {cause for phrase in PHRASES for cause in phrase.causes}

    assert named - set(CAUSES) == set()


@pytest.mark.parametrize("name", CAUSES)
def test_every_cause_can_be_come_to_by_a_text(name: str) -> None:
    """By a number, an errno, the words of a text, or a limit of this host."""
    by_number = {cause for plateau in PLATEAUS for cause in plateau.causes}
    by_errno = {cause for row in ERRORS.values() for cause in row}
    by_words = {cause for phrase in PHRASES for cause in phrase.causes}
    by_words |= {cause for row in WITH_WORDS.values() for cause in row}

    by_state = {cause for causes in CAUSES_OF.values() for cause in causes}

    assert name in by_number | by_errno | by_words | by_state or CAUSES[name].stops_at is not nowhere


def test_every_cause_says_what_it_is_and_what_to_do() -> None:
    assert all(cause.says.strip() and cause.cures for cause in CAUSES.values())
    assert all(cure.do.strip() for cause in CAUSES.values() for cure in cause.cures)


def test_settings_of_the_host_say_that_they_need_root() -> None:
    cures = [cure for cause in CAUSES.values() for cure in cause.cures if cure.do.startswith("sysctl -w")]

    assert {cure.needs for cure in cures} == {Needs.ROOT}
    assert not any("tcp_tw_recycle=1" in cure.do for cause in CAUSES.values() for cure in cause.cures)


def test_plateaus_are_in_order() -> None:
    assert all(plateau.first <= plateau.last and plateau.says and plateau.causes for plateau in PLATEAUS)
    assert all(one.last < other.first for one, other in itertools.pairwise(PLATEAUS))


@pytest.mark.parametrize("plateau", PLATEAUS, ids=lambda plateau: str(plateau.first))
def test_a_plateau_reaches_from_its_first_number_to_its_last(plateau: Plateau) -> None:
    for number in (plateau.first, plateau.last):
        found = asked(f"it stops at {number} connections")
        assert plateau.says in found.means
        assert set(plateau.causes) <= {each.cause for each in found.explanations}
    for number in (plateau.first - 1, plateau.last + 1):
        assert plateau.says not in asked(f"it stops at {number:,} connections").means


@pytest.mark.parametrize("text", ["28k", "it stops at about 28,000 connections", "28,200"])
def test_a_number_that_people_round_is_the_one_that_they_mean(text: str) -> None:
    assert causes(text)[0] == "port-range"
    assert causes("27,000") == causes("29,500") == []


def test_of_small_numbers_those_are_errnos_that_are_explained() -> None:
    """64 is ENONET, of which nobody speaks, and what Google's NAT gives a machine."""
    assert asked("110").finding.error == "ETIMEDOUT"
    assert causes("64")[0] == "nat"


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
    assert full[0].evidence[0].endswith("127.0.0.1:80 129 of 129")


@pytest.mark.parametrize(
    "text", ["ECONNRESET", "Error: read ECONNRESET", "java.io.IOException: Connection reset by peer"]
)
@pytest.mark.parametrize(("resets", "first"), [(0, "reset"), (None, "reset"), (1, "accept-queue")])
def test_a_queue_that_is_full_resets_only_where_it_is_set_to(text: str, resets: int | None, first: str) -> None:
    """With net.ipv4.tcp_abort_on_overflow=0, the default, it drops; a peer that closes is the cause of a reset."""
    world = sysctls() if resets is None else sysctls(net__ipv4__tcp_abort_on_overflow=resets)
    found = asked(text, world, full=["127.0.0.1:80 129 of 129"]).explanations

    assert found[0].cause == first
    queue = next(each for each in found if each.cause == "accept-queue")
    assert bool(queue.evidence) == (resets == 1)
    assert len(queue.against) == (resets == 0)


def test_what_all_listeners_dropped_is_no_evidence_where_another_one_is_full() -> None:
    dropped = replace(WORLD, counters={"ListenOverflows": 1200})

    for elsewhere in (False, True):
        found = asked("ETIMEDOUT 127.0.0.1:80", dropped, local=True, full_elsewhere=elsewhere).explanations
        assert bool(next(each for each in found if each.cause == "accept-queue").evidence) != elsewhere


@pytest.mark.parametrize(
    ("destination", "is_it"),
    [
        ("", True),
        ("10.0.0.9:80", True),
        ("10.0.0.9", True),
        ("api.example.internal:80", True),
        ("10.0.0.9:81", False),
        ("10.0.0.8:80", False),
        ("10.0.0.8", False),
        ("api.example.internal:443", False),
        ("api.example.internal", False),
        ("localhost:80", False),
        ("/run/app.sock", False),
        ("unix:@name", False),
        ("[fd00::9]:80", False),
    ],
)
def test_what_a_host_says_of_another_destination_is_no_evidence(destination: str, is_it: bool) -> None:
    """A text that names a destination is about that one, whether or not its name can be resolved here."""
    assert toward_of(Finding(destination=destination)).may_be(Endpoint.parse("10.0.0.9:80")) == is_it


def test_a_leak_to_another_destination_is_no_evidence() -> None:
    named, any_of_them = (asked(text, close_wait=90).explanations for text in (OUT_OF_PORTS, "EADDRNOTAVAIL"))

    for found, is_evidence in ((named, False), (any_of_them, True)):
        assert bool(next(each for each in found if each.cause == "close-wait").evidence) == is_evidence


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
    (evidence,) = many[0].evidence
    assert numbers(evidence) == [18_000, 20_000]
    assert ["10.0.0.9:80" in evidence, "TIME_WAIT" in evidence] == [True, True]
    assert "471/s" in many[0].notes[0]
    assert none.index("time-wait") > none.index("same-tuple")


@pytest.mark.parametrize(
    ("tw_reuse", "timestamps", "source", "reuses"),
    [
        (2, True, "127.0.0.1", True),
        (2, True, "10.0.0.4", False),
        (1, True, "10.0.0.4", True),
        (1, False, "127.0.0.1", False),
        (0, True, "127.0.0.1", False),
    ],
)
def test_ports_in_time_wait_that_connect_reuses_are_not_taken(
    tw_reuse: int, timestamps: bool, source: str, reuses: bool
) -> None:
    """They are free after 1 s; the rate follows from that, and what is set already is not advised."""
    facts = replace(PORT_FACTS, tw_reuse=tw_reuse, timestamps=timestamps)
    world = replace(WORLD, ports=facts, sysctls={"net.ipv4.tcp_tw_reuse": str(tw_reuse)})
    waiting = replace(pair(28_232, 28_000), source=source, destination=f"{source}:80")
    found = asked("EADDRNOTAVAIL", world, ports=PORTS, pair=waiting).explanations
    best = found[0]

    assert best.cause == "time-wait"
    assert any("28,232/s" in note for note in best.notes) == reuses
    assert any("471/s" in note for note in best.notes) != reuses
    assert any("tcp_tw_reuse=1" in cure.do for cure in best.cures) == (tw_reuse != 1 and not reuses)
    assert any("tcp_timestamps=1" in cure.do for cure in best.cures) != timestamps
    taken = next(each for each in found if each.cause == "port-range")
    assert bool(taken.evidence) != reuses


@pytest.mark.parametrize(
    ("advice", "now", "has"),
    [
        ("sysctl -w net.ipv4.tcp_syncookies=1", 1, True),
        ("sysctl -w net.ipv4.tcp_syncookies=1", 0, False),
        ("sysctl -w net.ipv4.tcp_tw_reuse=1: connect()", 2, False),
        ("sysctl -w vm.max_map_count=262144", 1_048_576, True),
        ("sysctl -w vm.max_map_count=262144", 65_530, False),
        ("sysctl -w net.ipv4.tcp_fin_timeout=15 ends", 10, True),
        ("sysctl -w net.ipv4.tcp_fin_timeout=15 ends", 60, False),
        ("sysctl -w net.netfilter.nf_conntrack_max=…", 10, False),
    ],
)
def test_a_setting_that_is_in_force_is_not_advised(advice: str, now: int, has: bool) -> None:
    """On the host that is asked; what another host has set is not known."""
    name = advice.split()[2].partition("=")[0]
    scene = Scene(replace(WORLD, sysctls={name: str(now)}))

    assert scene.has(Cure(advice)) == has
    assert not replace(scene, bearing=Bearing.THEN).has(Cure(advice))


def test_every_setting_that_a_remedy_advises_is_read_and_left_out_where_it_is_in_force() -> None:
    for cause in CAUSES.values():
        for cure in cause.cures:
            settings = advised(cure)
            assert {name for name, _ in settings} <= ADVISED
            world = replace(WORLD, ports=None, sysctls=dict(settings))
            assert not settings or cure not in cause.cures_in(Scene(world))


@pytest.mark.parametrize(
    ("single", "used", "is_it"), [(28_232, 7_000, True), (5, 7_000, False), (28_232, 27_000, False)]
)
def test_ports_with_one_connection_each_are_bound_only_if_one_reading_shows_them(
    single: int, used: int, is_it: bool
) -> None:
    """Not if they were read before most of TIME_WAIT ended, nor if one destination has nearly all of them."""
    ports = replace(PORTS, unattributed=28_232)
    found = asked(OUT_OF_PORTS, WORLD, ports=ports, pair=pair(used), destinations=4, single=single).explanations

    assert any("4 destinations" in each for one in found for each in one.evidence) == is_it


def test_ports_that_are_held_by_bind_are_a_program_that_binds_first() -> None:
    held = replace(PORTS, ceiling=10_000, room=Interval.of(10_000), blocked=18_232)

    assert causes(OUT_OF_PORTS, WORLD, ports=held)[0] == "bound-first"


def test_bind_that_fails_without_a_port_of_its_own_is_a_program_that_binds_first() -> None:
    """The destination's port is nobody's business there, whoever listens on it here."""
    line = "dial tcp 10.0.0.4:0->10.0.0.9:80: bind: address already in use"
    holders = ["LISTEN 0.0.0.0:80, nginx (7)"] if asked(line).finding.port == 80 else []

    assert causes(line, WORLD, ports=replace(PORTS, blocked=3000), holders=holders)[0] == "bound-first"


def test_who_has_the_port_is_named() -> None:
    found = asked("listen tcp :8080: bind: address already in use", WORLD, holders=["LISTEN 0.0.0.0:8080, app (7)"])

    assert found.explanations[0].cause == "port-owned"
    (evidence,) = found.explanations[0].evidence
    assert evidence.endswith("LISTEN 0.0.0.0:8080, app (7)")
    nobody = asked("listen tcp :40000: bind: address already in use", WORLD).explanations
    inside = next(each for each in nobody if each.cause == "port-owned")
    assert [numbers(each) for each in inside.against] == [[40_000]]
    assert [numbers(each) for each in inside.evidence] == [[40_000]]


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
    assert ["8.8.8.8:80" in each for each in nat.evidence] == [True]
    assert ["--nat" in each for each in nat.notes] == [True]
    assert nat.against == ()


@pytest.mark.parametrize(
    ("text", "only"),
    [
        ("bind: cannot assign requested address", ["no-such-source"]),
        ("listen EADDRINUSE: address already in use", ["port-owned"]),
        ("setrlimit: operation not permitted", ["hard-limit", "nr-open"]),
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


# Whose and of when the evidence is.


def test_what_a_host_says_now_does_not_bear_on_a_log_of_then() -> None:
    """Neither for nor against: the order stays, and what the host says is shown apart."""
    then = asked(OUT_OF_PORTS, WORLD, Bearing.THEN, ports=PORTS, pair=pair(100))
    nothing = causes(OUT_OF_PORTS, bearing=Bearing.THEN)

    assert [each.cause for each in then.explanations] == nothing
    assert [(each.evidence, each.against) for each in then.explanations] == [((), ())] * len(nothing)
    assert any(numbers(each)[:2] == [100, 28_232] for each in then.host_now)
    assert not then.here_now


def test_of_a_text_without_a_time_only_what_supports_counts() -> None:
    """Ports that are free now may have been used up a minute ago."""
    free = asked(OUT_OF_PORTS, WORLD, Bearing.PERHAPS, ports=PORTS, pair=pair(100))
    full = asked(OUT_OF_PORTS, WORLD, Bearing.PERHAPS, ports=PORTS, pair=pair(28_232))

    assert free.explanations[0].cause == "port-range"
    assert [each.against for each in free.explanations] == [()] * len(free.explanations)
    assert full.explanations[0].evidence


def test_limits_of_this_program_are_no_evidence() -> None:
    """Only those of the process in question."""
    assert "files" not in causes("20,000", WORLD, asked=False)[:1]
    assert causes("20,000", WORLD, asked=True)[0] == "files"


# A share, not a count.


@pytest.mark.parametrize("used", [50, 28_232])
def test_a_range_in_time_wait_is_the_cause_however_small_it_is(used: int) -> None:
    room = replace(PORTS, ceiling=used, room=Interval.of(0))

    assert causes(OUT_OF_PORTS, WORLD, ports=room, pair=pair(used, used))[0] == "time-wait"


def test_a_range_that_is_mostly_reserved_is_a_cause_of_its_own() -> None:
    facts = PortFacts(range(40_000, 40_200), Ranges([range(40_000, 40_180)]))
    room = replace(PORTS, ceiling=20, room=Interval.of(0), blocked=0)

    found = asked(OUT_OF_PORTS, replace(WORLD, ports=facts), ports=room, pair=pair(20))

    assert found.explanations[0].cause == "reserved"
    assert numbers(found.explanations[0].evidence[0])[:2] == [180, 200]


# An errno, its call and the words.


def test_an_errno_outranks_a_word() -> None:
    text = "pool(max_connections=100): dial tcp 10.0.0.9:5432: connect: cannot assign requested address"

    assert causes(text, bearing=Bearing.THEN)[0] == "port-range"


@pytest.mark.parametrize(
    ("finding", "first"),
    [
        (Finding("EAGAIN", 11, "connect", destination="/run/php.sock", protocol="unix"), "unix-backlog"),
        (Finding("EAGAIN", 11, "connect", destination="unix:/run/php.sock"), "unix-backlog"),
        (Finding("EAGAIN", 11, "sendto", protocol="udp"), "udp-ports"),
        (Finding("EAGAIN", 11, "pthread_create"), "threads"),
        (Finding("EAGAIN", 11, "clone3"), "threads"),
        (Finding("EAGAIN", 11, "recvmsg"), "not-ready"),
        (Finding("EAGAIN", 11, "accept4"), "not-ready"),
        (Finding("EMFILE", 24, "inotify_init1"), "inotify-instances"),
        (Finding("EMFILE", 24, "accept4"), "files"),
        (Finding("EMFILE", 24, "", causes=("inotify-instances",)), "inotify-instances"),
        (Finding("EMFILE", 24, system=System.FREEBSD), "bsd-files"),
        (Finding("ENOSPC", 28, "inotify_add_watch"), "inotify-watches"),
        (Finding("EPERM", 1, "setrlimit"), "hard-limit"),
        (Finding("EPERM", 1, "connect"), "firewall"),
        (Finding("EADDRINUSE", 98, "connect"), "same-tuple"),
        (Finding("EADDRINUSE", 98, "connect", system=System.WINDOWS), "windows-ports"),
        (Finding("WSAEADDRINUSE", 98, "bind", port=80), "port-owned"),
        (Finding("WSAEACCES", 13), "windows-excluded"),
        (Finding("WSAENOBUFS", 105), "windows-buffers"),
        (Finding("EADDRNOTAVAIL", 99, "connect", system=System.MACOS), "other-system"),
        (Finding("ENOMEM", 12, "mmap"), "max-map-count"),
        (Finding("ETIMEDOUT", 110, "connect", causes=("own-limit",)), "accept-queue"),
    ],
)
def test_the_call_the_protocol_and_the_system_decide(finding: Finding, first: str) -> None:
    why = judge([Scene(NOTHING_KNOWN, finding, Bearing.THEN)], {}, {}, rows={})

    assert why.findings[0].explanations[0].cause == first


def test_a_tentative_address_is_thought_of_where_bind_has_one_of_ipv6() -> None:
    assert causes("bind() to [fd00::4]:443 failed (99: Cannot assign requested address)", tentative=True)[0] == (
        "tentative-address"
    )
    assert "tentative-address" not in causes("bind() to 10.0.0.4:443 failed (99: Cannot assign requested address)")


def test_a_full_unix_socket_is_seen() -> None:
    full = Scene(
        WORLD, Finding("EAGAIN", 11, "connect", destination="/run/a.sock"), unix=UnixQueue("/run/a.sock", 6, 5)
    )
    (found,) = judge([full], {}, {}, rows={}).findings

    assert numbers(found.explanations[0].evidence[0]) == [6, 5]


def test_a_row_of_the_catalogue_is_a_cause_with_its_own_cure() -> None:
    found = asked("FATAL:  sorry, too many clients already").explanations[0]
    row = catalogue()[found.cause]

    assert row.title in found.says
    assert any(row.do in cure.do and cure.costs == row.costs for cure in found.cures)


# Cures.


def test_to_one_destination_bind_address_no_port_gains_nothing() -> None:
    """The first cure is what helps: another source address, with what it gains."""
    held = replace(PORTS, ceiling=50, room=Interval.of(0), blocked=28_000)
    one = asked(OUT_OF_PORTS, WORLD, ports=held, pair=pair(50), destinations=1).explanations[0]
    many = asked(OUT_OF_PORTS, WORLD, ports=held, pair=pair(50), destinations=3).explanations[0]

    assert one.cause == many.cause == "bound-first"
    said = [cure.do for cure in one.cures]
    no_port = next(cure for cure in one.cures if "IP_BIND_ADDRESS_NO_PORT" in cure.do)
    assert any("second source address" in text and "50" in text for text in said)
    assert "to one destination it gains nothing" in no_port.costs
    assert said.index(no_port.do) > next(at for at, text in enumerate(said) if "second source" in text)
    assert many.cures.index(no_port) < len(many.cures) - 1


def test_what_this_user_can_do_now_comes_first() -> None:
    scene = Scene(WORLD, Finding("EMFILE", 24, "inotify_init1"))
    (user,) = judge([scene], {}, {}, rows={}, root=False).findings
    (root,) = judge([scene], {}, {}, rows={}, root=True).findings
    needs = [cure.needs for cure in user.explanations[0].cures]

    assert needs == sorted(needs, key=lambda each: each in (Needs.ROOT, Needs.CODE, Needs.OTHERS))
    assert {cure.do for cure in user.explanations[0].cures} == {cure.do for cure in root.explanations[0].cures}


# What is open.


def test_what_cannot_be_told_apart_is_open_with_what_would_tell() -> None:
    nothing = asked(OUT_OF_PORTS)
    full = asked(OUT_OF_PORTS, WORLD, ports=PORTS, pair=pair(28_232))

    assert "ss -tan dst 10.0.0.9:80" in nothing.open
    assert full.open == ""
    assert all(tells for _, tells in OPEN.values())


# What is strange.

FIELDS = st.builds(
    Finding,
    error=st.sampled_from(["", "EAGAIN", "ENOENT", "WSAEACCES", "", *(error for _, error in ERRORS)]),
    call=st.sampled_from(["", "connect", "sendto", "x", *(call for call, _ in ERRORS)]),
    source=st.sampled_from(["", "10.0.0.4:0", "[::]:80", "x", ":"]),
    destination=st.sampled_from(
        ["", "10.0.0.9:80", "[fd00::9]:443", "8.8.8.8:53", "/a", "unix:@b", "::1", "x:1", ":9"]
    ),
    protocol=st.sampled_from(["", "tcp", "udp", "unix"]),
    port=st.sampled_from([None, 1, 40_000]),
    number=st.sampled_from([None, 0, 1, 1013, 28_000, 10**12]),
    causes=st.lists(st.sampled_from([*CAUSES, "nonsense"]), max_size=3).map(tuple),
    limit=st.sampled_from(["", "nonsense", *catalogue()]),
    system=st.sampled_from([None, *System]),
)


@settings(deadline=None)
@given(st.lists(FIELDS, max_size=4), st.sampled_from(list(Bearing)), st.sampled_from([WORLD, NOTHING_KNOWN]))
def test_no_finding_is_too_strange(findings: list[Finding], bearing: Bearing, world: World) -> None:
    """It is explained, or not; a cause comes once, and no finding follows from a later one."""
    scenes = [Scene(world, each, bearing, target=target_of(each), ports=PORTS, pair=pair(100)) for each in findings]
    why = judge(scenes, {"a": 1}, {}, rows=catalogue())

    assert len(why.findings) == len(findings) == len(why.to_json()["findings"])
    for at, found in enumerate(why.findings):
        named = [each.cause for each in found.explanations]
        assert len(named) == len(set(named))
        assert found.follows is None or found.follows < at
    assert all(line == line.rstrip("\n") for line in why_lines(why, everything=True))


# What is not known.


@pytest.mark.parametrize("text", ["hello", "the quick brown fox", "HTTP 404"])
def test_what_nobody_knows_has_no_finding(text: str) -> None:
    why = judged(text, WORLD)

    assert why.findings == ()
    assert not why.is_known
    assert why.to_json()["findings"] == []


def near_to(number: int, ceilings: dict[str, int]) -> tuple[str, ...]:
    scene = Scene(WORLD, Finding(number=number, text=str(number)))
    (found,) = judge([scene], ceilings, {}, rows={}).findings
    return found.means


def test_a_number_that_nobody_knows_is_told_the_limits_next_to_it() -> None:
    (means,) = near_to(7_777, {"small": 100, "below": 7_000, "above": 8_000, "large": 10**6})

    assert re.findall(r"(\w+), ([\d,]+)", means) == [("below", "7,000"), ("above", "8,000")]


@pytest.mark.parametrize(
    ("ceilings", "says"),
    [({"below": 10}, ("below, 10",)), ({"above": 10_000}, ("above, 10,000",)), ({}, ())],
)
def test_next_to_a_number_there_may_be_one_limit_or_none(ceilings: dict[str, int], says: tuple[str, ...]) -> None:
    means = near_to(7_777, ceilings)

    assert [each.endswith(said) for each, said in zip(means, says, strict=True)] == [True] * len(says)
    assert not any("the nearest are" in each for each in means)


@pytest.mark.parametrize("text", ["65535", "65536", "65,535", "65_535"])
def test_the_number_of_ports_is_explained_where_only_the_number_is_asked_for(text: str) -> None:
    """And how to have more; who says that connections stop there is not told that it must be the ports."""
    bare, stopped = asked(text), asked(f"it stops at {text} connections")

    assert bare.explanations[0].cause == "port-numbers"
    assert bare.explanations[0].cures
    assert "port-numbers" in [each.cause for each in stopped.explanations[1:]]
    assert bare.means == stopped.means


def test_what_the_errno_means_comes_first() -> None:
    assert asked("EMFILE").means == (SYMPTOMS[24].limit,)


def test_as_json_a_finding_has_its_explanations() -> None:
    record = judged(OUT_OF_PORTS).to_json()
    (found,) = record["findings"]
    best = found["explanations"][0]

    assert (found["error"], found["call"], found["destination"]) == ("EADDRNOTAVAIL", "connect", "10.0.0.9:80")
    assert (found["count"], found["where"], found["here_now"]) == (1, 1, True)
    assert set(best) >= {"cause", "says", "evidence", "against", "do", "costs"}
    assert len(best["do"]) == len(best["costs"]) == len(best["needs"])


# Sessions.


@pytest.mark.parametrize(
    ("number", "first", "code"),
    [
        (1008, "files", "ws-policy"),
        (1013, "files", "ws-try-later"),
        (1000, "files", "ws-normal"),
        (128, "accept-queue", "mqtt-unspecified"),
    ],
)
def test_a_bare_number_keeps_its_meaning_and_may_also_be_a_code(number: int, first: str, code: str) -> None:
    """As sentences and numbers of connections do not: they count."""
    bare, sentence = asked(str(number)), asked(f"stops at {number} connections")

    assert bare.explanations[0].cause == first
    assert code in [each.cause for each in bare.explanations]
    assert bare.means[: len(sentence.means)] == sentence.means
    assert bare.means[-1].startswith(CAUSES[code].says)
    assert OF_SESSION in bare.means[-1]
    assert code not in [each.cause for each in sentence.explanations]
    assert code not in causes(f"{number:,}.")
    assert not bare.open


@pytest.mark.parametrize(("number", "cause"), [(407, "http-proxy-login"), (499, "http-499"), (502, "http-502")])
def test_a_status_alone_still_names_the_nearest_limits(number: int, cause: str) -> None:
    findings = read_findings([str(number)])
    (found,) = judge([Scene(NOTHING_KNOWN, findings[0])], {"a limit": 600}, {}, rows=catalogue()).findings

    assert cause in [each.cause for each in found.explanations]
    assert ("a limit, 600" in " ".join(found.means)) == (len(found.explanations) == 1)


@pytest.mark.parametrize("name", SESSIONS)
def test_a_cause_of_a_session_says_what_it_is_and_what_to_do(name: str) -> None:
    assert CAUSES[name].cures
    assert CAUSES[name].says[-1] not in ".,;:"


@pytest.mark.parametrize("text", ["tls: hostname mismatch", "status 502", "closed with 1008 (policy violation)"])
def test_a_failure_of_a_session_is_said_to_be_none_of_ports(text: str) -> None:
    found = asked(text)
    screen = " ".join(" ".join(why_lines(judged(text))).split())

    assert found.means == (OF_SESSION,)
    assert OF_SESSION in screen
    assert {each.cause for each in found.explanations} <= set(SESSIONS)


def test_an_errno_says_nothing_of_sessions() -> None:
    found = asked("SSL_do_handshake() failed (104: Connection reset by peer) while SSL handshaking to upstream")

    assert found.finding.error == "ECONNRESET"
    assert OF_SESSION not in found.means
    assert not {each.cause for each in found.explanations} & set(SESSIONS)
