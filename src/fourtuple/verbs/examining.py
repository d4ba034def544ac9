"""A program watched while it connects: `python -m fourtuple.verbs.examining ORDER`, in the namespace it is to be in.

It says what it sees, a line of JSON each time something has changed, and at the end all that `judge` goes by.
Witnesses: the packets on the cable, the kernel's table, and short connections of our own to somewhere else.
"""

import contextlib
import errno
import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass, field
from typing import IO, Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from fourtuple.core.census import SOCKET, Chosen, Sockets, State
from fourtuple.core.endpoints import Endpoint
from fourtuple.core.errors import CannotError, FourtupleError, UsageError
from fourtuple.core.sharing import Seen
from fourtuple.core.symptoms import name_of
from fourtuple.core.timeline import Timeline
from fourtuple.core.where import Where
from fourtuple.core.why import read_saying
from fourtuple.kernel import process
from fourtuple.kernel.canary import blocked_ports
from fourtuple.kernel.sockdiag import Asked, fold_sockets
from fourtuple.kernel.sockopts import LINGER_RESET
from fourtuple.kernel.sysctl import write_sysctl
from fourtuple.kernel.wire import Tap

LOOK_EVERY_S = 0.02
CALM_S = 0.3  # nothing has changed for so long: time to see what others can still do
CANARY_EVERY_S = 1.0
LINGERS_S = 1.0  # a socket in CLOSE_WAIT for so long is left there
AFTER_S = 2.0  # after the end others are asked again
END_S = 2.0  # between SIGTERM and SIGKILL
TAIL_BYTES = 64 * 1024  # of what the program says, to find the errno in
THROUGH_BATCH, THROUGH_SOURCES = 16, "127.0.0.{}"
OF_SYSTEM = (errno.EADDRNOTAVAIL, errno.EADDRINUSE, errno.EMFILE, errno.ENFILE, errno.ECONNREFUSED, errno.ETIMEDOUT)


class Order(msgspec.Struct, frozen=True):
    """What is to be done. ports: first and last; through: where the program listens, and is to be driven; None: not"""

    command: list[str]
    interface: str
    ports: tuple[int, int]
    destinations: list[str]
    sources: int
    run_s: float
    settle_s: float
    through: str | None = None
    send: str = ""
    aloud: bool = True  # what the program says is passed on


@dataclass
class Notes:
    """What was found so far."""

    kept: frozenset[int] | None = None
    named: set[int] = field(default_factory=set)
    close_wait: dict[bytes, float] = field(default_factory=dict)  # since when each is in it
    lingering: int = 0  # the most that were in it for LINGERS_S
    lost: int = 0


class Program:
    """The program, and what it says, which goes to our standard error."""

    def __init__(self, command: Sequence[str], *, aloud: bool) -> None:
        process.adopt_orphans()
        self._known = process.children()
        parent, (soft, _) = os.getpid(), process.raise_soft_files()

        def prepare() -> None:
            process.set_soft_files(soft)  # the program's is what its user has
            process.die_with_parent(parent)

        self._program = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            start_new_session=True,
            preexec_fn=prepare,
        )
        self._tail, self._aloud = b"", aloud
        assert self._program.stdout is not None  # noqa: S101  (for the type checker)
        self._reader = threading.Thread(target=self._relay, args=(self._program.stdout,), daemon=True)
        self._reader.start()

    def _relay(self, output: IO[bytes]) -> None:
        while data := os.read(output.fileno(), 4096):
            self._tail = (self._tail + data)[-TAIL_BYTES:]
            if self._aloud:
                with contextlib.suppress(OSError):
                    os.write(2, data)

    @property
    def exit(self) -> int | None:
        """128 + n where signal n ended it; None: it is running."""
        code = self._program.poll()
        return 128 - code if code is not None and code < 0 else code

    def is_running(self) -> bool:
        """It, or what it has started."""
        if self.exit is None:
            return True
        for pid in process.children() - self._known:
            with contextlib.suppress(ChildProcessError):
                os.waitpid(pid, os.WNOHANG)
        return bool(process.children() - self._known)

    def said(self) -> str:
        self._reader.join(0.2)
        return self._tail.decode(errors="replace")

    def end(self) -> None:
        if self.exit is None:
            self._program.terminate()
            with contextlib.suppress(subprocess.TimeoutExpired):
                self._program.wait(END_S)
            self._program.kill()
            self._program.wait()
        process.end_children(but=self._known)


