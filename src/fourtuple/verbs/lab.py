"""Labs for experiments: private network namespaces, the cable between two of them, and the settings inside."""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from ipaddress import ip_interface
from pathlib import Path
from types import FrameType

from fourtuple.core.errors import CannotError, UsageError
from fourtuple.core.limits.cost import CLIENT_END_BYTES
from fourtuple.core.limits.facts import PortFacts, World
from fourtuple.core.limits.settings import PORT_RANGE
from fourtuple.core.record import dataclass
from fourtuple.core.space.ranges import Ranges
from fourtuple.core.topology import Cable, Port
from fourtuple.kernel import children, process
from fourtuple.kernel.again import again
from fourtuple.kernel.netns import HOLDER, Namespace
from fourtuple.kernel.probes import behaviours
from fourtuple.kernel.proc.cgroups import read_memory
from fourtuple.kernel.proc.ports import read_port_facts
from fourtuple.kernel.proc.sysctl import write_sysctl
from fourtuple.kernel.proc.world import read_world

WIDE = range(1024, 65536)  # every port that needs no privilege
MOST_ENTRIES = 2**24  # net.ipv4.tcp_child_ehash_entries
LINKS = "fourtuple.kernel.netlink.links"  # the program
HOST = "10.77.0.{}"
HOST_PROGRAMS = Path(__file__).parent.parent / "hosts"


class Lab(Namespace):
    """A private network namespace with loopback up, removed when it is closed. Raises CannotError if not permitted.

    Where it is permitted, it has processes and mounts of its own: with the lab, every process inside ends.
    """

    def __init__(
        self,
        *,
        ports: range | None = None,
        hash_entries: int | None = None,
        beside: "Lab | None" = None,
        processes: bool = True,
        confined: bool = True,
    ) -> None:
        """Create the namespace.

        ports:        net.ipv4.ip_local_port_range; None: the kernel's default
        hash_entries: buckets of its own TCP hash table, rounded up to a power of two; None: it shares the host's table
        beside:       a lab that this one can be joined with; the two have the same processes
        processes:    it is to have processes of its own; see Namespace
        confined:     it cannot change settings of the host; see Namespace
        """
        table = {"net.ipv4.tcp_child_ehash_entries": str(hash_entries)} if hash_entries else {}
        settings = {PORT_RANGE: _port_range(ports)} if ports else {}
        super().__init__(
            settings=settings, parent_settings=table, beside=beside, processes=processes, confined=confined
        )

    def join(self, cable: Cable, near: "Lab | None" = None) -> None:
        """Connect `near`, or this process's namespace, with this lab (far). Raises CannotError."""
        near_end, far_end, far_pid = cable.near, cable.far, self.pid_inside if near else self.pid
        join = again(LINKS, "join", near_end.name, far_end.name, str(far_pid), *map(str, near_end.addresses))
        for command in (
            near.command(join) if near else join,
            self.command(again(LINKS, "up", far_end.name, *map(str, far_end.addresses))),
        ):
            done = subprocess.run(command, text=True, capture_output=True, check=False)
            if done.returncode:
                raise CannotError("cannot join two hosts", done.stderr.strip())


@dataclass(frozen=True, slots=True)
class Setup:
    """The properties of a lab.

    ports:        its port range
    hash_entries: entries of its own TCP hash table; None: it shares the host's table
    hosts:        the addresses of its hosts; empty: one host, with loopback only
    why_shared:   why it has no processes of its own, so that it shares the host's; empty: it has
    """

    ports: range
    hash_entries: int | None
    hosts: tuple[str, ...]
    why_shared: str = ""


