"""What a failure is called, whose limit it is said to be, and what the text of an answer prints once or last."""

import re
from dataclasses import replace
from typing import Any

import pytest

from fourtuple.core.limits.facts import PortFacts, World
from fourtuple.core.space.ranges import Ranges
from fourtuple.core.why.judge import Why
from fourtuple.core.why.reader.frames import message_of
from fourtuple.core.why.scene import Bearing, UnixQueue
from fourtuple.faces.text.why import why_lines
from tests.core.quiet import WORLD
from tests.core.why.test_judge import OUT_OF_PORTS, PORTS, asked, causes, judged, pair, sysctls

# Headings, and whose limit it is.


@pytest.mark.parametrize(
    "text",
    [
        "No space left on device",
        "OSError: [Errno 28] No space left on device",
        "ENOBUFS",
        "[warn] 1#1: 1024 worker_connections exceed open file resource limit: 256",
        "QueuePool limit of size 5 overflow 10 reached, connection timed out, timeout 30",
        "The TCP backlog setting of 511 cannot be enforced because /proc/sys/net/core/somaxconn is set to the lower"
        " value of 128.",
        "Current maximum open files is 4096. maxclients has been reduced to 4064 to compensate for low ulimit.",
    ],
)
def test_a_heading_says_nothing_that_the_cause_does_not(text: str) -> None:
    """Neither the usual meaning of an errno whose cause is another, nor that of the number of a setting."""
    found = asked(text)

    assert found.means == ()
    assert not {"browser", "browser.per-host", "nat"} & {each.cause for each in found.explanations}
    heading = next(why_lines(Why((found,), {})))
    assert not re.match(r"[\d,]+( E|:|$)", heading)


@pytest.mark.parametrize(
    ("ports", "cause"), [(range(40_000, 40_500), "port-range"), (range(32_768, 61_000), "accept-queue")]
)
def test_the_heading_of_a_number_follows_the_first_cause(ports: range, cause: str) -> None:
    """Where this host has exactly so many ports, 500 is no backlog of a server, which it is elsewhere."""
    found = asked("500", replace(WORLD, ports=PortFacts(ports, Ranges([]))))

    assert found.explanations[0].cause == cause
    assert ("511" in found.means[0]) == (cause == "accept-queue")
    assert (found.means[0] == found.explanations[0].says) == (cause == "port-range")


def test_a_file_limit_below_worker_connections_is_raised() -> None:
    best = asked("[warn] 1#1: 1024 worker_connections exceed open file resource limit: 256").explanations[0]

    assert best.cause == "nginx.worker_connections-above-files"
    assert best.cures[0].do.startswith("Raise worker_rlimit_nofile")


@pytest.mark.parametrize(
    ("text", "whose"),
    [
        ("App Service plan: SNAT port exhaustion", "a limit of the cloud platform: "),
        ("ErrorPortAllocation: 12", "a limit of the cloud platform: "),
        ("QueuePool limit of size 5 overflow 10 reached, connection timed out", "a limit of the library: "),
        ("max number of clients reached", "a limit of the program itself: "),
    ],
)
def test_a_limit_is_said_to_be_of_what_sets_it(text: str, whose: str) -> None:

    assert asked(text).explanations[0].says.startswith(whose)


@pytest.mark.parametrize("text", ["SNAT port exhaustion detected on NAT gateway", "SNAT port exhaustion"])
def test_ports_of_a_gateway_that_is_not_named_are_those_of_no_service(text: str) -> None:

    assert causes(text) == ["nat"]


@pytest.mark.parametrize("bearing", [Bearing.NOW, Bearing.PERHAPS])
def test_enobufs_is_not_ipsec_where_the_kernel_has_no_such_cache(bearing: Bearing) -> None:
    quiet = replace(sysctls(net__ipv4__neigh__default__gc_thresh3=1024), neighbours=1)

    assert causes("ENOBUFS", quiet, bearing)[-1] in ("xfrm", "neighbours")
    assert causes("ENOBUFS", quiet, bearing)[0] != "xfrm"


def test_enobufs_while_reading_is_the_buffer_of_netlink() -> None:
    assert causes("recvmsg: No buffer space available")[0] == "netlink-buffer"
    assert causes("sendto: No buffer space available")[:2] == ["neighbours", "memory"]


def test_a_datagram_without_an_answer_is_not_an_accept_queue() -> None:
    lookup = "lookup api.example.com on 10.96.0.10:53: read udp 10.1.2.3:41234->10.96.0.10:53: i/o timeout"

    assert causes(lookup) == ["dns-server", "conntrack", "firewall"]
    assert causes("read udp 10.1.2.3:41234->10.0.0.9:8125: i/o timeout") == ["datagram-lost", "conntrack", "firewall"]


