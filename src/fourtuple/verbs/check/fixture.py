"""A lab for tests of other projects: programs run with few source ports, and servers to connect to."""

import json
import subprocess
from collections.abc import Sequence
from contextlib import ExitStack
from functools import cached_property
from typing import Any

from fourtuple.core.backports import Self
from fourtuple.core.check.judge import Conduct
from fourtuple.core.errors import ShortfallError
from fourtuple.core.record import dataclass
from fourtuple.kernel.again import again
from fourtuple.verbs.check.check import SERVER, SERVER_PORT, Testbed, answering, check, ground
from fourtuple.verbs.check.servers import answer_named

RUN_S = 60.0


@dataclass(frozen=True, slots=True)
class LabServer:
    """A server in the lab.

    address: such as `10.77.1.1:8001`
    """

    host: str
    port: int

    @property
    def address(self) -> str:
        return f"{self.host}:{self.port}"

    @property
    def url(self) -> str:
        return f"http://{self.address}/"


class ProgramLab:
    """Two private network namespaces joined by a cable, created on first use, removed when it is closed.

    Programs run in the near one, which has few source ports; servers run in the far one. The test itself is outside.
    """

    def __init__(self, *, ports: int = 64, destinations: int = 3, sources: int = 1) -> None:
        """Nothing is created before the first use.

        ports: size of the port range
        destinations, sources: how many `check` offers to a program
        """
        self._size = {"ports": ports, "destinations": destinations, "sources": sources}
        self._until_the_end = ExitStack()
        self._next_port = SERVER_PORT

    @cached_property
    def _ground(self) -> Testbed:
        return self._until_the_end.enter_context(ground(**self._size))

    @property
    def ports(self) -> range:
        """The port range of the programs that run here."""
        return self._ground.ports

    @property
    def sources(self) -> tuple[str, ...]:
        """The source addresses of the programs that run here."""
        return self._ground.sources

    def check(self, command: Sequence[str], **options: Any) -> Conduct:
        """The verdict of `fourtuple check` on the program, in a new lab of its own.

        command: with placeholders such as {dest1}; options: those of fourtuple.verbs.check.check.check

        Raises UsageError, CannotError, and ShortfallError if it opened no connection.
        """
        words = command if isinstance(command, str) else [str(word) for word in command]
        return check(words, **(self._size | options)).finish()

    def server(self, serve: str = "http", text: bytes = b"") -> LabServer:
        """Start a server on the far host: hold, greet (with text), echo, http or close. Raises UsageError."""
        server = LabServer(SERVER, self._next_port)
        self._next_port += 1
        self._until_the_end.enter_context(answering(self._ground.far, [server.address], answer_named(serve), text))
        return server

    def start(self, command: Sequence[str], **options: Any) -> "subprocess.Popen[Any]":
        """subprocess.Popen of a program on the near host; it is ended with the lab."""
        program = self._ground.near.start([str(word) for word in command], **options)
        self._until_the_end.callback(self._ground.near.kill, program)
        return program

    def run(self, command: Sequence[str], timeout_s: float = RUN_S) -> "subprocess.CompletedProcess[str]":
        """Run a program on the near host to its end → its output. Raises subprocess.TimeoutExpired."""
        inside = self._ground.near.command([str(word) for word in command])
        return subprocess.run(inside, capture_output=True, text=True, timeout=timeout_s, check=False)

    def limits(self, *arguments: str) -> dict[str, Any]:
        """The result of `fourtuple limits ARGUMENTS… --json` on the near host."""
        return self._asked("limits", *arguments)

    def census(self, *arguments: str) -> dict[str, Any]:
        """The result of `fourtuple census ARGUMENTS… --json` on the near host."""
        return self._asked("census", *arguments)

    def close(self) -> None:
        self._until_the_end.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _asked(self, *arguments: str) -> dict[str, Any]:
        done = self.run(again("fourtuple", *arguments, "--json"))
        if not done.stdout:
            raise ShortfallError(f"fourtuple {' '.join(arguments)}", done.stderr.strip())
        record: dict[str, Any] = json.loads(done.stdout)
        return record
