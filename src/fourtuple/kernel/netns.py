"""Network namespaces: making a private one (without root if permitted), entering one, and listing those of the host.

A private namespace lives exactly as long as its holder (`holder.py`), a process that this module starts and ends.
"""

import fcntl
import os
import signal
import socket
import struct
import sys
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import asdict, replace
from pathlib import Path
from types import MappingProxyType, TracebackType
from typing import TYPE_CHECKING, Any, TypeVar

from fourtuple.core.backports import Self
from fourtuple.core.errors import EXIT_CANNOT, CannotError
from fourtuple.core.record import dataclass
from fourtuple.kernel.again import again
from fourtuple.kernel.proc.files import text_of
from fourtuple.kernel.proc.sysctl import write_sysctl
from fourtuple.kernel.syscalls import CLONE_NEWNET, CLONE_NEWUSER, setns, unshare

if TYPE_CHECKING:
    import subprocess

SIOCGIFFLAGS, SIOCSIFFLAGS, IFF_UP = 0x8913, 0x8914, 0x1  # include/uapi/linux/sockios.h, if.h
SO_NETNS_COOKIE = 71  # include/uapi/asm-generic/socket.h
OWN = "/proc/thread-self/ns/net"
NAMED = "/run/netns"  # where ip-netns(8) keeps its namespaces
READY = "ready"
# To a process that passes signals on: kill the command and wait for it. If this process were killed itself, it might be
# that nothing waits for the command, and until then the PID namespace stays.
KILL = signal.SIGRTMIN
CLOSE_S = 20.0  # far more than a holder needs to end the processes inside
HOLDER = "fourtuple.kernel.holder"  # the program
T = TypeVar("T")
NO_SETTINGS: Mapping[str, str] = MappingProxyType({})


@dataclass(frozen=True, slots=True)
class NamespaceOrder:
    """What a holder is to make, see Namespace; its command line has it as JSON."""

    settings: Mapping[str, str]
    parent_settings: Mapping[str, str]
    beside: int | None
    processes: bool
    confined: bool


class Namespace:
    """A private network namespace: `with Namespace() as lab: lab.start(["ip", "address"])`.

    pid:       the holder's PID; /proc/PID/ns/net is the namespace
    without:   the names in `parent_settings` that this kernel does not have
    processes: it has a PID and a mount namespace of its own: with the holder, every process inside ends
    why_not:   why it has none although it was to have them; empty otherwise

    Raises CannotError if no namespace is permitted.
    """

    def __init__(
        self,
        *,
        settings: Mapping[str, str] = NO_SETTINGS,
        parent_settings: Mapping[str, str] = NO_SETTINGS,
        beside: "Namespace | None" = None,
        processes: bool = False,
        confined: bool = True,
    ) -> None:
        """Start the holder and wait until the namespace is ready.

        settings:        sysctls to write inside, such as {"net.ipv4.ip_local_port_range": "1024 65535"}
        parent_settings: sysctls of an intermediate parent namespace: some properties of a namespace are fixed at its
                         creation, by the settings of its parent. Empty: no intermediate namespace
        beside:          another namespace, whose user, PID and mount namespace this one shares, so that the two can be
                         linked
        processes:       it is to have a PID and a mount namespace of its own, if that is permitted
        confined:        inside these, the settings of the host (fs.*, kernel.*, vm.*, /sys) are read-only
        """
        processes, pid = (beside.processes, beside.pid) if beside else (processes, None)
        order = NamespaceOrder(dict(settings), dict(parent_settings), pid, processes, confined)
        self.why_not = ""
        try:
            self._hold(order)
        except CannotError as error:
            if not processes or beside or self._holder.returncode != EXIT_CANNOT:
                raise
            self.why_not = error.stopped_by
            self._hold(replace(order, processes=False))

    def _hold(self, order: NamespaceOrder) -> None:
        import json
        import subprocess

        self._holder = subprocess.Popen(
            again(HOLDER, "hold", json.dumps(asdict(order))),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            start_new_session=True,  # Ctrl-C reaches the program that uses the namespace, not the holder
        )
        assert self._holder.stdout is not None  # noqa: S101  (for the type checker)
        ready, *words = self._holder.stdout.readline().decode().split() or [""]
        if ready != READY:
            _, reason = self._holder.communicate()
            raise CannotError("a private network namespace", reason.decode().strip() or "its holder process ended")
        pid, *self.without = words
        self.pid, self.processes = int(pid), order.processes

    @property
    def pid_inside(self) -> int:
        """The holder's PID as processes inside see it (proc(5), /proc/PID/status, NSpid)."""
        with open(f"/proc/{self.pid}/status") as status:
            return int(next(line for line in status if line.startswith("NSpid:")).split()[-1])

    def command(self, command: Sequence[str], *, tied: bool = True) -> list[str]:
        """The command line that runs `command` inside. tied: it is killed when the process that starts it ends."""
        return again(HOLDER, "enter" if tied else "visit", str(self.pid), *command)

    def start(self, command: Sequence[str], **options: Any) -> "subprocess.Popen[Any]":
        """Start `command` inside the namespace; options are those of subprocess.Popen.

        If the namespace has processes of its own, this is the process that passes on signals and the exit code.
        """
        import subprocess

        from fourtuple.kernel import children

        with children.signals_held():
            return subprocess.Popen(self.command(command), **options)

    def kill(self, program: "subprocess.Popen[Any]") -> None:
        """Kill a program that was started inside, and wait for it."""
        program.send_signal(KILL if self.processes else signal.SIGKILL)
        program.communicate()

    @contextmanager
    def inside(self) -> Iterator[None]:
        """Put this thread into the namespace during the block; sockets created there stay there. Raises OSError.

        This works if the namespace needed no user namespace, or from within that user namespace (setns(2)).
        """
        with open(f"/proc/{os.getpid()}/task/{threading.get_native_id()}/ns/net") as back:
            enter(self.pid)
            try:
                yield
            finally:
                setns(back.fileno(), CLONE_NEWNET)

    def close(self) -> None:
        """End the holder, and every process inside if they have a PID namespace; others keep the namespace alive."""
        import subprocess

        try:
            self._holder.communicate(timeout=CLOSE_S)
        except subprocess.TimeoutExpired:
            # Everything inside is dead. But the kernel lets no init go while one of them has not been waited for, which
            # an init of the host, or of a container, may never do (zap_pid_ns_processes() in kernel/pid_namespace.c).
            self._holder.kill()
            self._holder.communicate()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()


