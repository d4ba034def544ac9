"""The examiner of a program: `python -m fourtuple.verbs.check.examine ORDER`, in the program's namespace.

It prints its observations, a line of JSON for each change, and at the end everything that `judge` needs.
Witnesses: the packets on the cable, the kernel's table, and short test connections to another destination.
"""

import contextlib
import errno
import itertools
import json
import signal
import sys
import threading
import time
from collections import deque
from collections.abc import Generator, Iterable, Iterator
from dataclasses import asdict
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from fourtuple.core.check.judge import Ended, Observation
from fourtuple.core.check.timeline import Connection, Packets, Timeline
from fourtuple.core.errnos import name_of
from fourtuple.core.errors import CannotError, FourtupleError, UsageError
from fourtuple.core.sockets.filter import Where
from fourtuple.core.sockets.table import SOCKET, Chosen, Sockets, State
from fourtuple.core.space.endpoints import Endpoint
from fourtuple.core.why.reader import read_findings
from fourtuple.kernel.begin import begin
from fourtuple.kernel.canary import blocked_ports
from fourtuple.kernel.netlink.sockdiag import Asked, fold_sockets
from fourtuple.kernel.proc.sysctl import write_sysctl
from fourtuple.kernel.sockopts import range_can_be_set
from fourtuple.kernel.tap import Tap
from fourtuple.verbs.check.program import Driver, Program

LOOK_EVERY_S, DRAIN_EVERY_S = 0.02, 0.005
OWN_AT_ONCE = 128  # ports tested per look, so that the next look is soon
CALM_S = 0.3  # after this time without a change, test which ports other programs can use
CANARY_EVERY_S = 1.0
LINGERS_S = 1.0  # a socket in CLOSE_WAIT for this time counts as leaked
AFTER_S = 2.0  # between the end of the program and the last test
OF_SYSTEM = (errno.EADDRNOTAVAIL, errno.EADDRINUSE, errno.EMFILE, errno.ENFILE, errno.ECONNREFUSED, errno.ETIMEDOUT)


class Order(msgspec.Struct, frozen=True):
    """The order for the examiner, see CheckOptions.

    ports:   first and last port of the range
    through: where the program listens as a proxy; None: it is not one
    """

    command: list[str]
    interface: str
    ports: tuple[int, int]
    destinations: list[str]
    sources: int
    run_s: float
    settle_s: float
    through: str | None = None
    send: bytes = b""
    aloud: bool = True  # pass the program's output on

    @property
    def automatic_ports(self) -> range:
        return range(self.ports[0], self.ports[1] + 1)


