"""What a World says of itself: its kernel's version, and the memory that is free."""

from dataclasses import replace

import pytest

from fourtuple.core.limits.facts import Memory, PortFacts
from fourtuple.core.limits.releases import parse_release
from fourtuple.core.space.ranges import Ranges
from tests.core.quiet import WORLD

HOST, SLICE = Memory(500), Memory(300, "in the cgroup /a")


@pytest.mark.parametrize(
    ("release", "version"),
    [("6.18.44-fc", (6, 18)), ("5.10-rc1", (5, 10)), ("6.1.0-18-amd64", (6, 1)), ("7.0", (7, 0))],
)
def test_kernel_releases(release: str, version: tuple[int, int]) -> None:
    assert parse_release(release) == version
    assert replace(WORLD, kernel=release).kernel_version == version


@pytest.mark.parametrize(
    ("host", "cgroup", "tightest"),
    [
        (HOST, None, HOST),
        (HOST, SLICE, SLICE),
        (HOST, Memory(500, "in the cgroup /a"), HOST),
        (Memory(200), SLICE, Memory(200)),
        (Memory(None), SLICE, SLICE),
        (HOST, Memory(None, "in the cgroup /a"), HOST),
        (Memory(None), None, Memory(None)),
    ],
)
def test_the_tightest_free_memory_counts(host: Memory, cgroup: Memory | None, tightest: Memory) -> None:
    """What is not known limits nothing; it is named in why_not."""
    assert replace(WORLD, memory=host, cgroup=cgroup).free_memory == tightest


@pytest.mark.parametrize(
    ("unattributed", "hidden", "can_be_set", "answer"),
    [
        (0, 0, True, False),  # such as a range with an odd number of ports, of which a test tells nothing
        (3, 0, True, True),
        (3, 0, False, False),  # Linux 5.x: ports in use cannot be tested
        (0, 2, False, True),
        (3, 2, False, True),
    ],
)
def test_a_probe_is_recommended_only_where_it_can_tell_more(
    unattributed: int, hidden: int, can_be_set: bool, answer: bool
) -> None:
    facts = PortFacts(range(40000, 40003), Ranges([]), range_can_be_set=can_be_set)

    assert facts.can_probe(unattributed, hidden) is answer
