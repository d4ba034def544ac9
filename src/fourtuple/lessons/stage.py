"""The environment of a lesson: its ports, its sockets, and the kernel's list of them.

In a private namespace, a lesson sets the port range it needs. If none is permitted, it runs on the host's loopback: it
uses an unused part of the host's range for its own sockets only (IP_LOCAL_PORT_RANGE), takes other port numbers if its
usual ones are in use, and leaves out everything that would change the host.
"""

import contextlib
import errno
import socket
import struct
from collections.abc import Callable, Generator, Iterable
from dataclasses import field
from typing import Any, TypeVar

from fourtuple.core.backports import Self
from fourtuple.core.errnos import Extent, symptom_of
from fourtuple.core.errors import CannotError, ShortfallError
from fourtuple.core.record import dataclass
from fourtuple.core.runs.records import HoldRecord, Sample
from fourtuple.core.runs.run import Run
from fourtuple.core.sockets.ends import Ends
from fourtuple.core.sockets.table import Sockets, State
from fourtuple.core.space.endpoints import Endpoint, EndpointSpec, parse_addresses
from fourtuple.core.space.ranges import Ranges
from fourtuple.core.space.tuples import Destinations
from fourtuple.core.units import format_count
from fourtuple.verbs.lab import port_facts, set_port_range
from fourtuple.verbs.looks import sockets

T = TypeVar("T")

IP_BIND_ADDRESS_NO_PORT, IP_LOCAL_PORT_RANGE = 24, 51  # <linux/in.h>
RESET = struct.pack("ii", 1, 0)  # SO_LINGER: close() sends a RST and leaves no TIME_WAIT
HERE = "127.0.0.1"
QUIET_BASE = 40000  # first port of a private range
EVERY_STATE = frozenset(State) - {State.NEW_SYN_RECV}


@dataclass(frozen=True, slots=True)
class Progress:
    """The progress of a lesson."""

    done: int
    of: int


@dataclass(frozen=True, slots=True)
class Demonstration:
    """The outcome of a lesson.

    did:       what the lesson did, in one sentence with real addresses and ports
    predicted, observed, evidence: as in Result (core/runs/proof.py)
    note:      what was left out or done differently, and why
    """

    did: str
    predicted: dict[str, Any]
    observed: dict[str, Any]
    evidence: dict[str, Any] = field(default_factory=dict)
    note: str = ""


Steps = Generator[Progress, None, Demonstration]


