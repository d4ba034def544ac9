"""`check`: run a program in a namespace with few source ports, and report how it uses them."""

import json
import os
import re
import select
import signal
import subprocess
from collections.abc import Generator, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from ipaddress import ip_interface
from typing import Any

import msgspec

from fourtuple.core import errors
from fourtuple.core.check.judge import Conduct, Ended, Observation, judge
from fourtuple.core.errors import CannotError, ShortfallError, UsageError
from fourtuple.core.numbers import number_of
from fourtuple.core.record import dataclass
from fourtuple.core.runs.run import Run
from fourtuple.core.space.endpoints import Endpoint
from fourtuple.core.topology import Cable, Port
from fourtuple.core.units import format_size
from fourtuple.kernel import children
from fourtuple.kernel.again import again
from fourtuple.verbs.check.examine import Order
from fourtuple.verbs.check.servers import READY, Answer, answer_named
from fourtuple.verbs.lab import Lab

FIRST_PORT = 32768  # the kernel's default
PORTS, DESTINATIONS, SOURCES = range(2, 28_001), range(1, 1001), range(1, 251)
SERVER, SERVER_PORT = "10.77.1.1", 8001
SOURCE = "10.77.0.{}"
NEAR, FAR = "cable1", "cable2"
MOST_TEXT_BYTES = 48 * 1024  # passed as an argument, in hexadecimal or base64; one has at most 128 KiB (execve(2))
REQUEST = b"GET / HTTP/1.1\r\nHost: fourtuple\r\n\r\n"
_PLACE = re.compile(r"\{(dest|url|host|port|source)(\d*)\}|\{(dests|sources)\}")


@dataclass(frozen=True, slots=True)
class Glimpse:
    """The progress of the program.

    open:   connections open now
    opened: connections opened so far
    """

    open: int
    opened: int


@dataclass(frozen=True, slots=True)
class Testbed:
    """Two hosts joined by a cable: `near` has few ports, `far` has the servers.

    destinations: ADDRESS:PORT of each server
    sources:      source addresses for the program
    """

    near: Lab
    far: Lab
    ports: range
    destinations: tuple[str, ...]
    sources: tuple[str, ...]

    @property
    def environment(self) -> dict[str, str]:
        """The environment of the program."""
        lists = {"DESTINATIONS": self.destinations, "SOURCES": self.sources}
        return dict(os.environ) | {f"FOURTUPLE_{name}": ",".join(values) for name, values in lists.items()}

    def filled_in(self, command: Sequence[str]) -> list[str]:
        """The command with its placeholders replaced: {dest} {dest1} … {dests}, {url1}, {host1}, {port1}, {source1} …

        Raises UsageError if a number is too high.
        """
        return [_PLACE.sub(self._meant, word) for word in command]

    def _meant(self, match: re.Match[str]) -> str:
        name, number, several = match.groups()
        if several:
            return ",".join(self.destinations if several == "dests" else self.sources)
        those = self.sources if name == "source" else self.destinations
        index = (number_of(number or "1") or 0) - 1
        if not 0 <= index < len(those):
            raise UsageError(match[0], f"there {'is' if len(those) == 1 else 'are'} only {len(those)}")
        host, port = those[index].partition(":")[::2]
        return {"dest": those[index], "url": f"http://{those[index]}/", "host": host, "port": port}.get(name, host)


