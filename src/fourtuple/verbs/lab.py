"""A place to try things: private network namespaces, the cable between two of them, and what can be set inside."""

import os
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import partial
from ipaddress import ip_interface
from pathlib import Path
from types import FrameType

from fourtuple.core.errors import CannotError, UsageError
from fourtuple.core.limits.cost import CLIENT_END_BYTES
from fourtuple.core.limits.facts import PortFacts, World
from fourtuple.core.limits.table import SYSCTLS
from fourtuple.core.space.ranges import Ranges
from fourtuple.core.topology import Cable, Port, up
from fourtuple.kernel import process
from fourtuple.kernel.netns import Namespace
from fourtuple.kernel.proc.cgroups import read_memory
from fourtuple.kernel.proc.ports import read_port_facts
from fourtuple.kernel.proc.sysctl import write_sysctl
from fourtuple.kernel.proc.world import read_world

WIDE = range(1024, 65536)  # every port that needs no privilege
MOST_ENTRIES = 2**24  # net.ipv4.tcp_child_ehash_entries
HOST = "10.77.0.{}"


class Lab(Namespace):
    """A private network namespace, loopback up, gone when it is closed. Raises CannotError where none is allowed."""

    def __init__(
        self, *, ports: range | None = None, hash_entries: int | None = None, beside: "Lab | None" = None
    ) -> None:
        """ports:        net.ipv4.ip_local_port_range; None: as the kernel gives it
        hash_entries: buckets of its own table of TCP connections, rounded up to a power of two; None: the host's table
        beside:       another one, which this one can be joined with also where that takes a user namespace
        """
        table = {"net.ipv4.tcp_child_ehash_entries": str(hash_entries)} if hash_entries else {}
        settings = {_PORT_RANGE: _port_range(ports)} if ports else {}
        super().__init__(settings=settings, parent_settings=table, beside=beside)

    def join(self, cable: Cable, near: "Lab | None" = None) -> None:
        """Lay the cable from `near`, or this process's namespace, to the lab (far). Raises CannotError without `ip`."""
        _ip(cable.connect(self.pid), near.command([]) if near else [])
        _ip(up(cable.far), self.command([]))


@dataclass(frozen=True, slots=True)
class Setup:
    """What a lab is like.

    ports:        its automatic source ports
    hash_entries: of its own TCP hash table; None: it shares the host's
    hosts:        the addresses of its hosts; none where there is only one, on loopback
    """

    ports: range
    hash_entries: int | None
    hosts: tuple[str, ...]


@contextmanager
def lab(*, ports: range = WIDE, hash_entries: int | None = None, hosts: int = 1) -> Iterator[tuple[Setup, Lab]]:
    """A lab as `fourtuple lab` makes it: the block runs beside it, commands run in it (Lab.start, Lab.command).

    hash_entries: None sizes the table for as many sockets as memory allows
    hosts:        1, or 2 joined by a cable: 10.77.0.1 and 10.77.0.2. Then the programs host1 and host2 are on the PATH
                  during the block, and run a command on that host

    This Python's own programs, fourtuple among them, come last on the PATH.

    Raises UsageError, CannotError.
    """
    if not (WIDE.start <= ports.start < ports.stop <= WIDE.stop):
        raise UsageError(f"the ports {ports.start}-{ports.stop - 1}", "LOW-HIGH, both from 1024 to 65535, are possible")
    if hash_entries is not None and not 0 < hash_entries <= MOST_ENTRIES:
        raise UsageError(f"a hash table of {hash_entries:,}", f"from 1 to {MOST_ENTRIES:,} entries are possible")
    entries = 2 ** ((hash_entries or _affordable_sockets()) - 1).bit_length()
    with ExitStack() as until_the_end:
        until_the_end.enter_context(_on_path(os.path.dirname(sys.executable), last=True))
        first = until_the_end.enter_context(Lab(ports=ports, hash_entries=entries))
        addresses: list[str] = []
        if hosts > 1:
            second = until_the_end.enter_context(Lab(ports=ports, hash_entries=entries, beside=first))
            addresses = [HOST.format(number) for number in (1, 2)]
            near, far = (Port(f"cable{n}", (ip_interface(f"{a}/24"),)) for n, a in enumerate(addresses, 1))
            second.join(Cable(near, far), near=first)
            folder = Path(until_the_end.enter_context(tempfile.TemporaryDirectory(prefix="fourtuple-lab-")))
            until_the_end.enter_context(_on_path(str(folder)))
            for number, host in enumerate((first, second), 1):
                script = folder / f"host{number}"
                script.write_text(f'#!/bin/sh\nexec {" ".join(host.command([], tied=False))} "$@"\n')
                script.chmod(0o755)
        yield Setup(ports, None if first.without else entries, tuple(addresses)), first