class Examiner:
    """The observations of the program so far, by all witnesses."""

    def __init__(self, order: Order, tap: Tap) -> None:
        ends = [Endpoint.parse(text) for text in order.destinations]
        self.ports = order.automatic_ports
        self.where = Where.parse(order.destinations, ())
        self.timeline = Timeline([(int(end.address), end.port) for end in ends])
        self.asked: set[int] = set()
        self.kept_own: set[int] = set()
        self.kept: frozenset[int] = frozenset()
        self.named: set[int] = set()
        self.listened: set[int] = set()
        self.lingering = 0  # most sockets in CLOSE_WAIT for LINGERS_S at the same time
        self.lost = 0
        self._tested: set[Connection] = set()  # open connections whose port was tested
        self._close_wait: dict[bytes, float] = {}  # since when each socket is in CLOSE_WAIT
        self._tap, self._packets = tap, deque[Packets]()
        self._over = threading.Event()
        self._reader = threading.Thread(target=self._drain, daemon=True)
        self._reader.start()

    def _drain(self) -> None:
        """Empty the ring of packets in a thread of its own, so that it never fills up."""
        while not self._over.wait(DRAIN_EVERY_S):
            self._packets.append(self._tap.read())

    def stop(self) -> None:
        self._over.set()
        self._reader.join()
        self._packets.append(self._tap.read())
        self.lost = self._tap.lost()
        self.read()

    def read(self) -> None:
        """Take the packets that have arrived since the last call."""
        while self._packets:
            self.timeline.see(self._packets.popleft())

    def look(self, now_s: float) -> tuple[int, int, int]:
        """Take a look → (connections open, connections opened so far, connections in CLOSE_WAIT)"""
        self.read()
        table = self._sockets()
        inside = (table["local_port"] >= self.ports.start) & (table["local_port"] < self.ports.stop)
        listening = inside & (table["state"] == State.LISTEN)
        self.listened.update(table["local_port"][listening].tolist())
        self.named.update(table["local_port"][listening | inside & (table["chosen"] == Chosen.BOUND)].tolist())
        waiting = table[self._towards(table) & (table["state"] == State.CLOSE_WAIT)]["cookie"].tolist()
        self._close_wait = {cookie: self._close_wait.get(cookie, now_s) for cookie in waiting}
        lingering = sum(now_s - since_s >= LINGERS_S for since_s in self._close_wait.values())
        self.lingering = max(self.lingering, lingering)
        return len(self.timeline.open), sum(self.timeline.opened), len(self._close_wait)

    def ask_for_its_own(self, program: Program) -> None:
        """Test whether others can use the ports of open connections, a few at a time.

        A port is tested once from the first connection that has it until the last one has ended: how that first one got
        the port shows only at once. A bind() to another address of the port blocks it later, too, before Linux 6.18
        also after that socket has gone.
        """
        open_now = self.timeline.open.keys()
        self._tested &= open_now
        new = {port for _, port, _ in open_now if port in self.ports} - {port for _, port, _ in self._tested}
        if not new:
            return
        ports = set(itertools.islice(new, OWN_AT_ONCE))
        kept = lost_to_others(ports, program)
        if kept is None:
            return
        # By the kernel's table: of a connection that was closed meanwhile, the packets may not have been read yet.
        ports &= self._open_ports()
        self.read()
        still = {connection for connection in self.timeline.open if connection[1] in ports}
        self._tested |= still
        self.kept_own |= kept
        self.asked |= kept | {port for _, port, _ in still}

    def ask_for_all(self, program: Program) -> bool:
        """Test which ports of the range others cannot use → was that possible?"""
        kept = lost_to_others(self.ports, program)
        self.kept = max(self.kept, kept or frozenset(), key=len)
        return kept is not None

    def _open_ports(self) -> set[int]:
        """The local ports of the connections to the destinations that a process has open."""
        table = self._sockets()
        return set(table["local_port"][self._towards(table) & (table["inode"] != 0)].tolist())

    def time_wait(self) -> int:
        """The number of connections to the destinations in TIME_WAIT."""
        table = self._sockets()
        return int((self._towards(table) & (table["state"] == State.TIME_WAIT)).sum())

    def _sockets(self) -> Sockets:
        """The sockets towards the destinations, and those that hold ports of the range."""

        def fold(tables: Iterable[Sockets]) -> Sockets:
            return np.concatenate([np.zeros(0, SOCKET), *tables])

        return fold_sockets(fold, State, Asked(automatic=self.ports, where=self.where, unconnected=True))[0]

    def _towards(self, table: Sockets) -> NDArray[np.bool_]:
        """Which rows are the near ends of connections to the destinations."""
        return self.where.has(table["local"], table["remote"], table["remote_port"])


def examine(order: Order, enough: threading.Event) -> Iterator[dict[str, Any] | Observation]:
    """The observations, at each change, and finally all of them together. Raises UsageError, CannotError, OSError.

    enough: an event that ends the examination when it is set
    """
    ports = order.automatic_ports
    write_sysctl(
        "net.ipv4.tcp_rfc1337", "1"
    )  # otherwise a late RST from a server ends some TIME_WAITs, and counts vary
    lost_to_others(ports)  # before anything is started: raises if the test is not possible
    driver = None
    with contextlib.ExitStack() as until_the_end:
        examiner = Examiner(order, until_the_end.enter_context(Tap(order.interface)))
        until_the_end.callback(examiner.stop)
        try:
            program = Program(order.command, aloud=order.aloud)
        except OSError as error:
            raise UsageError(f"cannot run {order.command[0]}", error.strerror or str(error)) from None
        until_the_end.callback(program.end)
        if order.through is not None:
            most = len(ports) * len(order.destinations) * order.sources + len(ports)
            driver = Driver(order.through, order.send, most, ports)
            until_the_end.callback(driver.close)
        ended = yield from _while_it_runs(order, program, driver, examiner, enough)
        exit_code, left = program.exit, 0
        if exit_code is not None and driver is None and program.is_running():
            left = len(examiner.timeline.open)
        program.end()
        if driver:
            driver.close()
        time.sleep(AFTER_S)
        examiner.stop()
        timeline = examiner.timeline
        number, call = met(program.said())
        yield Observation(
            ports=len(ports),
            destinations=order.destinations,
            most=timeline.most,
            opened=sum(timeline.opened),
            refused=timeline.refused,
            closed_first=timeline.closed_first,
            asked=frozenset(examiner.asked),
            kept_own=frozenset(examiner.kept_own),
            kept=examiner.kept,
            kept_after=lost_to_others(ports) or frozenset(),
            named=frozenset(examiner.named),
            listened=frozenset(examiner.listened),
            time_wait=examiner.time_wait(),
            close_wait=examiner.lingering,
            left=left,
            errno=name_of(number) if number else "",
            call=call,
            exit=exit_code,
            ended=ended,
            lost=examiner.lost,
            driven=driver.is_up if driver else None,
        )


