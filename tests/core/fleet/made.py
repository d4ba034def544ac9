"""Machines of a fleet, made up: tests replace what they are about."""

from collections.abc import Sequence
from typing import Any

from fourtuple.core.fleet.member import LimitRoom, Member, Offer
from fourtuple.core.fleet.share import MachineOffer
from fourtuple.core.space.interval import Interval


def member(name: str, cpus: int = 4, *, boot: str = "", space: str = "1", **more: Any) -> Member:
    """A machine; of a kernel of its own unless `boot` is given."""
    known: dict[str, Any] = {
        "worker": f"tcp://{name}:1",
        "host": f"host-{name}",
        "addresses": (),
        "memory_bytes": 2**33,
        "free_bytes": 2**32,
        "files": 1_048_576,
        "kernel": "6.18.5",
        "python": "3.11.9",
        "fourtuple": "1.0",
    }
    return Member(name=name, namespace=f"{boot or name} {space}", cpus=cpus, **(known | more))


def bound(limit: str, room: int | None, most: int | None = None, title: str = "") -> LimitRoom:
    return LimitRoom(limit, title or f"the {limit}", None if room is None else Interval(room, most or room))


def machine(
    name: str,
    cpus: int = 4,
    room: int = 28_232,
    most: int | None = None,
    *,
    bounds: Sequence[LimitRoom] | None = None,
    sources: tuple[str, ...] = (),
    owns: tuple[str, ...] = (),
    boot: str = "",
    space: str = "1",
    **more: Any,
) -> MachineOffer:
    """A machine and its offer; the room is that of its source ports."""
    limits = [bound("net.ipv4.ip_local_port_range", room, most, "source ports")] if bounds is None else bounds
    offer = Offer(name, sources, owns, Interval(room, most or room), tuple(limits), **more)
    return member(name, cpus, boot=boot, space=space), offer


def server(name: str, owns: str = "10.0.9.9", **more: Any) -> MachineOffer:
    return machine(name, owns=(owns,), **more)
