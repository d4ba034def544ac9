"""A lab for somebody's own tests: programs run where ports are few, servers to reach, and what the kernel says."""

import json
import subprocess
import sys
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Self

from fourtuple.core.check.judge import Conduct
from fourtuple.core.errors import ShortfallError
from fourtuple.verbs.check.check import SERVER, SERVER_PORT, Ground, answering, check, ground
from fourtuple.verbs.check.servers import answer_named

RUN_S = 60.0


@dataclass(frozen=True, slots=True)
class Server:
    """address: as `10.77.1.1:8001`"""

    host: str
    port: int

    @property
    def address(self) -> str:
        return f"{self.host}:{self.port}"

    @property
    def url(self) -> str:
        return f"http://{self.address}/"


class ProgramLab:
    """Two private network namespaces joined by a cable, made when they are first needed, gone when it is closed.

    Programs run in the near one, whose source ports are few; servers are in the far one. Whoever holds it is outside.
    """

    def __init__(self, *, ports: int = 64, destinations: int = 3, sources: int = 1) -> None:
        """ports: towards each destination; destinations, sources: how many of them `check` offers to a program"""
        self._size = {"ports": ports, "destinations": destinations, "sources": sources}
        self._until_the_end = ExitStack()
        self._next_port = SERVER_PORT

    @cached_property
    def _ground(self) -> Ground:
        return self._until_the_end.enter_context(ground(**self._size))

    @property
    def ports(self) -> range:
        """The automatic source ports of the programs that run here."""
        return self._ground.ports

    @property
    def sources(self) -> tuple[str, ...]:
        """The addresses that they may come from."""
        return self._ground.sources

    def check(self, command: Sequence[str], **options: Any) -> Conduct:
        """How the program uses source ports, as `fourtuple check` says it, in a fresh lab of its own.

        command: with placeholders, as {dest1}; options: those of fourtuple.verbs.check.check.check

        Raises UsageError, CannotError, and ShortfallError where it opened no connection.
        """
        words = command if isinstance(command, str) else [str(word) for word in command]
        return check(words, **(self._size | options)).finish()

    def server(self, serve: str = "http", text: bytes = b"") -> Server:
        """One more server in the far host: hold, greet (with text), echo, http, close. Raises UsageError."""
        server = Server(SERVER, self._next_port)
        self._next_port += 1
        self._until_the_end.enter_context(answering(self._ground.far, [server.address], answer_named(serve), text))
        return server

    def start(self, command: Sequence[str], **options: Any) -> "subprocess.Popen[Any]":
        """subprocess.Popen of a program in the near host; it is ended with the lab."""
        program = self._ground.near.start([str(word) for word in command], **options)
        self._until_the_end.callback(_end, program)
        return program

    def run(self, command: Sequence[str], timeout_s: float = RUN_S) -> "subprocess.CompletedProcess[str]":
        """Run a program in the near host to its end → what it said. Raises subprocess.TimeoutExpired."""
        inside = self._ground.near.command([str(word) for word in command])
        return subprocess.run(inside, capture_output=True, text=True, timeout=timeout_s, check=False)

    def limits(self, *arguments: str) -> dict[str, Any]:
        """What `fourtuple limits ARGUMENTS… --json` says in the near host."""
        return self._asked("limits", *arguments)

    def census(self, *arguments: str) -> dict[str, Any]:
        """What `fourtuple census ARGUMENTS… --json` says in the near host."""
        return self._asked("census", *arguments)

    def close(self) -> None:
        self._until_the_end.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _asked(self, *arguments: str) -> dict[str, Any]:
        done = self.run([sys.executable, "-m", "fourtuple", *arguments, "--json"])
        if not done.stdout:
            raise ShortfallError(f"fourtuple {' '.join(arguments)}", done.stderr.strip())
        said: dict[str, Any] = json.loads(done.stdout)
        return said


def _end(program: "subprocess.Popen[Any]") -> None:
    program.kill()
    program.communicate()