def enter_new(settings: Mapping[str, str], parent_settings: Mapping[str, str], flags: int = CLONE_NEWNET) -> list[str]:
    """Move this process into a new namespace with loopback up → the parent settings that this kernel does not have.

    flags: which namespaces are new, as unshare(2) takes them

    A process with CAP_SYS_ADMIN needs no user namespace; any other process gets one, in which it is root.
    Raises OSError.
    """
    try:
        unshare(flags)
    except PermissionError:
        uid, gid = os.geteuid(), os.getegid()
        unshare(CLONE_NEWUSER | flags)
        # user_namespaces(7): an unprivileged process may map only its own IDs, and must give up setgroups(2) first.
        for name, text in (("setgroups", "deny"), ("uid_map", f"0 {uid} 1"), ("gid_map", f"0 {gid} 1")):
            with open(f"/proc/self/{name}", "w") as file:
                file.write(text)
    without = []
    for name, value in parent_settings.items():
        try:
            write_sysctl(name, value)
        except FileNotFoundError:
            without.append(name)
    if parent_settings:
        unshare(CLONE_NEWNET)
    for name, value in settings.items():
        write_sysctl(name, value)
    set_loopback_up()
    return without


def enter(pid: int) -> None:
    """Move this process into the namespaces of process `pid`. Raises OSError."""
    kinds = [("net", CLONE_NEWNET)]
    if os.readlink(f"/proc/{pid}/ns/user") != os.readlink("/proc/self/ns/user"):
        kinds.insert(0, ("user", CLONE_NEWUSER))
    handles = [(os.open(f"/proc/{pid}/ns/{name}", os.O_RDONLY | os.O_CLOEXEC), flag) for name, flag in kinds]
    for handle, flag in handles:
        setns(handle, flag)
        os.close(handle)


def enter_named(name: str) -> None:
    """Move this process into a namespace that `ip netns add` created. Raises OSError."""
    with open(Path(NAMED) / name) as handle:
        setns(handle.fileno(), CLONE_NEWNET)


@dataclass(frozen=True, slots=True)
class Place:
    """A network namespace of this host."""

    netns: str  # as /proc/PID/ns/net names it
    name: str  # its ip-netns(8) name, else a process in it, as `NAME (PID)`
    pid: int | None  # a process in it; None: no visible process is in it
    pids: tuple[int, ...] = ()  # all visible processes in it

    def enter(self) -> None:
        """Move this process into the namespace. Raises OSError."""
        if self.pid is None:
            enter_named(self.name)
        else:
            enter(self.pid)


