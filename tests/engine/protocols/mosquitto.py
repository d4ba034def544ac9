"""A mosquitto of the test's own on a free port of 127.0.0.1."""

import os
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from tests.conftest import need
from tests.ports import free_port
from tests.waiting import PATIENCE_S, wait_until

PATHS = f"{os.environ['PATH']}:/usr/sbin:/usr/local/sbin"


@dataclass(frozen=True)
class Broker:
    """A broker that listens, and what it has logged so far."""

    address: tuple[str, int]
    log: Path

    def logged(self, words: str) -> bool:
        return words in self.log.read_text(errors="replace")


@contextmanager
def mosquitto(folder: Path, *settings: str, anonymous: bool = True) -> Iterator[Broker]:
    """With these lines in its configuration; the user is the one that runs the test."""
    program = shutil.which("mosquitto", path=PATHS)
    need(program, "mosquitto")
    address = "127.0.0.1", free_port()
    lines = [f"listener {address[1]} {address[0]}", f"allow_anonymous {'true' if anonymous else 'false'}"]
    lines += ["user root", "log_dest stderr", "log_type all", *settings]
    (folder / "mosquitto.conf").write_text("\n".join(lines) + "\n")
    broker = Broker(address, folder / "log")
    with open(broker.log, "w") as log:
        process = subprocess.Popen([str(program), "-c", str(folder / "mosquitto.conf")], stderr=log)
    try:
        assert wait_until(lambda: process.poll() is not None or broker.logged(" running")), broker.log.read_text()
        assert process.poll() is None, broker.log.read_text()
        yield broker
    finally:
        process.kill()
        process.wait(PATIENCE_S)


def password_file(folder: Path, user: str, password: str) -> str:
    """The setting that names a file with this user."""
    program = shutil.which("mosquitto_passwd", path=PATHS)
    need(program, "mosquitto_passwd")
    subprocess.run([str(program), "-b", "-c", "users", user, password], cwd=folder, check=True, capture_output=True)
    return f"password_file {folder / 'users'}"
