"""`check`: how does a program use source ports? It runs in a namespace with few of them, and is looked at."""

import json
import os
import re
import signal
import subprocess
import sys
from collections.abc import Generator, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from ipaddress import ip_interface
from typing import Any

import msgspec

from fourtuple.core import errors
from fourtuple.core.check.judge import Conduct, Ended, Observation, judge
from fourtuple.core.errors import CannotError, ShortfallError, UsageError
from fourtuple.core.runs.run import Run
from fourtuple.core.space.endpoints import Endpoint
from fourtuple.core.topology import Cable, Port
from fourtuple.verbs.check.examine import Order
from fourtuple.verbs.check.servers import READY, Answer, answer_named
from fourtuple.verbs.lab import Lab

FIRST_PORT = 32768  # of the range, as usual
PORTS, DESTINATIONS, SOURCES = range(2, 28_001), range(1, 1001), range(1, 251)
SERVER, SERVER_PORT = "10.77.1.1", 8001
SOURCE = "10.77.0.{}"
NEAR, FAR = "cable1", "cable2"
REQUEST = b"GET / HTTP/1.1\r\nHost: fourtuple\r\n\r\n"
_PLACE = re.compile(r"\{(dest|url|host|port|source)(\d*)\}|\{(dests|sources)\}")


@dataclass(frozen=True, slots=True)
class Glimpse:
    """Of a program while it runs. open: connections that there are; opened: in all so far"""

    open: int
    opened: int


@dataclass(frozen=True, slots=True)
class Ground:
    """Two hosts joined by a cable: near has few ports, far is where servers are.

    destinations, sources: what a program is to connect to, and may come from
    """

    near: Lab
    far: Lab
    ports: range
    destinations: tuple[str, ...]
    sources: tuple[str, ...]

    @property
    def environment(self) -> dict[str, str]:
        told = {"DESTINATIONS": self.destinations, "SOURCES": self.sources}
        return dict(os.environ) | {f"FOURTUPLE_{name}": ",".join(those) for name, those in told.items()}

    def filled_in(self, command: Sequence[str]) -> list[str]:
        """Its placeholders replaced: {dest} {dest1} … {dests}, {url1}, {host1}, {port1}, {source1} … {sources}."""
        return [_PLACE.sub(self._meant, word) for word in command]

    def _meant(self, match: re.Match[str]) -> str:
        name, number, several = match.groups()
        if several:
            return ",".join(self.destinations if several == "dests" else self.sources)
        those = self.sources if name == "source" else self.destinations
        index = int(number or 1) - 1
        if not 0 <= index < len(those):
            raise UsageError(match[0], f"there {'is' if len(those) == 1 else 'are'} {len(those)} of them")
        host, port = those[index].partition(":")[::2]
        return {"dest": those[index], "url": f"http://{those[index]}/", "host": host, "port": port}.get(name, host)


@contextmanager
def ground(*, ports: int = 64, destinations: int = 3, sources: int = 1) -> Iterator[Ground]:
    """Two private network namespaces and the cable. Raises UsageError, CannotError."""
    for what, count, possible in (
        ("ports", ports, PORTS),
        ("destinations", destinations, DESTINATIONS),
        ("sources", sources, SOURCES),
    ):
        if count not in possible:
            raise UsageError(f"{count:,} {what}", f"from {possible.start} to {possible.stop - 1:,} are possible")
    if ports % 2:
        raise UsageError(f"{ports:,} ports", "of an odd number connect() leaves one out", f"Take {ports + 1:,}.")
    automatic = range(FIRST_PORT, FIRST_PORT + ports)
    near_ends = tuple(SOURCE.format(number) for number in range(1, sources + 1))
    far_ends = tuple(f"{SERVER}:{SERVER_PORT + number}" for number in range(destinations))
    with Lab(ports=automatic) as near, Lab(beside=near) as far:
        near_port = Port(NEAR, tuple(ip_interface(f"{address}/16") for address in near_ends))
        far.join(Cable(near_port, Port(FAR, (ip_interface(f"{SERVER}/16"),))), near=near)
        yield Ground(near, far, automatic, far_ends, near_ends)


@contextmanager
def answering(far: Lab, endpoints: Sequence[str], answer: Answer, text: bytes = b"") -> Iterator[None]:
    """Servers in the lab, listening during the block. Raises ShortfallError where they cannot."""
    command = far.command([sys.executable, "-m", "fourtuple.verbs.check.servers", answer, text.hex(), *endpoints])
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
            server.kill()  # what it holds is reset, and it has nothing to put away
            server.communicate()