class Driver:
    """Connections through the program, where it listens: from addresses and ports that are nobody's.

    They have ports of their own, so that they take none of the range's.
    """

    def __init__(self, through: str, send: bytes, most: int, avoid: range) -> None:
        self._target, self._send, self._left = Endpoint.parse(through), send, most
        ports = [port for port in range(1024, 65536) if port not in avoid][:20_000]
        addresses = [THROUGH_SOURCES.format(number) for number in range(2, 250)]
        self._ends = ((address, port) for address in addresses for port in ports)
        self._sockets: list[tuple[socket.socket, bool]] = []

    def drive(self) -> None:
        """Open a few more, and say on those that are open what there is to say."""
        for sock, said in self._sockets:
            if not said and self._send:
                with contextlib.suppress(OSError):
                    sock.send(self._send)
        self._sockets = [(sock, True) for sock, _ in self._sockets]
        for _ in range(min(THROUGH_BATCH, self._left)):
            sock = self._socket()
            sock.setblocking(False)
            try:
                sock.bind(next(self._ends))
                number = sock.connect_ex((str(self._target.address), self._target.port))
            except OSError as error:
                number = error.errno or 0
            if number not in (0, errno.EINPROGRESS):
                sock.close()
                continue
            self._sockets.append((sock, False))
            self._left -= 1

    def is_up(self) -> bool:
        """Does the program listen?"""
        sock = self._socket()
        try:
            sock.bind(next(self._ends))
            sock.connect((str(self._target.address), self._target.port))
        except OSError:
            sock.close()
            return False
        self._sockets.append((sock, False))
        return True

    @staticmethod
    def _socket() -> socket.socket:
        sock = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, LINGER_RESET)
        return sock

    def close(self) -> None:
        for sock, _ in self._sockets:
            sock.close()


def examine(order: Order) -> Iterator[dict[str, Any] | Seen]:
    """What is seen, whenever it has changed, and last what was seen in all. Raises CannotError, OSError."""
    ends = [Endpoint.parse(text) for text in order.destinations]
    ports, where = range(order.ports[0], order.ports[1] + 1), Where.parse(order.destinations, ())
    write_sysctl("net.ipv4.tcp_rfc1337", "1")  # else a late RST of a server ends some TIME_WAITs, and counts vary
    others_can_have(ports)  # before anything is started: can it be asked at all?
    timeline = Timeline([(int(end.address), end.port) for end in ends])
    notes, driver = Notes(), None
    with contextlib.ExitStack() as until_the_end:
        tap = until_the_end.enter_context(Tap(order.interface))
        try:
            program = Program(order.command, aloud=order.aloud)
        except OSError as error:
            raise UsageError(f"the command {order.command[0]}", error.strerror or str(error)) from None
        until_the_end.callback(program.end)
        if order.through is not None:
            most = len(ports) * len(ends) * order.sources + len(ports)
            driver = Driver(order.through, order.send.encode("latin-1"), most, ports)
            until_the_end.callback(driver.close)
        yield from _while_it_runs(order, program, driver, tap, timeline, notes, ports, where)
        exit_code, left = program.exit, 0
        if exit_code is not None and driver is None and program.is_running():
            left = len(timeline.open)
        program.end()
        if driver:
            driver.close()
        time.sleep(AFTER_S)
        _read(tap, timeline, notes)
        kept_after = others_can_have(ports)
        number, call = met(program.said())
        yield Seen(
            ports=len(ports),
            destinations=order.destinations,
            most=timeline.most,
            opened=sum(timeline.opened),
            refused=timeline.refused,
            closed_first=timeline.closed_first,
            kept=notes.kept,
            kept_after=kept_after,
            named=frozenset(notes.named),
            time_wait=_count(_sockets(where, ports), where, State.TIME_WAIT),
            close_wait=notes.lingering,
            left=left,
            errno=name_of(number) if number else "",
            call=call,
            exit=exit_code,
            lost=notes.lost,
        )