def test_a_host_whose_settings_are_not_known_has_no_evidence_about_connection_tracking() -> None:
    (unknown,) = [each for each in asked("ETIMEDOUT", WORLD).explanations if each.cause == "conntrack"]
    known = sysctls(net__core__somaxconn=128, net__ipv4__tcp_fin_timeout=60, net__ipv4__ip_local_port_range=1)
    (without,) = [each for each in asked("ETIMEDOUT", known).explanations if each.cause == "conntrack"]

    assert (unknown.against, len(without.against)) == ((), 1)


# The face.


def shown(text: str, world: World = WORLD, **scene: Any) -> str:
    return " ".join(" ".join(why_lines(judged(text, world, **scene))).split())


def test_a_remedy_is_printed_once() -> None:
    text = shown(OUT_OF_PORTS, bearing=Bearing.THEN)

    assert text.count("reuse connections (keep-alive, a pool)") == 1
    assert "of the remedies above" in text


@pytest.mark.parametrize("bearing", [Bearing.NOW, Bearing.PERHAPS])
def test_what_the_host_speaks_against_is_less_likely(bearing: Bearing) -> None:
    """Where it speaks for another cause."""
    text = shown(OUT_OF_PORTS, ports=PORTS, pair=pair(28_232), bearing=bearing)

    assert text.index("short connections") > text.index("less likely")


def test_what_a_host_says_beside_a_text_is_told_for_what_it_is() -> None:
    perhaps = shown(OUT_OF_PORTS, ports=PORTS, pair=pair(100), bearing=Bearing.PERHAPS)

    assert "(the text has no time, so this does not rule anything out)" in perhaps


def test_the_time_line_names_no_key() -> None:
    log = "10:00:00 host kernel: nf_conntrack: table full, dropping packet\n10:00:05 app: ETIMEDOUT 10.0.0.9:80\n"
    log += "10:00:06 db: FATAL: sorry, too many clients already\n"
    table = shown(log, bearing=Bearing.THEN).partition("--")[0]

    assert "connection tracking is full" in table
    assert "may follow from 1" in table
    assert not re.search(r"postgres\.max|first cause|conntrack of", table.replace("(postgres.max_connections)", ""))


SPENT = "768 worker_connections are not enough while connecting to upstream, client: 10.0.0.1, server: app, request: x"
TRACEBACK = """Traceback (most recent call last):
  File "/usr/lib/python3.11/http/client.py", line 287, in _read_status
    raise RemoteDisconnected("Remote end closed connection without"
                             " response")
http.client.RemoteDisconnected: Remote end closed connection without response
"""


@pytest.mark.parametrize("columns", [60, 80, 120, 200])
def test_a_heading_is_the_message_and_as_wide_as_the_terminal(monkeypatch: pytest.MonkeyPatch, columns: int) -> None:
    """Without the frame of the log: nginx writes its time first, which says nothing about the failure."""
    monkeypatch.setenv("COLUMNS", str(columns))
    heading = next(why_lines(judged(f"2026/03/01 12:00:00 [alert] 812#812: *4711 {SPENT}")))

    assert heading.startswith("768 worker_connections are not enough")
    assert min(columns, 120) - 20 <= len(heading) <= columns


def test_a_heading_of_a_traceback_is_its_exception() -> None:
    """Not the line of code that raises it."""
    why = judged(f"{TRACEBACK}listening again\n")

    assert [each.finding.count for each in why.findings] == [1]
    assert next(why_lines(why)).startswith("http.client.RemoteDisconnected: Remote end closed")


def test_a_message_is_as_it_is_written() -> None:
    assert message_of("2026-03-01T12:00:00Z App[7]: Pool is FULL") == "Pool is FULL"
    assert message_of("Pool is FULL") == "Pool is FULL"
    assert message_of("2026-03-01T12:00:00Z App[7]: Pool\\tis FULL").endswith("is FULL")


def test_what_was_not_seen_is_said_once() -> None:
    lines = list(why_lines(replace(judged("ETIMEDOUT"), unseen=("one thing", "another"))))

    assert [line.split() for line in lines[-2:]] == [["not", "seen", "one", "thing"], ["another"]]


def test_one_is_not_said_in_the_plural() -> None:
    """Of sockets, ports, connections, packets and processes."""
    counters = {"nf_conntrack.drop": 1, "vmstat.oom_kill": 1}
    world = replace(WORLD, counters=counters, pids_left=1)
    one = PORTS, pair(28_232, 1), UnixQueue("/run/a.sock", 1, 1)
    ports, used, queue = one
    known: dict[str, Any] = {"ports": replace(ports, blocked=1), "pair": used, "close_wait": 1, "unix": queue}
    told = " ".join(
        " ".join((*each.evidence, *each.against, *each.notes))
        for text in (
            "EADDRNOTAVAIL",
            "EMFILE",
            "EAGAIN",
            "ETIMEDOUT",
            "ENOMEM",
            "fork: Resource temporarily unavailable",
        )
        for each in asked(text, world, **known).explanations
    )

    assert "1 socket of this namespace" in told
    assert not re.search(
        r"(?<![\d,.])1 (?:more )?(?:sockets|ports|connections|packets|processes|threads|times)\b", told
    )
