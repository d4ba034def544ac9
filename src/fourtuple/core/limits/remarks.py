"""Settings and listeners that look harmless, or like a remedy, but cause trouble: what was found, and why."""

from collections.abc import Iterator

from fourtuple.core.limits import meters
from fourtuple.core.limits.facts import World
from fourtuple.core.limits.ports import PortUse
from fourtuple.core.limits.releases import TW_RECYCLE
from fourtuple.core.record import dataclass
from fourtuple.core.space.ranges import Ranges
from fourtuple.core.units import format_count, format_size

NR_OPEN = 1_048_576  # fs/file.c: sysctl_nr_open_max is more, this is the default
# Ports of well-known services that lie within commonly set ranges; /etc/services does not list NodePorts.
LOCAL_SERVICES = {
    1433: "SQL Server",
    2379: "etcd",
    3306: "MySQL",
    5432: "PostgreSQL",
    5672: "RabbitMQ",
    6379: "Redis",
    8080: "HTTP",
    8443: "HTTPS",
    9092: "Kafka",
    9200: "Elasticsearch",
    10250: "kubelet",
    11211: "memcached",
    27017: "MongoDB",
}
NODE_PORTS = range(30000, 32768)  # Kubernetes


@dataclass(frozen=True, slots=True)
class Remark:
    """A setting that causes trouble, and the remedy.

    about: the name of the setting
    text:  what is wrong, and what to do
    """

    about: str
    text: str


def remarks(world: World, use: PortUse) -> tuple[Remark, ...]:
    """All remarks about this world. use: the ports in use in its namespace"""
    return tuple(_ports(world, use)) + tuple(_settings(world))


def _ports(world: World, use: PortUse) -> Iterator[Remark]:
    facts = world.ports
    if facts is None:
        return
    name, count = "net.ipv4.ip_local_port_range", len(facts.port_range)
    low, high = facts.port_range.start, facts.port_range.stop - 1
    if count % 2 and count > 1:
        yield Remark(
            name,
            f"{low} {high} is an odd number of ports: connect() sometimes skips the lowest or the highest one."
            f" {low} {high - 1} loses no port that is always usable",
        )
    listening = sorted(set(use.listens["local_port"].tolist()))
    inside = [port for port in listening if port in facts.automatic_ports]
    if inside:
        several = "s" if len(inside) > 1 else ""
        yield Remark(
            name,
            f"the listener{several} on {_some(inside)} {'are' if several else 'is'} inside the range: each listener"
            " costs"
            " every destination one port, and a client that retries while the listener is down can connect to itself."
            " Reserve such ports (net.ipv4.ip_local_reserved_ports) or listen below the range",
        )
    absent = [port for port in LOCAL_SERVICES if port in facts.automatic_ports and port not in listening]
    if absent:
        names = ", ".join(f"{port} ({LOCAL_SERVICES[port]})" for port in absent[:4])
        reaches = low < NODE_PORTS.stop and high >= NODE_PORTS.start
        nodes = f", and Kubernetes' NodePorts {NODE_PORTS.start}-{NODE_PORTS.stop - 1}" if reaches else ""
        yield Remark(
            name,
            f"the range includes ports of well-known services: {names}{' …' if len(absent) > 4 else ''}{nodes}."
            " If an outgoing connection holds such a port when the service starts, bind() fails with EADDRINUSE."
            " Reserve the"
            " ports of the services that you run",
        )


def _some(ports: list[int]) -> str:
    ranges = Ranges(range(port, port + 1) for port in ports)
    parts = str(ranges).split(",")
    return ", ".join(parts[:6]) + (f" … ({len(ports)} in all)" if len(parts) > 6 else "")


def _settings(world: World) -> Iterator[Remark]:
    if world.number("net.ipv4.tcp_tw_recycle"):
        yield Remark(
            "net.ipv4.tcp_tw_recycle",
            f"it drops connections of clients behind NAT; {TW_RECYCLE.linux} removed it. Set it to 0; for"
            " outgoing connections use tcp_tw_reuse",
        )
    memory = meters.TCP_MEMORY.read(world)
    most_bytes, total_bytes = memory.in_bytes(memory.ceiling), world.memory_bytes
    if most_bytes and total_bytes and most_bytes > total_bytes:
        yield Remark(
            meters.TCP_MEMORY.setting,
            f"it counts pages, not bytes: {format_count(memory.ceiling or 0)} pages are"
            f" {format_size(most_bytes)}, more than the memory of this host."
            " Remove the setting; the kernel's default fits the memory",
        )
    buckets, entries = meters.TIME_WAITS.ceiling(world), world.number("net.ipv4.tcp_ehash_entries")
    if buckets is not None and entries and buckets < abs(entries) // 2:
        yield Remark(
            meters.TIME_WAITS.setting,
            f"{format_count(buckets)} is below the kernel's default of {format_count(abs(entries) // 2)}: above it,"
            " connections close without TIME_WAIT, which removes a protection and frees no useful number of ports."
            " Remove the setting",
        )
    nr_open = meters.NR_OPEN.ceiling(world)
    if nr_open is not None and nr_open < NR_OPEN:
        yield Remark(
            meters.NR_OPEN.setting,
            f"{format_count(nr_open)} is below the kernel's default of {format_count(NR_OPEN)}: it only lowers the"
            " maximum of RLIMIT_NOFILE. Remove the setting",
        )
