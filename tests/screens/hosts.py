"""Hosts as recorded trees of /proc tell them, and what limits and plans are made of on them, whatever host this is."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import Any

from fourtuple.core.limits.behaviours import (
    BIND_RELEASED,
    BOUND_LISTED,
    FIN_WAIT2_REUSED,
    RANGE_CAN_BE_SET,
    RANGE_IN_TURN,
    TW_REUSE_IN_MS,
    Behaviour,
    KnownBy,
)
from fourtuple.core.limits.facts import World
from fourtuple.core.limits.load import Load
from fourtuple.core.limits.ports import PortRoom, PortUse
from fourtuple.core.limits.strategy import Strategy
from fourtuple.core.limits.table import SYSCTLS
from fourtuple.core.limits.verdicts import Case, Queue, Verdict
from fourtuple.core.limits.weigh import weigh
from fourtuple.core.sockets.role import Role
from fourtuple.core.space.ranges import Ranges
from fourtuple.core.space.tuples import TupleSpace
from fourtuple.kernel.proc.world import read_world
from tests.core.census.test_usage import Row, table

TREES = Path(__file__).parents[1] / "kernel" / "proc" / "trees"
ASSUMED = Load()
SOURCE, DESTINATION = "192.0.2.4", "192.0.2.9:80"

BEHAVIOURS = (
    Behaviour(RANGE_CAN_BE_SET, True, KnownBy.PROBE, "setsockopt(IP_LOCAL_PORT_RANGE) succeeded, on loopback"),
    Behaviour(RANGE_IN_TURN, True, KnownBy.PROBE, "7 of 16 connections took an odd port, on loopback"),
    Behaviour(BIND_RELEASED, True, KnownBy.PROBE, "connect() from a port in use succeeded, on loopback"),
    Behaviour(BOUND_LISTED, True, KnownBy.PROBE, "sock_diag lists a socket after bind(), on loopback"),
    Behaviour(TW_REUSE_IN_MS, True, KnownBy.SETTING, "net.ipv4.tcp_tw_reuse_delay exists"),
    Behaviour(FIN_WAIT2_REUSED, False, KnownBy.RELEASE, "Linux 6.18.1"),
)


@cache
def host(tree: str = "default-host") -> World:
    """Without what is of the kernel that reads the tree, or of where the tree lies."""
    found = read_world(
        SYSCTLS,
        1 if tree == "container" else 4121,
        known=BEHAVIOURS,
        proc=TREES / tree / "proc",
        cgroups=TREES / tree / "cgroup",
        cards=TREES / tree / "net",
    )
    assert found.ports is not None
    return replace(
        found,
        kernel="6.18.1",
        netns="net:[4026531840]",
        why_not={name: why.replace(str(TREES / tree), "") for name, why in found.why_not.items()},
    )


@dataclass(frozen=True)
class Question:
    """What was asked of a host, and the sockets that it has."""

    world: World
    sources: Sequence[str] = (SOURCE,)
    destinations: Sequence[str] = (DESTINATION,)
    strategy: Strategy = Strategy.LATE
    role: Role = Role.CLIENT
    rows: Sequence[Row] = ()
    here: bool = False
    queue: Queue | None = None
    anywhere: bool = False
    load: Load = ASSUMED

    @property
    def space(self) -> TupleSpace:
        assert self.world.ports is not None
        facts = self.world.ports
        explicit = self.strategy is Strategy.EXPLICIT
        ports = Ranges([facts.port_range]) if explicit else facts.automatic_ports
        return TupleSpace.of(self.sources, ports, self.destinations)

    @property
    def use(self) -> PortUse:
        return PortUse.of([table(self.rows)], self.space)

    def room(self, strategy: Strategy | None = None) -> PortRoom:
        assert self.world.ports is not None
        return self.use.room(self.world.ports, strategy or self.strategy, anywhere=self.anywhere)

    @property
    def ports(self) -> PortRoom | None:
        return self.room() if self.role is Role.CLIENT else None

    @property
    def case(self) -> Case:
        ports = self.ports
        return Case(
            world=self.world,
            role=self.role,
            strategy=self.strategy,
            ports=ports,
            here=self.here,
            peers=0 if self.here or self.anywhere else 1,
            per_peer=ports.ceiling if ports and not (self.here or self.anywhere) else 0,
            tuples_in_use=len(self.rows),
            queue=self.queue,
            cpus=2,
            running=self.role is Role.SERVER,
            load=self.load,
        )

    @property
    def verdicts(self) -> tuple[Verdict, ...]:
        return weigh(self.case)


def connected(count: int, **other: Any) -> list[Row]:
    """Sockets from the first ports of the default range, to the usual destination."""
    address, _, port = DESTINATION.rpartition(":")
    return [Row(SOURCE, 32_768 + number, address, int(port))._replace(**other) for number in range(count)]
