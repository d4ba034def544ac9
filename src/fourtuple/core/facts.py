"""What a host said about itself: frozen records, a unit in every name. None means it did not say."""

from dataclasses import dataclass

from fourtuple.core.ranges import Ranges


@dataclass(frozen=True, slots=True)
class Memory:
    """What sockets can still take without anyone being killed, and where that limit is.

    free_bytes: MemFree + Cached − Shmem, or what a cgroup leaves if that is less; None: nobody says.
                Not MemAvailable: it counts the inodes of open sockets as memory that could be had back
    where:      `on this host`, or `in the cgroup /x`
    """

    free_bytes: int | None
    where: str = "on this host"


@dataclass(frozen=True, slots=True)
class HostFacts:
    """What decides how many connections can be opened from one process of one network namespace."""

    kernel: str  # release, as uname -r gives it
    cpus: int
    memory_bytes: int | None  # MemTotal
    memory: Memory
    port_range: range  # net.ipv4.ip_local_port_range, last port included
    reserved_ports: Ranges  # net.ipv4.ip_local_reserved_ports
    files_soft: int  # RLIMIT_NOFILE of this process
    files_hard: int
    files_open: int  # descriptors in use below the soft limit

    @property
    def kernel_version(self) -> tuple[int, int]:
        return parse_release(self.kernel)

    @property
    def automatic_ports(self) -> Ranges:
        """The source ports from which the kernel chooses."""
        return Ranges([self.port_range]).without(self.reserved_ports)


def parse_release(release: str) -> tuple[int, int]:
    """`6.1.0-18-amd64` → (6, 1)."""
    major, minor, *_ = release.split(".")
    digits = minor[: len(minor) - len(minor.lstrip("0123456789"))]
    return int(major), int(digits or 0)
