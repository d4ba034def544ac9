"""Filters that the kernel applies to a dump of sockets: only what passes is copied out (inet_diag, INET_DIAG_BC_*).

A filter is a program of struct inet_diag_bc_op: a code, how many bytes to go on if yes, and how many if no. To end
exactly behind it accepts, four bytes further does not (inet_diag_bc_run and inet_diag_bc_audit, net/ipv4/inet_diag.c,
v6.18).
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
_HOST = struct.Struct("=BBxxi")  # struct inet_diag_hostcond: family, prefix length, port, and the address behind it
MOST_CLAUSES = 64  # of a longer filter the kernel is not asked
ANY_PORT = range(65536)


class Condition(NamedTuple):
    code: int
    operand: bytes = b""
    negated: bool = False

    @property
    def size(self) -> int:
        return _OP.size * (2 if self.negated else 1) + len(self.operand)


# Sockets that got their port by bind() to it: SOCK_BINDPORT_LOCK, which bind(address, 0) does not set
# (net/ipv4/af_inet.c, v6.18). BC_AUTO asks for the others.
AUTOMATIC_PORT = Condition(BC_AUTO)
NAMED_PORT = AUTOMATIC_PORT._replace(negated=True)


def program(clauses: Sequence[Sequence[Condition]]) -> bytes:
    """The filter that accepts what fulfils all conditions of one of the clauses; empty: everything passes."""
    if not all(clauses):
        return b""
    sizes = [sum(condition.size for condition in clause) + _OP.size for clause in clauses]
    end = sum(sizes) - _OP.size  # the last clause needs no jump behind it
    code = bytearray()
    for number, clause in enumerate(clauses):
        is_last = number + 1 == len(clauses)
        refused = end + _OP.size if is_last else sum(sizes[: number + 1])
        for condition in clause:
            code += _condition(condition, refused - len(code))
        if not is_last:
            code += _OP.pack(BC_JMP, _OP.size, end - len(code))  # always goes the way of no
    return bytes(code)


def _condition(condition: Condition, refused: int) -> bytes:
    """refused: how far on it goes where the condition is not fulfilled"""
    size = _OP.size + len(condition.operand)
    if not condition.negated:
        return _OP.pack(condition.code, size, refused) + condition.operand
    jump = _OP.pack(BC_JMP, _OP.size, refused - size)
    return _OP.pack(condition.code, size, size + _OP.size) + condition.operand + jump


def local_ports(ports: range) -> list[Condition]:
    return _ports(BC_S_GE, BC_S_LE, ports)


def remote_ports(ports: range) -> list[Condition]:
    return _ports(BC_D_GE, BC_D_LE, ports)


def _ports(at_least: int, at_most: int, ports: range) -> list[Condition]:
    """The port is the third field of the operation behind."""
    first, last = (_OP.pack(0, 0, port) for port in (ports.start, ports.stop - 1))
    conditions = []
    if ports.start > 0:
        conditions.append(Condition(at_least, first))
    if ports.stop < ANY_PORT.stop:
        conditions.append(Condition(at_most, last))
    return conditions


class End(NamedTuple):
    """None: any"""

    network: ipaddress.IPv4Network | ipaddress.IPv6Network | None = None
    ports: range = ANY_PORT

    def conditions(self, code: int, ports: Callable[[range], list[Condition]]) -> list[Condition]:
        """code: BC_S_COND or BC_D_COND"""
        if self.network is None:
            return ports(self.ports)
        family = socket.AF_INET if self.network.version == 4 else socket.AF_INET6
        host = _HOST.pack(family, self.network.prefixlen, -1) + self.network.network_address.packed
        return [Condition(code, host), *ports(self.ports)]


def connections(where: Where) -> list[list[Condition]]:
    """The clauses for these connections, whichever end is here; one that is empty where that would be too long."""
    clauses: list[list[Condition]] = []
    for far, near in itertools.product(_ends(where.to), _ends(where.sources)):
        for local, remote in ((near, far), (far, near)):
            clause = [*local.conditions(BC_S_COND, local_ports), *remote.conditions(BC_D_COND, remote_ports)]
            if not clause or len(clauses) == MOST_CLAUSES:
                return [[]]
            clauses.append(clause)
    return clauses


def _ends(parts: Sequence[EndpointRange]) -> Iterator[End]:
    """Ranges of addresses as networks, which is what the kernel compares with."""
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
