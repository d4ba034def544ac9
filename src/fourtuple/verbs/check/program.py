"""The examined program, and the driver that opens connections to it if it is a proxy."""

import contextlib
import errno
import os
import socket
import subprocess
import threading
from collections.abc import Sequence
from contextlib import AbstractContextManager
from functools import partial
from typing import IO

from fourtuple.core.space.endpoints import Endpoint
from fourtuple.kernel import children, process
from fourtuple.kernel.sockopts import LINGER_RESET

END_S = 2.0  # between SIGTERM and SIGKILL
TAIL_BYTES = 64 * 1024  # of the program's output, in which to find the errno
THROUGH_BATCH, THROUGH_SOURCES = 16, "127.0.0.{}"


class Program:
    """The program and its output, which is passed on to standard error if `aloud`."""

    def __init__(self, command: Sequence[str], *, aloud: bool) -> None:
        children.adopt_orphans()
        self._known = children.children()
        soft, _ = process.raise_soft_files()
        self._program = children.start(
            command,
            prepare=partial(process.set_soft_files, soft),  # the limit that the user's program normally has
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            start_new_session=True,
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
        """The exit code, or 128 + n if signal n ended it; None: it is running."""
        code = self._program.poll()
        return None if code is None else children.exit_code(code)

    def is_running(self) -> bool:
        """Whether the program or one of its descendants is running."""
        return self.exit is None or bool(children.running(but=self._known))

    def stopped(self) -> AbstractContextManager[bool]:
        """Stop the program and its descendants during the block → have all of them stopped?"""
        return children.stopped(but=self._known)

    def said(self) -> str:
        """The end of the program's output."""
        self._reader.join(0.2)
        return self._tail.decode(errors="replace")

    def end(self) -> None:
        """End the program and its descendants."""
        if self.exit is None:
            self._program.terminate()
            with contextlib.suppress(subprocess.TimeoutExpired):
                self._program.wait(END_S)
            self._program.kill()
            self._program.wait()
        children.end_children(but=self._known)


class Driver:
    """Opens connections to the program, a proxy, from addresses and ports outside the range.

    So these connections use none of the ports that the program has.
    """

    def __init__(self, through: str, send: bytes, most: int, avoid: range) -> None:
        self._target, self._send, self._left = Endpoint.parse(through), send, most
        ports = [port for port in range(1024, 65536) if port not in avoid][:20_000]
        addresses = [THROUGH_SOURCES.format(number) for number in range(2, 250)]
        self._ends = ((address, port) for address in addresses for port in ports)
        self._sockets: list[tuple[socket.socket, bool]] = []
        self.is_up = False  # the program is listening

    def drive(self) -> None:
        """Once the program listens, send the message on new connections, and open a few more."""
        self.is_up = self.is_up or self._is_up()
        if not self.is_up:
            return
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

    def _is_up(self) -> bool:
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