def run_in(lab: Lab, command: Sequence[str]) -> int:
    """Run `command` in the lab, and end what it leaves running → its exit code, 128 + n where signal n ended it.

    Signals from the keyboard are the command's; SIGTERM and SIGHUP are passed on. Raises UsageError.
    """
    if not command or not command[0]:
        raise UsageError("a command", "its name is empty")
    process.adopt_orphans()
    known = process.children()
    program: subprocess.Popen[bytes] | None = None

    def on_signal(number: int, _: FrameType | None) -> None:
        if number in (signal.SIGTERM, signal.SIGHUP) and program:
            program.send_signal(number)

    before = {n: signal.signal(n, on_signal) for n in _SIGNALS}
    try:
        # Ctrl-C is not for the Python that only leads into the lab; it puts the signal right for the command.
        program = lab.start(command, preexec_fn=partial(signal.signal, signal.SIGINT, signal.SIG_IGN))
        code = program.wait()
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
        process.end_children(but=known)
    return 128 - code if code < 0 else code


@contextmanager
def _on_path(folder: str, *, last: bool = False) -> Iterator[None]:
    before = os.environ.get("PATH", os.defpath)
    os.environ["PATH"] = os.pathsep.join((before, folder) if last else (folder, before))
    try:
        yield
    finally:
        os.environ["PATH"] = before


def _affordable_sockets() -> int:
    """What memory allows, so that no bucket of the table holds more than one on average."""
    return min(MOST_ENTRIES, max(1, (read_memory().free_bytes or 0) // CLIENT_END_BYTES))


def namespace_refusal() -> str | None:
    """Why this user cannot have a private network namespace here; None where one can be had."""
    try:
        with Namespace():
            return None
    except CannotError as error:
        return error.stopped_by


def own_world() -> World:
    """What decides how many connections this process can open, in the namespace it is in.

    Without what takes long to read (read_process): threads of the user's other processes, what descriptors are.
    """
    return read_world(SYSCTLS, details=False)


def open_files() -> int:
    """The descriptors of this process below its soft limit of open files."""
    return process.read_files().open


def port_facts() -> PortFacts:
    """Of the source ports of the namespace that this process is in, alone. Raises CannotError."""
    return read_port_facts()


def set_port_range(ports: range) -> None:
    """net.ipv4.ip_local_port_range of this process's namespace. Raises OSError where it may not be set."""
    set_sysctl(_PORT_RANGE, _port_range(ports))


def set_sysctl(name: str, value: str) -> None:
    """Of this process's namespace, where it belongs to one. Raises OSError where it may not be set."""
    write_sysctl(name, value)


def set_reserved_ports(ports: Ranges) -> None:
    """net.ipv4.ip_local_reserved_ports of this process's namespace. Raises OSError where it may not be set."""
    set_sysctl("net.ipv4.ip_local_reserved_ports", str(ports))


def port_range_is_quick() -> bool:
    """Does IP_LOCAL_PORT_RANGE keep connect() fast past half of the range, in this kernel?"""
    return port_facts().range_is_quick


_SIGNALS = (signal.SIGINT, signal.SIGQUIT, signal.SIGTERM, signal.SIGHUP)
_PORT_RANGE = "net.ipv4.ip_local_port_range"


def _port_range(ports: range) -> str:
    return f"{ports.start} {ports.stop - 1}"


def _ip(script: Sequence[str], prefix: Sequence[str]) -> None:
    if shutil.which("ip") is None:
        raise CannotError("two hosts joined by a cable", "the program `ip` is not here", "Install iproute2.")
    text = "\n".join(script) + "\n"
    done = subprocess.run([*prefix, "ip", "-batch", "-"], input=text, text=True, capture_output=True, check=False)
    if done.returncode:
        raise CannotError("two hosts joined by a cable", done.stderr.strip())