@dataclass(frozen=True, slots=True)
class CheckOptions:
    """What `check` is to do.

    command:      with placeholders, see Ground.filled_in; FOURTUPLE_DESTINATIONS and FOURTUPLE_SOURCES say the same
    ports:        source ports towards each destination; an even number
    destinations: servers, all on one address, each with a port of its own
    sources:      addresses that the program may come from
    serve:        what the servers do: hold, greet, echo, http, close; None: http, or hold with `through`
    text:         what they greet with
    run_s:        the program is ended after that time
    settle_s:     the program is ended once nothing has changed for that time
    through:      ADDRESS:PORT where the program, a proxy, will listen: connections are opened to it
    send:         what those connections send
    aloud:        pass the program's output on, to standard error
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
        """What the servers do. Raises UsageError where there is no such mode."""
        return answer_named(self.serve or (Answer.HTTP if self.through is None else Answer.HOLD))

    def check(self) -> None:
        """Raises UsageError where these options cannot be meant."""
        if not self.command or not self.command[0]:
            raise UsageError(f"the command {self.command!r}", "a list of words is needed", LIST_OF_WORDS)
        if self.through is not None and Endpoint.parse(self.through).address.version != 4:
            raise UsageError(f"--through {self.through}", "the proxy is driven over IPv4")
        _ = self.answer  # raises where there is no such mode


LIST_OF_WORDS = "Write curl -s {url}, word by word."


def check(command: Sequence[str], **options: Any) -> Run[Glimpse, Conduct]:
    """How the program uses source ports, in a private namespace that has few, towards servers of ours.

    options: the other fields of CheckOptions

    A Glimpse comes whenever something has changed. A KeyboardInterrupt ends the program, and what was seen is judged;
    a second one, or one before there was a connection, goes on. Raises UsageError, CannotError, and ShortfallError
    where the program opened no connection.
    """
    if isinstance(command, str):
        raise UsageError(f"the command {command!r}", "a list of words is needed", LIST_OF_WORDS)
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


def order_of(options: CheckOptions, place: Ground) -> Order:
    """What the one that looks on is to do."""
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
    """The verdict on what was seen. Raises ShortfallError, KeyboardInterrupt where there was no connection."""
    if seen.ended is Ended.ASKED and not seen.most:
        raise KeyboardInterrupt
    name = options.command[0]
    if seen.driven is False:
        raise ShortfallError(f"connections through {options.through}", f"{name} did not listen there")
    if not seen.most:
        met = f", and met {seen.errno}" if seen.errno else ""
        met += f"; {seen.refused:,} were refused" if seen.refused else ""
        ended = "was still running" if seen.exit is None else f"ended with {seen.exit}"
        raise ShortfallError(
            f"connections of {name}",
            f"it opened none to {', '.join(destinations[:3])}; it {ended}{met}",
            "Tell it where to with {dest1} or {url1} in the command, or by FOURTUPLE_DESTINATIONS.",
        )
    return judge(seen)


def _examined(place: Ground, order: Order) -> Generator[Glimpse, None, Observation]:
    text = msgspec.json.encode(order).decode()
    with subprocess.Popen(
        place.near.command([sys.executable, "-m", "fourtuple.verbs.check.examine", text]),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        text=True,
        start_new_session=True,
        env=place.environment,
    ) as examiner:
        try:
            for line in _lines(examiner):
                said: dict[str, Any] = json.loads(line)
                if "seen" in said:
                    examiner.wait()
                    return msgspec.convert(said["seen"], Observation)
                if "error" in said:
                    examiner.wait()
                    raise getattr(errors, said["error"])(*said["parts"])
                yield Glimpse(**said)
        finally:
            if examiner.poll() is None:
                examiner.send_signal(signal.SIGTERM)
                examiner.wait()
    raise CannotError("to look at the program", f"who looks has ended ({examiner.returncode})")


def _lines(examiner: "subprocess.Popen[str]") -> Iterator[str]:
    """What it says; at Ctrl-C it is asked to come to its end."""
    assert examiner.stdout is not None  # noqa: S101  (for the type checker)
    asked = False
    while True:
        try:
            line = examiner.stdout.readline()
        except KeyboardInterrupt:
            if asked:
                raise
            asked = True
            examiner.send_signal(signal.SIGINT)
            continue
        if not line:
            return
        yield line
