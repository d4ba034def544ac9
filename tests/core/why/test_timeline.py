"""Which failures of a text may follow from which: only where a mechanism connects the two."""

from dataclasses import replace

import pytest

from fourtuple.core.why.catalogue.rows import catalogue, phrases
from fourtuple.core.why.causes import CAUSES
from fourtuple.core.why.judge import Why, judge
from fourtuple.core.why.reader import PHRASES, read_findings
from fourtuple.core.why.scene import Bearing, Scene
from fourtuple.core.why.timeline import IN_PROGRAM, LATER_S, ON_HOST, TO_CLIENTS
from tests.core.quiet import WORLD


def told(*lines: str) -> Why:
    """What `why` says of a log on a host that tells nothing."""
    findings = read_findings(["\n".join(lines)], (*PHRASES, *phrases()))
    scenes = [Scene(replace(WORLD, ports=None), each, Bearing.THEN) for each in findings]
    return judge(scenes, {}, {}, rows=catalogue())


def follows(*lines: str) -> list[int | None]:
    return [each.follows for each in told(*lines).findings]


ACCEPTS = "10:00:00Z host web[812]: accept tcp [::]:80: accept4: too many open files"
NO_PORT = "10:00:00 billing: dial tcp 10.0.0.9:443: connect: cannot assign requested address"
TRACKED = "10:00:00 host kernel: nf_conntrack: nf_conntrack: table full, dropping packet"


@pytest.mark.parametrize(
    "lines",
    [
        (ACCEPTS, "10:00:05Z host proxy[9]: dial tcp 10.0.0.9:80: i/o timeout"),
        (ACCEPTS, "10:00:05Z host proxy[9]: read tcp 10.0.0.1:4444->10.0.0.9:80: read: connection reset by peer"),
        ("10:00:00 web: accept4: too many open files", "10:00:05 proxy: dial tcp web:8080: i/o timeout"),
        (ACCEPTS, "10:00:05Z host web[812]: dial tcp: lookup db: Temporary failure in name resolution"),
        (NO_PORT, "10:00:31 billing: HikariPool-1 - Connection is not available, request timed out after 30000ms"),
        (TRACKED, "10:00:05 host app[7]: dial tcp 10.0.0.8:443: i/o timeout"),
        (
            TRACKED,
            "10:00:05 host app[7]: dial tcp 10.0.0.8:443: i/o timeout",
            "10:02:00 host b[8]: ETIMEDOUT 10.0.0.7:1",
        ),
        (
            "10:00:00 db kernel: Out of memory: Killed process 812 (postgres) total-vm:1kB",
            "10:00:05 db app[7]: dial tcp 10.0.0.9:5432: connect: connection refused",
        ),
        (
            "2026/11/20 16:00:00 [error] 31#31: *1 connect() to 10.0.0.9:80 failed (111: Connection refused) while"
            " connecting to upstream",
            "2026/11/20 16:00:09 [error] 31#31: *2 no live upstreams while connecting to upstream",
        ),
    ],
)
def test_what_a_cause_can_bring_may_follow_from_it(lines: tuple[str, ...]) -> None:
    """To its clients, to the waiters of the same program, and from a table of the host to every program."""

    assert follows(*lines) == [None, *[0] * (len(lines) - 1)]


@pytest.mark.parametrize(
    "lines",
    [
        (ACCEPTS, "10:00:05Z host web[812]: dial tcp 10.0.0.9:443: connect: connection refused"),
        (ACCEPTS, "10:00:06Z host web[812]: dial tcp 10.0.0.8:5432: i/o timeout"),
        (ACCEPTS, "10:00:06Z host other[9]: dial tcp 10.0.0.8:5432: i/o timeout"),
        (ACCEPTS, "10:00:06Z host other[9]: dial tcp: lookup db: no such host"),
        (ACCEPTS, "10:00:06Z host web[813]: dial tcp: lookup db: no such host"),
        (ACCEPTS, "10:55:06Z host proxy[9]: dial tcp 10.0.0.9:80: i/o timeout"),
        ("web: accept4: too many open files", "other: dial tcp 10.0.0.8:5432: i/o timeout"),
        (NO_PORT, "10:05:06 db: FATAL: sorry, too many clients already"),
        (NO_PORT, "10:00:06 db: FATAL: sorry, too many clients already"),
        (NO_PORT, "10:00:06 other: HikariPool-1 - Connection is not available, request timed out after 30000ms"),
        (NO_PORT, "10:00:06 billing: dial tcp 10.0.0.8:443: i/o timeout"),
        (TRACKED, "10:00:05 host app[7]: dial tcp 10.0.0.8:443: connect: connection refused"),
        (TRACKED, "10:00:05 other app[7]: dial tcp 10.0.0.8:443: i/o timeout"),
        ("10:00:00 nginx[1]: accept4: too many open files", "10:00:05 nginx[2]: dial tcp 10.0.0.8:80: i/o timeout"),
        ("10:00:00 postgres[5]: FATAL: sorry, too many clients already", "10:00:05 a: ECONNREFUSED 10.0.0.9:5432"),
        (TRACKED, "10:09:05 host app[7]: dial tcp 10.0.0.8:443: i/o timeout"),
        ("[100.000000] nf_conntrack: table full, dropping packet", "[900.000000] neighbour: arp_cache: table overflow"),
        (
            "10:00:00 redis[5]: max number of clients reached",
            "10:00:05 app[7]: dial tcp 10.0.0.9:5432: i/o timeout",
        ),
        (
            "10:00:00 db kernel: Out of memory: Killed process 812 (postgres) total-vm:1kB",
            "10:00:05 db app[7]: dial tcp 10.0.0.9:6379: connect: connection refused",
        ),
        ("10:00:00 a: dial tcp 10.0.0.9:80: i/o timeout", "10:00:01 b: dial tcp 10.0.0.9:80: connection reset by peer"),
        ("10:00:05 host app[7]: dial tcp 10.0.0.8:443: i/o timeout", TRACKED.replace("10:00:00", "10:00:09")),
    ],
)
def test_what_nothing_connects_does_not_follow(lines: tuple[str, ...]) -> None:
    """Another program, another destination, too late, before, or an errno that the cause cannot give."""

    assert follows(*lines) == [None] * len(lines)


def test_a_limit_of_a_cloud_brings_its_own_cause_first() -> None:
    _, later = told("10:00:00 app: App Service: SNAT port exhaustion", "10:00:04 app: ETIMEDOUT 1.2.3.4:443").findings

    assert (later.follows, later.explanations[0].cause) == (0, "nat")


def test_later_is_counted_from_the_last_report_of_the_cause() -> None:
    again = TRACKED.replace("10:00:00", "10:08:00")

    assert follows(TRACKED, again, "10:09:05 host app[7]: dial tcp 10.0.0.8:443: i/o timeout") == [None, 0]
    assert 127 <= LATER_S < 300


def test_what_may_follow_from_a_cause_has_that_cause_first_and_keeps_its_others() -> None:
    _, later = told(TRACKED, "10:00:05 host app[7]: dial tcp 10.0.0.8:443: i/o timeout").findings

    assert [each.cause for each in later.explanations[:2]] == ["conntrack", "accept-queue"]


def test_the_tables_name_what_there_is() -> None:
    named = {
        name
        for table in (IN_PROGRAM, TO_CLIENTS, ON_HOST)
        for key, brought in table.items()
        for name in (key, *brought)
    }

    assert {name for name in named if not name.isupper()} - set(CAUSES) - {"limit", "pool"} == set()
