"""What messages cost: bytes with headers, and how many connections CPUs and links have room for."""

import pytest

from fourtuple.core.limits.load import ETHERNET, GIGABIT, WIRE, Link, Load, link_of, message_bytes


@pytest.mark.parametrize(
    ("payload", "timestamps", "link_bytes", "there", "back"),
    [
        (64, True, 0, 64 + 52, 52),  # on loopback
        (64, False, 0, 64 + 40, 40),
        (64, True, ETHERNET, 64 + 66, 66),
        (0, True, ETHERNET + WIRE, 90, 90),
        (1448, True, 0, 1500, 52),
        (1449, True, 0, 1449 + 2 * 52, 52),
        (4 * 1448, True, 0, 4 * 1500, 2 * 52),
    ],
)
def test_a_message_has_headers_and_an_acknowledgement(
    payload: int, timestamps: bool, link_bytes: int, there: int, back: int
) -> None:
    assert message_bytes(payload, timestamps=timestamps, link_bytes=link_bytes) == (there, back)


def test_how_many_connections_have_room() -> None:
    """Two CPUs have 2 s of time in each second; a link of 1 Gbit/s carries 125,000,000 bytes."""
    load = Load.asked(10, 64, 20)

    assert load.given
    assert load.by_cpu(2) == 2 * 10 * 1_000_000 // 20
    assert load.by_link(GIGABIT, timestamps=True) == 125_000_000 * 10 // (64 + 52 + 38)
    assert not Load.asked(None, None, None).given


def test_the_fastest_link_decides_and_an_unknown_speed_is_said() -> None:
    slow, fast, silent = Link("eth0", GIGABIT), Link("eth1", 25 * GIGABIT), Link("eth2", None)

    assert link_of([slow, fast, silent], here=False)[0] == 25 * GIGABIT
    unknown = [link_of(links, here=here) for links, here in (([silent], False), ([], False), ([fast], True))]
    assert [speed for speed, _ in unknown] == [None] * 3
    assert len({why for _, why in unknown}) == 3