class Stage:
    """The ports and sockets of a lesson.

    private:     this process has its own network namespace
    connections: how many past-65536 opens; None: as the lesson decides
    """

    def __init__(self, *, private: bool, connections: int | None = None) -> None:
        self.private = private
        self.connections = connections
        self._clients: list[socket.socket] = []
        self._others: list[socket.socket] = []
        self._own_range: range | None = None  # of our sockets only

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.release()
        for sock in self._others:
            sock.close()

    def set_range(self, count: int) -> range:
        """Set the automatic range of this private namespace → its ports.

        Raises OSError where /proc/sys is read-only, as in many containers.
        """
        wanted = range(QUIET_BASE, QUIET_BASE + count)
        set_port_range(wanted)
        return wanted

    def narrow(self, count: int) -> range:
        """Limit the sockets of this stage to `count` automatic ports → these ports. Raises CannotError."""
        if self.private:
            with contextlib.suppress(OSError):
                return self.set_range(count)
        self._own_range = self._quiet_ports(count)
        with socket.socket() as probe:
            try:
                self._confine(probe)
            except OSError:
                raise CannotError(
                    f"cannot set a range of {count} ports",
                    "there is neither a private namespace nor IP_LOCAL_PORT_RANGE (Linux 6.3 and 6.1.32)",
                ) from None
        return self._own_range

    def port(self, wanted: int, count: int = 1) -> int:
        """`wanted`; outside a private namespace, the first of `count` consecutive unused ports from `wanted` on.

        If possible it is outside the automatic range, because a listener inside takes a port from the range.
        Raises CannotError.
        """
        if self.private:
            return wanted
        used, automatic = self._used_ports(), port_facts().port_range
        for avoided in (used | {*automatic}, used | {*(self._own_range or ())}):
            for port in range(wanted, 65_536 - count):
                if avoided.isdisjoint(range(port, port + count)):
                    return port
        raise CannotError(f"no {count} unused ports from {wanted} on", "every port is in use")

    def listen(self, port: int, address: str = HERE) -> Endpoint:
        """The address of a listener that never accepts; connections wait in its queue, established, by the thousand."""
        return self.endpoint_of(self.listener(port, address))

    def listener(self, port: int, address: str = HERE) -> socket.socket:
        """A listening socket, closed with the stage."""
        listener = socket.create_server((address, self.port(port)), backlog=4096)
        self._others.append(listener)
        return listener

    @staticmethod
    def endpoint_of(sock: socket.socket) -> Endpoint:
        """The local address of the socket."""
        host, port = sock.getsockname()
        return Endpoint.parse(f"{host}:{port}")

    def client(self) -> socket.socket:
        """An unbound socket; it is closed with a reset."""
        sock = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
        if self._own_range:
            self._confine(sock)
        self._clients.append(sock)
        return sock

    def fill(self, to: Endpoint, prepare: Callable[[socket.socket], None] = lambda sock: None) -> tuple[int, str]:
        """Connect new sockets until one fails → the number of connections, and the errno (`bind: …` if bind() failed).

        prepare: called with each socket before connect()
        """
        count = 0
        while True:
            sock = self.client()
            call = "bind: "
            try:
                prepare(sock)
                call = ""
                sock.connect((str(to.address), to.port))
            except OSError as error:
                if error.errno in (errno.EMFILE, errno.ENFILE):
                    raise  # not the limit that the lesson is about
                return count, f"{call}{errno.errorcode[error.errno or 0]}"
            count += 1

    def release(self) -> None:
        """Close every client, so that all ports are unused again."""
        for sock in self._clients:
            sock.close()
        self._clients.clear()

    def ends(self, *destinations: str, states: Iterable[State] = (State.ESTABLISHED,)) -> Ends:
        """The kernel's list of the sockets at both ends of the connections to these ADDRESS:PORT[-PORT]."""
        specs = [EndpointSpec.parse(text) for text in destinations]
        rectangles = Destinations.of((parse_addresses(spec.host)[1], spec.ports) for spec in specs if spec.ports)
        ends, _ = sockets(lambda tables: Ends.of(tables, rectangles), states)
        return ends

    def held(
        self, run: Run[Sample, HoldRecord], look: Callable[[], T]
    ) -> Generator[Progress, None, tuple[HoldRecord, T]]:
        """Run a hold to its end and yield its progress → its record, and the result of `look()`.

        `look()` is called once, when opening has ended and the kernel's count is final. Raises ShortfallError if that
        never happened, or if the hold fell short by what no claim is about: memory, files, a process that died.
        """
        seen: list[T] = []
        most = 0
        for sample in run:
            if not seen and sample.census is not None:
                seen.append(look())
            most = max(most, sample.open)  # the bar must not run backwards while the connections are closed
            yield Progress(most, sample.wanted)
        if not seen:
            raise ShortfallError("connections to count", "the hold ended before any was open")
        record = run.record
        ended = [name for name in record.failed if symptom_of(getattr(errno, name, 0)).ends is Extent.PROCESS]
        if record.stopped_by or record.workers_killed or ended:
            raise ShortfallError(f"{format_count(record.wanted)} connections", record.outcome.says)
        return record, seen[0]

    def _confine(self, sock: socket.socket) -> None:
        ports = self._own_range or range(0)
        value = struct.pack("=I", ports.start | (ports.stop - 1) << 16)
        sock.setsockopt(socket.IPPROTO_IP, IP_LOCAL_PORT_RANGE, value)

    def _quiet_ports(self, count: int) -> range:
        """`count` consecutive ports of the host's range that no socket uses; the first one is even."""
        ports, used = port_facts().port_range, self._used_ports()
        start = ports.start + ports.start % 2
        while start + count <= ports.stop:
            taken = [port for port in range(start, start + count) if port in used]
            if not taken:
                return range(start, start + count)
            start = taken[-1] + 2 - taken[-1] % 2
        raise CannotError(f"no {count} consecutive unused ports", f"none in {Ranges([ports])}")

    def _used_ports(self) -> set[int]:
        def ports(tables: Iterable[Sockets]) -> set[int]:
            return {port for table in tables for port in table["local_port"].tolist()}

        return sockets(ports, EVERY_STATE)[0]
