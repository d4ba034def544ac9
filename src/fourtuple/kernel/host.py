"""This host, now, as the contract of core/snapshot/host.py: each question goes to the kernel."""

import os
import socket
from collections.abc import Callable, Iterable, Iterator, Mapping
from datetime import datetime, timezone
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from fourtuple.core.errors import CannotError
from fourtuple.core.limits.facts import Motion, PortFacts, World
from fourtuple.core.limits.table import SYSCTLS
from fourtuple.core.plan.claims import Claim
from fourtuple.core.sockets.columns import Mask, distinct
from fourtuple.core.sockets.filter import EVERYWHERE, Where
from fourtuple.core.sockets.owners import Holders
from fourtuple.core.sockets.table import SOCKET, Chosen, Sockets, State
from fourtuple.core.space.endpoints import Address, Endpoint, EndpointSpec
from fourtuple.kernel import addresses
from fourtuple.kernel.netlink.reading import NoSuchDumpError
from fourtuple.kernel.netlink.sockdiag import Asked, fold_sockets, read_listeners
from fourtuple.kernel.probes import behaviours
from fourtuple.kernel.proc.netstat import read_motion
from fourtuple.kernel.proc.owners import read_holders
from fourtuple.kernel.proc.pid import same_network
from fourtuple.kernel.proc.sysctl import NOTHING, read_sysctl
from fourtuple.kernel.proc.world import read_world

UDP_STATES = (State.ESTABLISHED, State.CLOSE)  # connected, or not (net/ipv4/udp.c)
T = TypeVar("T")


class LiveHost:
    """A Host that is this thread's network namespace."""

    origin = None
    can_test = True

    def __init__(self, outside: Mapping[str, str] = NOTHING) -> None:
        """outside: sysctls of the host, read before this thread entered the namespace (sysctl.host_sysctls)."""
        self._outside = outside

    def taken(self) -> tuple[str, str]:
        return os.uname().nodename, datetime.now(timezone.utc).isoformat(timespec="milliseconds")

    def world(self, pid: int | None = None, *, details: bool = True) -> World:
        network = pid is None or same_network(pid)
        return read_world(SYSCTLS, pid, known=behaviours(), network=network, details=details, outside=self._outside)

    def sysctl(self, name: str) -> str:
        return read_sysctl(name)

    def motion(self) -> Motion:
        return read_motion()

    def listeners(self) -> Sockets:
        return read_listeners()

    def fold(
        self,
        fold: Callable[[Iterable[Sockets]], T],
        states: Iterable[State],
        *,
        where: Where = EVERYWHERE,
        automatic: range | None = None,
        others: bool = True,
    ) -> tuple[T, str]:
        return fold_sockets(fold, states, Asked(automatic, others, where))

    def holders(self, inodes: NDArray[np.uint32], *, rings: bool = False) -> Holders:
        return read_holders(inodes, rings=rings)

    def resolve(self, spec: EndpointSpec) -> list[Address]:
        return addresses.resolve(spec)

    def is_local(self, address: Address) -> bool:
        return addresses.is_local(address)

    def is_source(self, address: Address) -> bool:
        return addresses.is_source(address)

    def source_towards(self, destination: Endpoint) -> Address:
        return addresses.source_towards(destination)

    def addresses(self) -> list[Address]:
        return addresses.of_this_host()

    def claims(self) -> tuple[list[Claim], list[str]]:
        from fourtuple.kernel.services import read_claims

        found, why_not = read_claims()
        try:
            found += _claims(self.listeners()["local_port"], "TCP listener")
        except (OSError, CannotError) as error:
            why_not.append(f"the TCP listeners ({error})")
        try:
            asked = Asked(automatic=range(65536), protocol=socket.IPPROTO_UDP, unconnected=True)
            table, _ = fold_sockets(_joined, UDP_STATES, asked)
            found += _claims(table["local_port"][table["chosen"] == Chosen.BOUND], "UDP socket")
        except (OSError, CannotError, NoSuchDumpError) as error:
            why_not.append(f"the UDP sockets ({error})")
        return found, why_not

    def tested(self, unsure: Mask, connected: Mask, facts: PortFacts) -> tuple[Mask, Mask]:
        from fourtuple.kernel import canary

        asked, blocked = canary.held_ports(unsure & ~connected)
        if facts.range_can_be_set:
            # At least one connection, which shows whether connection tracking counts it.
            wanted = np.flatnonzero(unsure & connected).tolist() or [facts.port_range.start]
            for mask, ports in zip((asked, blocked), canary.blocked_ports(wanted, facts.automatic_ports), strict=True):
                mask[list(ports)] = True
        return asked, blocked


def _joined(tables: Iterable[Sockets]) -> Sockets:
    return np.concatenate([np.zeros(0, SOCKET), *tables])


def _claims(ports: "np.ndarray[tuple[int], np.dtype[np.uint16]]", by: str) -> Iterator[Claim]:
    return (Claim(port, port, by) for port in distinct(ports).tolist())