def places(proc: Path = Path("/proc"), named: Path = Path(NAMED)) -> tuple[list[Place], int]:
    """The network namespaces visible to this user, this process's own first, and the number of further ones.

    The kernel does not show which namespace another user's process is in, but does show whether it is one of the
    known ones: the entries of /proc/PID/net have different inodes in each namespace (fs/proc/proc_net.c, v6.18).
    """
    own = os.readlink(proc / "self/ns/net")
    names = {}
    with suppress(OSError):
        names = {f"net:[{os.stat(entry).st_ino}]": entry.name for entry in sorted(named.iterdir(), reverse=True)}
    found: dict[str, Place] = {}
    pids: dict[str, list[int]] = {}
    seen: set[int] = set()
    closed: set[int] = set()
    for pid in sorted(map(int, filter(str.isdecimal, os.listdir(proc)))):
        folder = proc / str(pid)
        with suppress(OSError):
            inode = os.stat(folder / "net/tcp").st_ino
            try:
                netns = os.readlink(folder / "ns/net")
            except PermissionError:
                closed.add(inode)
                continue
            seen.add(inode)
            pids.setdefault(netns, []).append(pid)
            if netns not in found:
                name = names.get(netns) or f"{text_of(folder / 'comm').strip()} ({pid})"
                found[netns] = Place(netns, name, pid)
    for netns, name in names.items():
        found.setdefault(netns, Place(netns, name, None))
    everywhere = [replace(place, pids=tuple(pids.get(netns, ()))) for netns, place in found.items()]
    return sorted(everywhere, key=lambda place: place.netns != own), len(closed - seen)


class NamespaceGoneError(Exception):
    """The namespace has ended since it was listed."""


class _Visitor(threading.Thread):
    """A thread in another namespace: setns(2) moves one thread, so the process itself stays."""

    def __init__(self, place: Place, read: Callable[[], Any]) -> None:
        super().__init__(name="netns")
        self._place, self._read = place, read
        self.found: Any = None
        self.error: BaseException | None = None

    def run(self) -> None:
        try:
            self.found = _inside(self._place, self._read)
        except BaseException as error:  # it is raised where the answer is awaited
            self.error = error


def in_namespace(place: Place, read: Callable[[], T]) -> T:
    """What `read` returns in that namespace. Raises NamespaceGoneError, PermissionError, and what `read` raises.

    Sockets that are opened there, /proc/thread-self/net and /proc/sys/net are those of the namespace, also in threads
    that are started there. The caller's own namespace needs no other thread; concurrent.futures would do the rest, and
    takes 8 ms to import.
    """
    if os.readlink(OWN) == place.netns:
        return read()
    visitor = _Visitor(place, read)
    visitor.start()
    visitor.join()
    if visitor.error is not None:
        raise visitor.error
    found: T = visitor.found
    return found


def _inside(place: Place, read: Callable[[], T]) -> T:
    handle = _handle(place)
    try:
        setns(handle, CLONE_NEWNET)
    finally:
        os.close(handle)
    return read()


def _handle(place: Place) -> int:
    """The namespace as a descriptor, by its name or by any of its processes. Raises as Walker.inside."""
    for file in (*(f"/proc/{pid}/ns/net" for pid in place.pids), f"{NAMED}/{place.name}"):
        try:
            handle = os.open(file, os.O_RDONLY | os.O_CLOEXEC)
        except PermissionError:
            raise
        except OSError:  # it has ended
            continue
        if place.netns == f"net:[{os.fstat(handle).st_ino}]":  # the PID, or the name, may have become another's
            return handle
        os.close(handle)
    raise NamespaceGoneError(place.netns)


def own_netns() -> str:
    """The network namespace of this process, as /proc/PID/ns/net names it. Raises OSError if there is no /proc."""
    return os.readlink("/proc/self/ns/net")


def network_cookie() -> str:
    """A number that identifies this namespace until the host restarts; inodes may be reused (socket(7)).

    Before Linux 5.14: the name of the namespace, with its inode.
    """
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        try:
            cookie = sock.getsockopt(socket.SOL_SOCKET, SO_NETNS_COOKIE, 8)
        except OSError:  # before Linux 5.14
            return own_netns()
    return str(int.from_bytes(cookie, sys.byteorder))


def set_loopback_up() -> None:
    """Do what `ip link set lo up` does, also on hosts without `ip` (netdevice(7), SIOCSIFFLAGS)."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        request = fcntl.ioctl(sock, SIOCGIFFLAGS, struct.pack("16sH14x", b"lo", 0))
        (flags,) = struct.unpack_from("H", request, 16)
        fcntl.ioctl(sock, SIOCSIFFLAGS, struct.pack("16sH14x", b"lo", flags | IFF_UP))