def _while_it_runs(
    order: Order, program: Program, driver: Driver | None, examiner: Examiner, enough: threading.Event
) -> Generator[dict[str, Any], None, Ended]:
    """Observe until the program has ended, nothing has changed for `settle_s`, or its time is over."""
    start_s = changed_s = time.monotonic()
    ended_s: float | None = None
    asked_s = 0.0
    asked_of = before = (0, 0, 0)
    while True:
        look_s = time.monotonic()
        state = examiner.look(look_s)
        if state != before:
            before, changed_s = state, look_s
            yield {"open": state[0], "opened": state[1]}
        is_calm = look_s - changed_s >= CALM_S or look_s - max(asked_s, start_s) >= CANARY_EVERY_S
        if state[1] and state != asked_of and is_calm:
            asked_s = look_s
            asked_of = state if examiner.ask_for_all(program) else asked_of
        examiner.ask_for_its_own(program)
        if driver:
            driver.drive()
        if not program.is_running():
            return Ended.ITSELF
        if program.exit is not None and driver is None:
            ended_s = ended_s or look_s
        if look_s - (ended_s or start_s) >= (LINGERS_S if ended_s else order.run_s):
            return Ended.ITSELF if ended_s else Ended.TIME
        if state[1] and look_s - changed_s >= order.settle_s:
            return Ended.SETTLED
        if enough.is_set():
            return Ended.ASKED
        time.sleep(max(LOOK_EVERY_S, time.monotonic() - look_s))


def lost_to_others(ports: Iterable[int], program: Program | None = None) -> frozenset[int] | None:
    """The ports that connect() to another destination cannot get; None: the program could not be stopped.

    program: stopped meanwhile on a kernel without IP_LOCAL_PORT_RANGE, where the test narrows the range of the whole
             namespace; None: it is not running

    Raises CannotError.
    """
    by_sysctl = not range_can_be_set()
    stopped = program.stopped() if by_sysctl and program else contextlib.nullcontext(True)
    try:
        with stopped as is_still:
            return frozenset(blocked_ports(ports, by_sysctl=by_sysctl)[1]) if is_still else None
    except CannotError as error:
        raise CannotError("cannot test which ports others can use", error.stopped_by) from None


def met(said: str) -> tuple[int, str]:
    """The last errno in the program's output, and the call; 0: there is none."""
    for line in reversed(said.splitlines()):
        for finding in read_findings([line]) if line.strip() else ():
            if finding.errno in OF_SYSTEM:
                return finding.errno, finding.call
    return 0, ""


def main(order: str) -> int:
    begin()
    enough = threading.Event()
    signal.signal(signal.SIGINT, lambda *_: enough.set())
    signal.signal(signal.SIGTERM, lambda number, _: sys.exit(128 + number))
    print(json.dumps({"open": 0, "opened": 0}), flush=True)  # from now on it can be asked to finish
    try:
        for said in examine(msgspec.json.decode(order, type=Order), enough):
            if isinstance(said, Observation):
                _let_be()
            print(
                json.dumps({"seen": asdict(said)} if isinstance(said, Observation) else said, default=list), flush=True
            )
    except FourtupleError as error:
        _let_be()
        said = {"error": type(error).__name__, "parts": [error.wanted, error.stopped_by, error.do]}
        print(json.dumps(said), flush=True)
        return error.exit_code
    return 0


def _let_be() -> None:
    """It is finishing: ignore signals that would end it."""
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_IGN)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