@contextmanager
def lab(
    *, ports: range = WIDE, hash_entries: int | None = None, hosts: int = 1, confined: bool = True
) -> Iterator[tuple[Setup, Lab]]:
    """A lab as made by `fourtuple lab`: the block runs outside, commands run inside (Lab.start, Lab.command).

    hash_entries: None: as many as the sockets that memory allows
    hosts:        1, or 2 joined by a cable: 10.77.0.1 and 10.77.0.2. With 2, the programs host1 and host2 are on the
                  PATH during the block and run a command on that host
    confined:     commands inside cannot change settings of the host

    The programs of this Python, fourtuple among them, are last on the PATH.

    Raises UsageError, CannotError.
    """
    if not (WIDE.start <= ports.start < ports.stop <= WIDE.stop):
        raise UsageError(f"ports {ports.start}-{ports.stop - 1}", "LOW and HIGH must be between 1024 and 65535")
    if hash_entries is not None and not 0 < hash_entries <= MOST_ENTRIES:
        raise UsageError(f"a hash table of {hash_entries:,}", f"must have 1 to {MOST_ENTRIES:,} entries")
    entries = 2 ** ((hash_entries or _affordable_sockets()) - 1).bit_length()
    with ExitStack() as until_the_end:
        path = os.environ.get("PATH", os.defpath)
        until_the_end.enter_context(_environment({"PATH": f"{path}{os.pathsep}{os.path.dirname(sys.executable)}"}))
        first = until_the_end.enter_context(Lab(ports=ports, hash_entries=entries, confined=confined))
        addresses: list[str] = []
        if hosts > 1:
            second = until_the_end.enter_context(Lab(ports=ports, hash_entries=entries, beside=first))
            addresses = [HOST.format(number) for number in (1, 2)]
            near, far = (Port(f"cable{n}", (ip_interface(f"{a}/24"),)) for n, a in enumerate(addresses, 1))
            second.join(Cable(near, far), near=first)
            python, _, begin, *_ = again(HOLDER)
            holders = {f"FOURTUPLE_HOST{n}": str(host.pid_inside) for n, host in enumerate((first, second), 1)}
            until_the_end.enter_context(_environment(holders | {"FOURTUPLE_PYTHON": python, "FOURTUPLE_BEGIN": begin}))
            until_the_end.enter_context(_environment({"PATH": f"{HOST_PROGRAMS}{os.pathsep}{os.environ['PATH']}"}))
        yield Setup(ports, None if first.without else entries, tuple(addresses), first.why_not), first


def run_in(lab: Lab, command: Sequence[str]) -> int:
    """Run `command` in the lab, and end processes that it leaves → its exit code, or 128 + n if signal n ended it.

    The command receives signals from the keyboard; SIGTERM and SIGHUP are passed on to it. Raises UsageError, and
    CannotError if its exit code is unknown.
    """
    if not command or not command[0]:
        raise UsageError("the name of the command is empty")
    program: subprocess.Popen[bytes] | None = None

    def on_signal(number: int, _: FrameType | None) -> None:
        if number in (signal.SIGTERM, signal.SIGHUP) and program:
            program.send_signal(number)

    before = {n: signal.signal(n, on_signal) for n in _SIGNALS}
    try:
        with children.orphans_ended():  # there are some where the lab has no processes of its own
            with children.signals_held():
                program = lab.start(command)
            code = children.wait(program)
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
    if code is None:
        raise CannotError(f"the exit code of {command[0]}", "this process ignores SIGCHLD, or something else waited")
    return code


@contextmanager
def _environment(values: Mapping[str, str]) -> Iterator[None]:
    """Set these environment variables during the block."""
    before = {name: os.environ.get(name) for name in values}
    os.environ.update(values)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value


def _affordable_sockets() -> int:
    """The number of sockets that memory allows, so that a bucket holds at most one on average."""
    return min(MOST_ENTRIES, max(1, (read_memory().free_bytes or 0) // CLIENT_END_BYTES))


def namespace_refusal() -> str | None:
    """Why this user cannot have a private network namespace here; None: one is available."""
    try:
        with Namespace():
            return None
    except CannotError as error:
        return error.stopped_by


def own_world() -> World:
    """The facts that limit the connections of this process, in its network namespace.

    Facts that are slow to read are left out (read_process): threads of the user's processes, types of descriptors.
    """
    from fourtuple.core.limits.table import SYSCTLS  # with NumPy, which a lab itself does not need

    return read_world(SYSCTLS, known=behaviours(), details=False)


def open_files() -> int:
    """The number of descriptors of this process below its soft limit of open files."""
    return process.read_files().open


def port_facts() -> PortFacts:
    """The facts about source ports alone, in the namespace of this process. Raises CannotError."""
    return read_port_facts(behaviours())


def set_port_range(ports: range) -> None:
    """Set net.ipv4.ip_local_port_range of this process's namespace. Raises OSError if not permitted."""
    set_sysctl(PORT_RANGE, _port_range(ports))


def set_sysctl(name: str, value: str) -> None:
    """Set a sysctl, in this process's namespace if the sysctl is per namespace. Raises OSError if not permitted."""
    write_sysctl(name, value)


def set_reserved_ports(ports: Ranges) -> None:
    """Set net.ipv4.ip_local_reserved_ports of this process's namespace. Raises OSError if not permitted."""
    set_sysctl("net.ipv4.ip_local_reserved_ports", str(ports))


def port_range_is_quick() -> bool:
    """Whether IP_LOCAL_PORT_RANGE keeps connect() fast past half of the range in this kernel."""
    return port_facts().range_is_quick


_SIGNALS = (signal.SIGINT, signal.SIGQUIT, signal.SIGTERM, signal.SIGHUP)


def _port_range(ports: range) -> str:
    return f"{ports.start} {ports.stop - 1}"