@contextmanager
def ground(*, ports: int = 64, destinations: int = 3, sources: int = 1) -> Iterator[Testbed]:
    """Two private network namespaces and the cable between them. Raises UsageError, CannotError."""
    for what, count, possible in (
        ("ports", ports, PORTS),
        ("destinations", destinations, DESTINATIONS),
        ("sources", sources, SOURCES),
    ):
        if count not in possible:
            raise UsageError(f"{count:,} {what}", f"must be between {possible.start} and {possible.stop - 1:,}")
    if ports % 2:
        raise UsageError(f"{ports:,} ports", "connect() leaves one out if the number is odd", f"Use {ports + 1:,}.")
    automatic = range(FIRST_PORT, FIRST_PORT + ports)
    near_ends = tuple(SOURCE.format(number) for number in range(1, sources + 1))
    far_ends = tuple(f"{SERVER}:{SERVER_PORT + number}" for number in range(destinations))
    with Lab(ports=automatic) as near, Lab(beside=near) as far:
        near_port = Port(NEAR, tuple(ip_interface(f"{address}/16") for address in near_ends))
        far.join(Cable(near_port, Port(FAR, (ip_interface(f"{SERVER}/16"),))), near=near)
        yield Testbed(near, far, automatic, far_ends, near_ends)


@contextmanager
def answering(far: Lab, endpoints: Sequence[str], answer: Answer, text: bytes = b"") -> Iterator[None]:
    """Servers in the lab, listening during the block. Raises ShortfallError if they cannot listen."""
    command = far.command(again("fourtuple.verbs.check.servers", answer, text.hex(), *endpoints))
    with subprocess.Popen(
        command,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    ) as server:
        assert server.stdout is not None  # noqa: S101  (for the type checker)
        try:
            if server.stdout.readline().strip() != READY:
                raise ShortfallError(f"servers on {', '.join(endpoints)}", server.communicate()[1].strip())
            yield
        finally:
            far.kill(server)  # its connections are reset; there is nothing to clean up


@dataclass(frozen=True, slots=True)
class CheckOptions:
    """The options of `check`.

    command:      with placeholders, see Testbed.filled_in; FOURTUPLE_DESTINATIONS and FOURTUPLE_SOURCES have the same
    ports:        source ports available to the program; an even number
    destinations: servers, all on one address, each with a port of its own
    sources:      source addresses for the program
    serve:        what the servers do: hold, greet, echo, http, close; None: http, or hold with `through`
    text:         the greeting of the servers
    run_s:        time limit for the program
    settle_s:     the program is ended once nothing has changed for this time
    through:      ADDRESS:PORT where the program, a proxy, listens: connections are opened to it
    send:         message sent on these connections
    aloud:        pass the program's output on to standard error
    """

    command: tuple[str, ...]
    ports: int = 64
    destinations: int = 3
    sources: int = 1
    serve: str | None = None
    text: bytes = b""
    run_s: float = 10.0
    settle_s: float = 2.0
    through: str | None = None
    send: bytes = REQUEST
    aloud: bool = True

    @property
    def answer(self) -> Answer:
        """The mode of the servers. Raises UsageError if there is no such mode."""
        return answer_named(self.serve or (Answer.HTTP if self.through is None else Answer.HOLD))

    def check(self) -> None:
        """Raises UsageError for invalid options."""
        if not self.command or not self.command[0]:
            raise UsageError(f"the command {self.command!r} is not a list of words", do=LIST_OF_WORDS)
        if self.through is not None and Endpoint.parse(self.through).address.version != 4:
            raise UsageError(f"--through {self.through}", "it must be an IPv4 address")
        for what, text in (("the greeting", self.text), ("--send", self.send)):
            if len(text) > MOST_TEXT_BYTES:
                raise UsageError(f"{what} of {format_size(len(text))}", f"at most {format_size(MOST_TEXT_BYTES)}")
        _ = self.answer  # raises if there is no such mode


GIVE_DESTINATION = (
    "Servers of this host cannot be reached from the lab. Give it the destination: {dest1} or {url1} in the command,"
    " or FOURTUPLE_DESTINATIONS."
)
LIST_OF_WORDS = "For example, curl -s {url}, word by word."


def check(command: Sequence[str], **options: Any) -> Run[Glimpse, Conduct]:
    """Run the program in a private namespace with few source ports: a run with the verdict as its record.

    options: the other fields of CheckOptions

    A Glimpse is yielded whenever something has changed. A KeyboardInterrupt ends the program, and the verdict covers
    the observations so far; a second one, or one before the first connection, is raised. Raises UsageError,
    CannotError, and ShortfallError if the program opened no connection.
    """
    if isinstance(command, str):
        raise UsageError(f"the command {command!r} is not a list of words", do=LIST_OF_WORDS)
    asked = CheckOptions(tuple(command), **options)
    asked.check()
    return Run(_steps(asked))


