"""What N connections send, and what that takes of a machine: CPUs and bandwidth. Estimates, with what was assumed."""

from fourtuple.core.limits.load import ETHERNET, WIRE, Load, link_of, message_bytes
from fourtuple.core.limits.verdicts import Case
from fourtuple.core.record import dataclass


@dataclass(frozen=True, slots=True)
class Traffic:
    """The messages of all connections of one machine.

    load:       what each connection sends
    cpus:       how many CPUs are busy with it at one end
    cpus_here:  how many this host has for it
    bits_per_s: in the direction of the messages, headers included
    link:       the fastest network card of this host with its speed, or why there is none
    """

    load: Load
    cpus: float
    cpus_here: int
    bits_per_s: float
    link: str


def traffic(wanted: int, case: Case) -> Traffic:
    """What `wanted` connections send each second."""
    load = case.load
    messages_per_s = wanted / load.every_s
    timestamps = case.number("net.ipv4.tcp_timestamps") != 0
    there, _ = message_bytes(load.payload_bytes, timestamps=timestamps, link_bytes=ETHERNET + WIRE)
    return Traffic(
        load=load,
        cpus=messages_per_s * load.message_us / 1e6,
        cpus_here=case.cpus,
        bits_per_s=8 * there * messages_per_s,
        link=link_of(case.world.links, here=case.here)[1],
    )
