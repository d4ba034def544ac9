"""Real servers with small limits: how each one is started, in a folder of its own, and how its limit is reached."""

import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from tests.conftest import Ground, need
from tests.waiting import PATIENCE_S, wait_until

PORT = 7777
NOBODY = 65_534  # a user that has a name, as initdb wants, and no privileges
CLIENTS = """
import socket, sys
count, hello, last = {count}, {hello!r}, b""
kept = []
for number in range(count):
    client = socket.socket({family})
    client.settimeout({patience_s})
    try:
        client.connect({address!r})
        client.sendall(hello)
        last = client.recv(4096) if number >= {reading_from} else b""
    except OSError as error:
        last = str(error).encode()
    kept.append(client)
    if number >= {reading_from}:
        print(last.decode(errors="replace").replace("\\0", " "), flush=True)
print("READY", flush=True)
sys.stdin.read()
"""


@dataclass(frozen=True)
class Server:
    """A running server, and what it has logged so far."""

    ground: Ground
    pid: int
    log: Path

    def text(self) -> str:
        return self.log.read_text(errors="replace")


@contextmanager
def folder_of(user: int | None) -> Iterator[Path]:
    """A folder that this user can reach and write, gone afterwards."""
    with tempfile.TemporaryDirectory(prefix="fourtuple-", ignore_cleanup_errors=True) as name:
        os.chmod(name, 0o755)  # noqa: S103 - the server's user has to reach what is in it
        if user is not None and os.geteuid() == 0:
            os.chown(name, user, user)
        yield Path(name)


def as_user(command: Sequence[str], user: int) -> list[str]:
    """The command as a user without privileges, where this one is root: some servers refuse root."""
    if os.geteuid() != 0:
        return list(command)
    return ["setpriv", f"--reuid={user}", f"--regid={user}", "--clear-groups", *command]


def program(name: str) -> str:
    """The path of a program, also of one in /usr/sbin; skips the test where it is missing."""
    path = shutil.which(name, path=f"{os.environ['PATH']}:/usr/sbin:/usr/local/sbin")
    need(path, name)
    return str(path)


@contextmanager
def serving(ground: Ground, folder: Path, command: Sequence[str], listens: str = f":{PORT}") -> Iterator[Server]:
    """The server in the lab, from the moment it listens; killed afterwards with what it has started."""
    need(shutil.which("ss"), "ss (iproute2)")
    log = folder / "log"
    with open(log, "a") as output:
        process = ground.lab.start(
            list(command), stdin=subprocess.DEVNULL, stdout=output, stderr=output, cwd=folder, start_new_session=True
        )
    wanted = ["ss", "-Hlx"] if listens.startswith("/") else ["ss", "-Hltn", f"sport = {listens}"]
    try:
        ready = wait_until(lambda: process.poll() is not None or listens in ground.run(*wanted).stdout)
        assert ready, log.read_text(errors="replace")
        assert process.poll() is None, log.read_text(errors="replace")
        yield Server(ground, process.pid, log)
    finally:
        with suppress(ProcessLookupError):
            os.killpg(process.pid, 9)
        process.wait(PATIENCE_S)


@contextmanager
def clients(
    ground: Ground,
    count: int,
    *,
    hello: bytes = b"",
    reading_from: int = 0,
    address: object = ("127.0.0.1", PORT),
    patience_s: float = PATIENCE_S,
) -> Iterator[str]:
    """So many clients that stay connected, each of which sends `hello`.

    Yields what those from the number `reading_from` on received, or the error of their connect().
    """
    family = "socket.AF_UNIX" if isinstance(address, str) else "socket.AF_INET"
    code = CLIENTS.format(
        count=count, hello=hello, family=family, address=address, reading_from=reading_from, patience_s=patience_s
    )
    process = ground.lab.start(["python3", "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    try:
        assert process.stdout is not None
        received = []
        for line in process.stdout:
            if line == "READY\n":
                break
            received.append(line)
        yield "".join(received)
    finally:
        process.kill()
        process.communicate()


def logged(server: Server, words: str, timeout_s: float = PATIENCE_S) -> str:
    """What the server has logged, once it contains these words; all of it in the end."""
    wait_until(lambda: words in server.text(), timeout_s)
    return server.text()
