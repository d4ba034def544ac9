"""Filters for socket dumps: the kernel copies out only sockets that pass the filter (inet_diag, INET_DIAG_BC_*).

A filter is a program of struct inet_diag_bc_op: a code, how many bytes to jump if its condition holds, and how many if
not. A run that ends exactly at the end of the program accepts the socket; one that ends four bytes further rejects it
(inet_diag_bc_run and inet_diag_bc_audit, net/ipv4/inet_diag.c, v6.18).
"""

import ipaddress
import itertools
import socket
import struct
from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple

from fourtuple.core.sockets.filter import EVERY_ADDRESS, EndpointRange, Where

# include/uapi/linux/inet_diag.h (v6.18)
BC_JMP, BC_S_GE, BC_S_LE, BC_D_GE, BC_D_LE, BC_AUTO, BC_S_COND, BC_D_COND = range(1, 9)

_OP = struct.Struct("=BBH")
_HOST = struct.Struct("=BBxxi")  # struct inet_diag_hostcond: family, prefix length, port; the address follows
MOST_CLAUSES = 64  # a dump that would need more clauses is not filtered
ANY_PORT = range(65536)


class Condition(NamedTuple):
    """One condition of a filter; operand: the bytes that follow its operation."""

    code: int
    operand: bytes = b""
    negated: bool = False

    @property
    def size(self) -> int:
        return _OP.size * (2 if self.negated else 1) + len(self.operand)


# NAMED_PORT: sockets that named their port in bind(), which sets SOCK_BINDPORT_LOCK; bind(address, 0) does not
# (net/ipv4/af_inet.c, v6.18). BC_AUTO matches all other sockets.
AUTOMATIC_PORT = Condition(BC_AUTO)
NAMED_PORT = AUTOMATIC_PORT._replace(negated=True)


def program(clauses: Sequence[Sequence[Condition]]) -> bytes:
    """The filter that accepts sockets for which all conditions of at least one clause hold.

    An empty clause accepts every socket; the filter is b"" then.
    """
    if not all(clauses):
        return b""
    sizes = [sum(condition.size for condition in clause) + _OP.size for clause in clauses]
    end = sum(sizes) - _OP.size  # the last clause needs no jump after it
    code = bytearray()
    for number, clause in enumerate(clauses):
        is_last = number + 1 == len(clauses)
        refused = end + _OP.size if is_last else sum(sizes[: number + 1])
        for condition in clause:
            code += _condition(condition, refused - len(code))
        if not is_last:
            code += _OP.pack(BC_JMP, _OP.size, end - len(code))  # always takes the jump for "no"
    return bytes(code)


def _condition(condition: Condition, refused: int) -> bytes:
    """The operation for a condition; refused: how many bytes to jump if the condition does not hold."""
    size = _OP.size + len(condition.operand)
    if not condition.negated:
        return _OP.pack(condition.code, size, refused) + condition.operand
    jump = _OP.pack(BC_JMP, _OP.size, refused - size)
    return _OP.pack(condition.code, size, size + _OP.size) + condition.operand + jump


def local_ports(ports: range) -> list[Condition]:
    """The conditions for a local port in this range; empty for all ports."""
    return _ports(BC_S_GE, BC_S_LE, ports)


def remote_ports(ports: range) -> list[Condition]:
    """The conditions for a remote port in this range; empty for all ports."""
    return _ports(BC_D_GE, BC_D_LE, ports)


def _ports(at_least: int, at_most: int, ports: range) -> list[Condition]:
    """The conditions for a port in this range: the port is the third field of a second operation that follows."""
    first, last = (_OP.pack(0, 0, port) for port in (ports.start, ports.stop - 1))
    conditions = []
    if ports.start > 0:
        conditions.append(Condition(at_least, first))
    if ports.stop < ANY_PORT.stop:
        conditions.append(Condition(at_most, last))
    return conditions


class End(NamedTuple):
    """One end of a connection, as a filter describes it; network None: any address."""

    network: ipaddress.IPv4Network | ipaddress.IPv6Network | None = None
    ports: range = ANY_PORT

    def conditions(self, code: int, ports: Callable[[range], list[Condition]]) -> list[Condition]:
        """The conditions for this end; code: BC_S_COND or BC_D_COND; ports: local_ports or remote_ports."""
        if self.network is None:
            return ports(self.ports)
        family = socket.AF_INET if self.network.version == 4 else socket.AF_INET6
        host = _HOST.pack(family, self.network.prefixlen, -1) + self.network.network_address.packed
        return [Condition(code, host), *ports(self.ports)]


def connections(where: Where) -> list[list[Condition]]:
    """The clauses for these connections, whichever of their ends is on this host.

    One empty clause, which accepts everything, if more than MOST_CLAUSES would be needed.
    """
    clauses: list[list[Condition]] = []
    for far, near in itertools.product(_ends(where.to), _ends(where.sources)):
        for local, remote in ((near, far), (far, near)):
            clause = [*local.conditions(BC_S_COND, local_ports), *remote.conditions(BC_D_COND, remote_ports)]
            if not clause or len(clauses) == MOST_CLAUSES:
                return [[]]
            clauses.append(clause)
    return clauses


def _ends(parts: Sequence[EndpointRange]) -> Iterator[End]:
    """Address ranges as networks, which is what the kernel compares addresses with."""
    if not parts:
        yield End()
    for part in parts:
        if part.addresses == EVERY_ADDRESS[part.version]:
            yield End(None, part.ports)
            continue
        kind = ipaddress.IPv4Address if part.version == 4 else ipaddress.IPv6Address
        first, last = kind(part.addresses.start), kind(part.addresses.stop - 1)
        for network in ipaddress.summarize_address_range(first, last):
            yield End(network, part.ports)