def _steps(options: CheckOptions) -> Generator[Glimpse, None, Conduct]:
    with ExitStack() as until_the_end:
        place = until_the_end.enter_context(
            ground(ports=options.ports, destinations=options.destinations, sources=options.sources)
        )
        order = order_of(options, place)
        until_the_end.enter_context(answering(place.far, place.destinations, options.answer, options.text))
        seen = yield from _examined(place, order)
    return conclude(options, place.destinations, seen)


def order_of(options: CheckOptions, place: Testbed) -> Order:
    """The order for the examiner."""
    return Order(
        command=place.filled_in(options.command),
        interface=NEAR,
        ports=(place.ports.start, place.ports.stop - 1),
        destinations=list(place.destinations),
        sources=options.sources,
        run_s=options.run_s,
        settle_s=options.settle_s,
        through=options.through,
        send=options.send,
        aloud=options.aloud,
    )


def conclude(options: CheckOptions, destinations: Sequence[str], seen: Observation) -> Conduct:
    """The verdict on the observations. Raises ShortfallError or KeyboardInterrupt if there was no connection."""
    if seen.ended is Ended.ASKED and not seen.most:
        raise KeyboardInterrupt
    name = options.command[0]
    if seen.driven is False:
        raise ShortfallError(f"connections through {options.through}", f"{name} did not listen there")
    if not seen.most:
        met = f", and reported {seen.errno}" if seen.errno else ""
        met += f"; {seen.refused:,} connections were refused" if seen.refused else ""
        ended = "was still running" if seen.exit is None else f"ended with exit code {seen.exit}"
        raise ShortfallError(
            f"connections of {name}",
            f"it opened none to {', '.join(destinations[:3])}; it {ended}{met}",
            f"{'See what it printed. ' * bool(seen.exit)}{GIVE_DESTINATION}",
        )
    return judge(seen, options.command)


def _examined(place: Testbed, order: Order) -> Generator[Glimpse, None, Observation]:
    text = msgspec.json.encode(order).decode()
    with subprocess.Popen(
        place.near.command(again("fourtuple.verbs.check.examine", text)),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        start_new_session=True,
        env=place.environment,
    ) as examiner:
        try:
            for line in _lines(examiner):
                message: dict[str, Any] = json.loads(line)
                if "seen" in message:
                    examiner.wait()
                    return msgspec.convert(message["seen"], Observation)
                if "error" in message:
                    examiner.wait()
                    raise getattr(errors, message["error"])(*message["parts"])
                yield Glimpse(**message)
        finally:
            if examiner.poll() is None:
                examiner.send_signal(signal.SIGTERM)
                examiner.wait()
    code = children.wait(examiner)
    with_code = "an unknown exit code" if code is None else f"exit code {code}"
    raise CannotError("cannot examine the program", f"the examiner ended with {with_code}")


def _lines(examiner: "subprocess.Popen[bytes]") -> Iterator[bytes]:
    """The lines that the examiner prints. Ctrl-C asks it to finish, but not before it has printed the first one."""
    assert examiner.stdout is not None  # noqa: S101  (for the type checker)
    text, asked, heard = b"", False, False
    while True:
        try:
            select.select([examiner.stdout], [], [])
            with children.signals_held():  # what was read must not be lost by an interruption
                data = os.read(examiner.stdout.fileno(), 1 << 16)
                text += data
        except KeyboardInterrupt:
            if asked:
                raise
            asked = True
            if heard:
                examiner.send_signal(signal.SIGINT)
            continue
        if not data:
            return
        *lines, text = text.split(b"\n")
        if lines and asked and not heard:
            examiner.send_signal(signal.SIGINT)
        heard = heard or bool(lines)
        yield from lines