def _while_it_runs(
    order: Order,
    program: Program,
    driver: Driver | None,
    tap: Tap,
    timeline: Timeline,
    notes: Notes,
    ports: range,
    where: Where,
) -> Iterator[dict[str, Any]]:
    """Until it has ended, or nothing has changed for `settle_s`, or its time is over."""
    start_s = changed_s = time.monotonic()
    ended_s: float | None = None
    asked_s = 0.0
    asked_of = before = (0, 0, 0)
    is_up = driver is None
    while True:
        look_s = time.monotonic()
        _read(tap, timeline, notes)
        _note(_sockets(where, ports), where, ports, notes, look_s)
        state = (len(timeline.open), sum(timeline.opened), len(notes.close_wait))
        if state != before:
            before, changed_s = state, look_s
            yield {"open": state[0], "opened": state[1]}
        if (
            state[1]
            and state != asked_of
            and (look_s - changed_s >= CALM_S or look_s - max(asked_s, start_s) >= CANARY_EVERY_S)
        ):
            asked_of, asked_s = state, look_s
            kept = others_can_have(ports)
            notes.kept = kept if notes.kept is None or len(kept) > len(notes.kept) else notes.kept
        if driver and is_up:
            driver.drive()
        elif driver:
            is_up = driver.is_up()
        if not program.is_running():
            _read(tap, timeline, notes)
            return
        if program.exit is not None and driver is None:
            ended_s = ended_s or look_s
        over = look_s - (ended_s or start_s) >= (LINGERS_S if ended_s else order.run_s)
        if over or (state[1] and look_s - changed_s >= order.settle_s):
            return
        time.sleep(max(LOOK_EVERY_S, time.monotonic() - look_s))


def others_can_have(ports: range) -> frozenset[int]:
    """Those of the ports that connect() to somewhere else is *not* given. Raises CannotError."""
    try:
        return frozenset(blocked_ports(ports)[1])
    except CannotError as error:
        raise CannotError("to see what is left to others", error.stopped_by, "It takes Linux 6.3.") from None


def met(said: str) -> tuple[int, str]:
    """The errno that the program said it met, the last one, and the call; 0: it said none."""
    for line in reversed(said.splitlines()):
        if line.strip() and (saying := read_saying(line)).errno in OF_SYSTEM:
            return saying.errno, saying.call
    return 0, ""


def _read(tap: Tap, timeline: Timeline, notes: Notes) -> None:
    timeline.see(tap.read())
    notes.lost += tap.lost()


def _sockets(where: Where, ports: range) -> Sockets:
    """Those towards the destinations, and those that hold ports of the range."""

    def fold(tables: Iterable[Sockets]) -> Sockets:
        return np.concatenate([np.zeros(0, SOCKET), *tables])

    return fold_sockets(fold, State, Asked(automatic=ports, where=where))[0]


def _note(table: Sockets, where: Where, ports: range, notes: Notes, now_s: float) -> None:
    inside = (table["local_port"] >= ports.start) & (table["local_port"] < ports.stop)
    named = inside & ((table["chosen"] == Chosen.BOUND) | (table["state"] == State.LISTEN))
    notes.named.update(table["local_port"][named].tolist())
    waiting = table[_in_state(table, where, State.CLOSE_WAIT)]["cookie"].tolist()
    notes.close_wait = {cookie: notes.close_wait.get(cookie, now_s) for cookie in waiting}
    lingering = sum(now_s - since_s >= LINGERS_S for since_s in notes.close_wait.values())
    notes.lingering = max(notes.lingering, lingering)


def _in_state(table: Sockets, where: Where, state: State) -> NDArray[np.bool_]:
    """Which of them are the near ends of connections to the destinations, in this state?"""
    towards = where.has(table["local"], table["remote"], table["remote_port"])
    found: NDArray[np.bool_] = towards & (table["state"] == state)
    return found


def _count(table: Sockets, where: Where, state: State) -> int:
    return int(_in_state(table, where, state).sum())


def main(order: str) -> int:
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda number, _: sys.exit(128 + number))
    try:
        for said in examine(msgspec.json.decode(order, type=Order)):
            print(json.dumps({"seen": asdict(said)} if isinstance(said, Seen) else said, default=list), flush=True)
    except FourtupleError as error:
        said = {"error": type(error).__name__, "parts": [error.wanted, error.stopped_by, error.do]}
        print(json.dumps(said), flush=True)
        return error.exit_code
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
