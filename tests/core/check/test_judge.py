"""What was seen of a program → its verdict."""

import itertools
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fourtuple.core.check.judge import FIXES, Ended, Kind, Observation, Trait, judge
from fourtuple.core.check.timeline import Connection
from tests.told import numbers

PORTS = frozenset(range(32768, 32832))
NONE: frozenset[int] = frozenset()


def connections(count: int, destinations: int = 3, sources: int = 1) -> list[Connection]:
    """Shared ones: each port as often as there are pairs."""
    pairs = itertools.cycle(itertools.product(range(sources), range(destinations)))
    each = sources * destinations
    return [(source, 32768 + number // each, end) for number, (source, end) in zip(range(count), pairs, strict=False)]


SEEN = Observation(
    ports=64,
    destinations=[f"10.77.1.1:{port}" for port in (8001, 8002, 8003)],
    most=connections(192),
    opened=192,
    refused=0,
    closed_first=192,
    asked=NONE,
    kept_own=NONE,
    kept=NONE,
    kept_after=NONE,
    named=NONE,
    listened=NONE,
    time_wait=192,
    close_wait=0,
    left=0,
    errno="",
    call="",
    exit=0,
    ended=Ended.ITSELF,
    lost=0,
    driven=None,
)
ONE_EACH = [(0, port, 0) for port in sorted(PORTS)]


def kinds(seen: Observation) -> list[Kind]:
    return [finding.kind for finding in judge(seen).findings]


def finding(seen: Observation, kind: Kind) -> Trait:
    found = judge(seen).found(kind)
    assert found is not None
    return found


def test_all_that_are_possible_are_shared() -> None:
    said = judge(SEEN)

    assert (said.verdict, said.shared, said.connections, said.possible) == (Kind.SHARED, True, 192, 192)
    assert [(each.connections, each.local_ports) for each in said.destinations] == [(64, 64)] * 3


def test_ports_that_nobody_else_can_have_were_bound_first() -> None:
    """64 in total, and they poison: bound is the worse of both."""

    said = judge(replace(SEEN, most=ONE_EACH, opened=64, kept=PORTS, kept_after=PORTS))
    assert [each.kind for each in said.findings] == [Kind.BOUND, Kind.POISONS]
    assert said.found(Kind.BOUND).numbers["connections"] == 64  # type: ignore[union-attr]
    assert said.found(Kind.POISONS).numbers == {"while_running": 0, "after": 0, "of": 64}  # type: ignore[union-attr]


def test_one_connection_is_enough_to_tell() -> None:
    one = frozenset({32768})

    assert judge(replace(SEEN, most=[(0, 32768, 0)], opened=1, kept=one)).verdict is Kind.BOUND


def test_what_was_over_too_soon_is_told_by_its_time_wait() -> None:
    """Nobody asked while it ran; afterwards its ports were still kept, so they were before."""

    said = judge(replace(SEEN, most=ONE_EACH, opened=64, kept=NONE, kept_after=PORTS))
    assert said.verdict is Kind.BOUND
    assert said.found(Kind.POISONS).numbers["while_running"] == 0  # type: ignore[union-attr]


def test_ports_that_are_named_are_shared_and_poison() -> None:
    """SO_REUSEADDR and bind(address, port): 64 for each destination, none for anybody else."""

    assert kinds(replace(SEEN, kept=PORTS, kept_after=PORTS, named=PORTS)) == [Kind.POISONS, Kind.SHARED]


def test_named_ports_that_nobody_saw_named_are_not_bound_first() -> None:
    """bind(address, 0) gives a port to one connection only."""

    assert kinds(replace(SEEN, kept=NONE, kept_after=PORTS)) == [Kind.POISONS, Kind.SHARED]


def test_ports_that_were_seen_named_are_not_bound_first() -> None:
    """Of one connection each, so that only the name tells."""

    assert kinds(replace(SEEN, most=ONE_EACH, opened=64, kept=PORTS, named=PORTS)) == [Kind.POISONS, Kind.SHARED]


def test_two_destinations_on_a_port_tell_that_it_was_named() -> None:
    two = [(0, port, end) for port in sorted(PORTS) for end in range(2)]

    assert kinds(replace(SEEN, most=two, opened=128, kept_after=PORTS, kept=NONE)) == [Kind.POISONS, Kind.SHARED]


def test_a_port_that_none_of_its_connections_has_is_not_theirs() -> None:
    """Somebody else keeps it."""

    assert Kind.BOUND not in kinds(replace(SEEN, most=ONE_EACH[:5], opened=5, kept=frozenset({32800})))


def test_a_few_bound_ones_foretell_the_wall_and_64_are_it() -> None:
    few = finding(replace(SEEN, most=ONE_EACH[:5], opened=5, kept=frozenset(range(32768, 32773))), Kind.BOUND)
    all_ = finding(replace(SEEN, most=ONE_EACH, opened=64, kept=PORTS), Kind.BOUND)

    assert (numbers(few.says), few.numbers["connections"]) == ([64, 192], 5)
    assert (numbers(all_.says), all_.numbers["connections"]) == ([64, 192], 64)
    assert few.says != all_.says


def test_what_is_possible_grows_with_the_sources_that_are_used() -> None:
    assert judge(replace(SEEN, most=connections(384, sources=2))).possible == 384


def test_a_listener_in_the_range_is_a_remark() -> None:
    """Its port is lost to connect(), during the run or for a while after it; its connections share their ports."""

    port = frozenset({32900})
    for change in ({"kept": port}, {"kept": port, "kept_after": port}, {}):
        said = judge(replace(SEEN, named=port, listened=port, **change))  # type: ignore[arg-type]
        assert [finding.kind for finding in said.findings] == [Kind.SHARED]
        assert numbers(said.remarks[0])[:2] == [1, 32900]
    assert judge(SEEN).remarks == ()


def test_listeners_on_much_of_the_range_poison() -> None:
    """Up to a tenth of 64 ports are a remark, and a single one of two."""

    for ports, listeners, kind in (
        (64, 6, Kind.SHARED),
        (64, 7, Kind.POISONS),
        (2, 1, Kind.SHARED),
        (2, 2, Kind.POISONS),
    ):
        listened = frozenset(range(32900, 32900 + listeners))
        said = judge(replace(SEEN, ports=ports, kept=listened, named=listened, listened=listened))
        assert (said.verdict, len(said.remarks)) == (kind, int(kind is Kind.SHARED))


def test_listeners_one_after_the_other_are_no_more_than_one_at_a_time() -> None:
    """On forty ports in turn, as FTP does for each file: one of them was lost when that was tested."""

    listened = frozenset(range(32900, 32940))
    said = judge(replace(SEEN, kept=frozenset({32903}), named=listened, listened=listened))
    assert said.verdict is Kind.SHARED
    assert numbers(said.remarks[0])[0] == 40


def test_a_listener_does_not_excuse_bound_connections() -> None:
    """Two ports that bind() chose, and one on which it listens: three are lost, and the findings stay."""

    listened = frozenset({32900})
    seen = replace(SEEN, most=ONE_EACH[:2], opened=2, kept=listened | {32768, 32769}, named=listened, listened=listened)
    said = judge(seen)
    assert [finding.kind for finding in said.findings] == [Kind.BOUND, Kind.POISONS]
    assert said.found(Kind.POISONS).numbers["while_running"] == 61  # type: ignore[union-attr]
    assert len(said.remarks) == 1


def test_connections_from_a_port_on_which_it_listens_are_no_remark() -> None:
    """A program that connects from its listening port has named it for its connections."""

    port = frozenset({32768})
    said = judge(replace(SEEN, kept=port, named=port, listened=port))
    assert (said.verdict, said.remarks) == (Kind.POISONS, ())


def test_a_listener_in_the_range_is_no_bound_connection() -> None:
    port = frozenset({32800})

    assert kinds(replace(SEEN, most=ONE_EACH[:5], opened=5, kept=port, named=port, listened=port)) == [Kind.SHARED]


@pytest.mark.parametrize(("code", "words"), [(1, ""), (3, ""), (137, "signal 9"), (139, "signal 11"), (255, "")])
def test_what_a_failed_program_did_is_found_all_the_same(code: int, words: str) -> None:
    """The failure comes first, with the errno that may explain it; no other finding is left out, except shared."""

    said = judge(replace(SEEN, most=ONE_EACH, opened=64, kept=PORTS, kept_after=PORTS, exit=code, errno="EADDRINUSE"))
    assert [finding.kind for finding in said.findings] == [Kind.FAILED, Kind.BOUND, Kind.POISONS]
    assert numbers(said.findings[0].says)[0] == code
    assert words in said.findings[0].says
    assert "EADDRINUSE" in said.findings[0].says


@given(st.integers(1, 6), st.integers(1, 6))
def test_lockstep_is_when_lcm_is_less_than_the_product(sources: int, destinations: int) -> None:
    """Walking both lists at once is a fault only where it misses pairs."""

    walk = [(number % sources, 32768 + number // 2, number % destinations) for number in range(200)]
    pairs = {(source, end) for source, _, end in walk}
    seen = replace(SEEN, most=walk, destinations=[f"10.0.0.9:{number + 1}" for number in range(destinations)])
    assert (Kind.LOCKSTEP in kinds(seen)) == (len(pairs) < sources * destinations)


def test_each_destination_with_sources_of_its_own_is_no_lockstep() -> None:
    """Two from one source, two from the other: 4 of 8 pairs, lcm(2, 4), and not walked at once."""

    own = [(end // 2, 32768 + turn, end) for turn in range(16) for end in range(4)]
    in_turn = [(number // 16, 32768 + number % 16, number // 16) for number in range(32)]
    assert kinds(replace(SEEN, most=own, opened=64, destinations=["a", "b", "c", "d"])) == [Kind.SHARED]
    assert kinds(replace(SEEN, most=in_turn, opened=32, destinations=["a", "b"])) == [Kind.SHARED]


def test_what_left_no_trace_is_not_called_shared() -> None:
    """Nobody was asked while it was open, and nothing is in TIME_WAIT."""

    seen = replace(SEEN, most=[(0, 32768, 0)], opened=60, kept=NONE, time_wait=0, closed_first=0)
    assert kinds(seen) == [Kind.UNSEEN]
    assert kinds(replace(seen, asked=frozenset({32768}))) == [Kind.SHARED]
    assert kinds(replace(seen, time_wait=1)) == [Kind.SHARED]
    assert kinds(replace(seen, most=[(0, 32768, 0), (0, 32768, 1)])) == [Kind.SHARED]


def test_its_own_port_that_others_cannot_have_was_bound_first() -> None:
    """While it was open, though afterwards it is free: the server closed first."""

    port = frozenset({32768})
    said = judge(replace(SEEN, most=[(0, 32768, 0)], asked=port, kept_own=port, kept=NONE, time_wait=0))
    assert [each.kind for each in said.findings] == [Kind.BOUND, Kind.POISONS]
    assert said.found(Kind.POISONS).numbers == {"while_running": 63, "after": 64, "of": 64}  # type: ignore[union-attr]


def test_a_few_by_chance_are_no_lockstep() -> None:
    assert kinds(replace(SEEN, most=[(0, 32768, 0), (1, 32769, 1)], opened=2)) == [Kind.SHARED]


@pytest.mark.parametrize(("close_wait", "left"), [(5, 0), (0, 5)])
def test_what_stays_is_a_leak(close_wait: int, left: int) -> None:
    found = finding(replace(SEEN, close_wait=close_wait, left=left), Kind.LEAKS)

    assert found.numbers == {"close_wait": close_wait, "left": left}
    assert "5 connections" in found.says


def test_short_connections_have_a_pace() -> None:
    """64 ports, each kept for 60 s."""

    found = finding(replace(SEEN, most=connections(1), opened=64, closed_first=64, time_wait=64), Kind.TIME_WAIT)
    assert (found.numbers["per_s"], found.numbers["per_s_of_default_range"]) == (1.067, 470.5)


@pytest.mark.parametrize(
    "change", [{"opened": 200}, {"closed_first": 1, "opened": 900}, {"time_wait": 0, "opened": 900}]
)
def test_some_closes_are_no_churn(change: dict[str, int]) -> None:
    """A few opened again, or closed by the server, or reset."""

    assert kinds(replace(SEEN, asked=PORTS, **change)) == [Kind.SHARED]  # type: ignore[arg-type]


def test_the_errno_goes_with_the_worst() -> None:
    said = judge(replace(SEEN, most=ONE_EACH, kept=PORTS, errno="EADDRINUSE", call="bind"))

    assert said.findings[0].numbers["errno"] == "EADDRINUSE"
    assert "EADDRINUSE" in said.findings[0].says
    assert "bind()" in said.findings[0].says
    assert ["errno" in each.numbers for each in said.findings] == [True, False, False]


def test_packets_that_were_lost_are_told() -> None:
    said = judge(replace(SEEN, lost=3))

    assert said.findings[0].numbers["lost_packets"] == 3
    assert 3 in numbers(said.findings[0].says)


def test_expected_is_a_verdict_or_at_least_so_many() -> None:
    said = judge(SEEN)

    expected = [said.is_expected(each) for each in (Kind.SHARED, Kind.BOUND, 192, 193, 64)]
    assert expected == [True, False, True, False, True]


def test_every_fault_has_a_cure() -> None:
    assert {kind for kind in Kind if not FIXES[kind]} == {Kind.SHARED}


def test_json_has_the_record() -> None:
    said = judge(SEEN).to_json()

    assert set(said) >= {"verdict", "findings", "destinations", "exit"}
    assert set(said["findings"][0]) == {"kind", "numbers", "says", "fix"}
    assert said["destinations"][0] == {"address": "10.77.1.1:8001", "connections": 64, "local_ports": 64}


def test_a_port_that_was_lost_only_later_was_not_bound_by_its_connection() -> None:
    """Others could get it when the connection was new; it is lost all the same, while it runs and after."""

    later = frozenset({32768})
    seen = replace(SEEN, most=ONE_EACH, opened=64, asked=PORTS, kept=later, kept_after=later)
    assert kinds(seen) == [Kind.POISONS, Kind.SHARED]
    assert kinds(replace(seen, kept_own=later)) == [Kind.BOUND, Kind.POISONS]
    assert kinds(replace(seen, asked=PORTS - later)) == [Kind.BOUND, Kind.POISONS]


def test_the_verdict_as_text_has_each_finding_and_its_fix() -> None:
    """As a test shows it that asserts `verdict.shared`; a tuple of records would be no text to read."""
    conduct = judge(replace(SEEN, most=ONE_EACH, kept_own=PORTS))
    text = str(conduct)

    assert text.startswith(conduct.headline)
    assert len(conduct.findings) > 1
    for finding in conduct.findings:
        assert f"{finding.kind}: {finding.says}" in text
        assert finding.fix in text
    assert "Trait(" not in text
