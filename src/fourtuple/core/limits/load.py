"""What connections that speak cost a machine, besides memory: CPU time, and bytes on a link.

A message travels behind three headers: TCP, 20 bytes (RFC 9293 section 3.1), with timestamps 12 more (RFC 7323 section
3.2, padded: TCPOLEN_TSTAMP_ALIGNED in include/net/tcp.h, v6.18); IPv4, 20 bytes (RFC 791); Ethernet, 14 bytes, on a
wire with 24 more for preamble, checksum and gap (IEEE 802.3). The other end acknowledges it with the headers alone,
once, if nothing else is sent within 40 ms (TCP_DELACK_MIN). Loopback counts no Ethernet header: eth_type_trans() has
removed it before loopback_xmit() counts (drivers/net/loopback.c, v6.18). IPv6 has 20 bytes more.
"""

from collections.abc import Sequence

from fourtuple.core.record import dataclass
from fourtuple.core.units import format_duration, format_size

IP, TCP, TIMESTAMPS = 20, 20, 12
ETHERNET, WIRE = 14, 24
MTU = 1500
EVERY_S, PAYLOAD_BYTES = 30.0, 64  # of a message, if nothing else is said
# CPU time of both ends for a message and its acknowledgement, in µs, so the most that one end takes: `fourtuple prove
# server-wall` on Linux 6.18, x86_64, 2 CPUs. What a program does with a message comes on top.
MESSAGE_US = 20.0
GIGABIT = 10**9


@dataclass(frozen=True, slots=True)
class Link:
    """A network card. bits_per_s: None: it does not report its speed"""

    name: str
    bits_per_s: int | None


def link_of(links: Sequence[Link], *, here: bool) -> tuple[int | None, str]:
    """(bits per second of the fastest link, its name and speed); None: unknown, for the reason that is given.

    here: both ends are on this host
    """
    if here:
        return None, "both ends are on this host, on no link"
    known = [(link.bits_per_s, link.name) for link in links if link.bits_per_s is not None]
    if not known:
        return None, "no network card reports its speed" if links else "no network card is visible"
    bits_per_s, name = max(known)
    return bits_per_s, f"{name}, {bits_per_s / GIGABIT:g} Gbit/s"


@dataclass(frozen=True, slots=True)
class Load:
    """What each connection sends.

    every_s:       the interval between two messages
    payload_bytes: of a message
    message_us:    CPU time that this end spends on a message
    given:         the user has said at least one of these; the others are assumed
    """

    every_s: float = EVERY_S
    payload_bytes: int = PAYLOAD_BYTES
    message_us: float = MESSAGE_US
    given: bool = False

    @classmethod
    def asked(cls, every_s: float | None, payload_bytes: int | None, message_us: float | None) -> "Load":
        """The load with these values; None: as assumed."""
        return cls(
            EVERY_S if every_s is None else every_s,
            PAYLOAD_BYTES if payload_bytes is None else payload_bytes,
            MESSAGE_US if message_us is None else message_us,
            given=any(each is not None for each in (every_s, payload_bytes, message_us)),
        )

    def by_cpu(self, cpus: int) -> int:
        """How many connections these CPUs can serve that do nothing else."""
        return int(cpus * 1e6 * self.every_s / self.message_us)

    def by_link(self, bits_per_s: float, *, timestamps: bool) -> int:
        """How many connections a link can carry, which is full in the direction of the messages first."""
        there, _ = message_bytes(self.payload_bytes, timestamps=timestamps, link_bytes=ETHERNET + WIRE)
        return int(bits_per_s / 8 * self.every_s / there)

    @property
    def cpu_text(self) -> str:
        """The CPU time of a message, and where it comes from."""
        measured = "both ends, as `fourtuple prove server-wall` measured"
        because = measured if self.message_us == MESSAGE_US else "as given"
        return f"{format_duration(self.message_us / 1e6)} of CPU time each ({because})"

    def __str__(self) -> str:
        what = f"a message of {format_size(self.payload_bytes)} every {format_duration(self.every_s)}"
        return what if self.given else f"{what} (assumed)"


def message_bytes(payload_bytes: int, *, timestamps: bool, link_bytes: int) -> tuple[int, int]:
    """Bytes that a message takes in its direction, and its acknowledgement in the other. IPv4, and an MTU of 1,500.

    timestamps: net.ipv4.tcp_timestamps is on at both ends
    link_bytes: what the link adds to each packet
    """
    headers = IP + TCP + TIMESTAMPS * timestamps
    segments = max(1, -(-payload_bytes // (MTU - headers)))
    acknowledgements = -(-segments // 2)  # every second segment at the latest (RFC 9293 section 3.8.6.3)
    return payload_bytes + segments * (headers + link_bytes), acknowledgements * (headers + link_bytes)
