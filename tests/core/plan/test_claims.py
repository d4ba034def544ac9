"""Ports that a wider range must leave alone: what is claimed is reserved, and nothing else."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fourtuple.core.limits.facts import PortFacts
from fourtuple.core.plan.claims import MOST_TEXT, Claim, Reservation, quietest
from fourtuple.core.plan.fit import WIDEST, Change, widening
from fourtuple.core.plan.settings import RANGE, RESERVED, takes
from fourtuple.core.space.ranges import Ranges

FACTS = PortFacts(range(40_000, 40_100), Ranges([]))
PORTS = st.integers(1, 65_535)
CLAIMS = st.lists(
    st.builds(lambda first, more: Claim(first, min(65_535, first + more), "x"), PORTS, st.integers(0, 50))
)


@given(CLAIMS, st.lists(PORTS, max_size=9), st.integers(1024, 60_000))
def test_every_claimed_port_is_reserved_and_no_other(claims: list[Claim], before: list[int], start: int) -> None:
    """Inside the wider range; what is reserved already stays so, and what is usable is the rest, port by port."""
    facts = PortFacts(range(40_000, 40_100), Ranges(range(port, port + 1) for port in before))
    wide = range(start, 65_536)
    found = Reservation.of(facts, wide, claims)
    wanted = {*before, *(port for c in claims for port in range(c.first, c.last + 1) if port in wide)}

    assert set(found.reserved(facts)) == wanted
    assert found.after == str(found.reserved(facts))
    assert found.added == len(wanted) - len({*before})
    assert found.usable == len(set(wide) - wanted) == found.widened(facts).automatic_ports.size
    assert takes(RESERVED, found.after)


def test_a_list_that_the_kernel_would_not_read_whole_reserves_small_gaps_too() -> None:
    """Every second port of 20,000 would take 60 kB of text of which it reads 4 kB; few gaps are reserved, too."""
    claims = [Claim(port, port, "x") for port in range(20_000, 40_000, 2)]
    found = Reservation.of(FACTS, WIDEST, claims)

    assert len(found.after) <= MOST_TEXT
    assert {claim.first for claim in claims} <= set(found.reserved(FACTS))
    assert found.added == len(set(found.reserved(FACTS)))
    few = Reservation.of(FACTS, WIDEST, [Claim(port, port, "x") for port in range(10_000, 40_000, 40)])
    assert len(few.after) > MOST_TEXT - 100
    assert few.added < 10_000
    assert takes(RESERVED, found.after)


def test_ports_are_reserved_before_the_range_becomes_wider() -> None:
    reservation = Reservation.of(FACTS, WIDEST, [Claim(7000, 7000, "TCP listener")])
    wide = Change(RANGE, "40000 40099", "1024 65535")

    assert widening(reservation, FACTS) == (Change(RESERVED, "", "7000"), wide)
    assert widening(Reservation.of(FACTS, WIDEST, []), FACTS) == (wide,)
    assert Change(RESERVED, "", "7000").undo == f'sysctl -w {RESERVED}=""'


def test_claims_below_the_range_are_in_no_danger() -> None:
    """Port 22 is not to be reserved, and of 1000-1100 only what is inside."""
    found = Reservation.of(FACTS, WIDEST, [Claim(22, 22, "sshd"), Claim(1000, 1100, "x")])

    assert (found.after, [(claim.first, claim.by) for claim in found.claims]) == ("1024-1100", [(1024, "x")])


def test_who_claims_what() -> None:
    claims = [Claim(8080, 8080, "nginx"), Claim(7000, 7000, "TCP listener"), Claim(8081, 8081, "nginx")]

    assert Reservation.of(FACTS, WIDEST, claims).by_claimant() == {"TCP listener": "7000", "nginx": "8080-8081"}


@given(st.lists(st.builds(lambda a, n: range(a, a + n), st.integers(0, 60), st.integers(1, 9)), max_size=9))
def test_the_longest_part_that_nobody_claims(parts: list[range]) -> None:
    wide, reserved = range(10, 60), Ranges(parts)
    found = quietest(wide, reserved)
    free = [port for port in wide if port not in reserved]
    lengths = [n for n in range(1, 51) for a in wide if a + n <= 60 and all(p in free for p in range(a, a + n))]

    assert len(found) == max(lengths, default=0)
    assert all(port in free for port in found)


@pytest.mark.parametrize("first", [1024, 65_535])
def test_a_claim_at_either_end(first: int) -> None:
    assert Reservation.of(FACTS, WIDEST, [Claim(first, first, "x")]).usable == 64_511
