"""A server has no wall at 65,535: a client costs it memory, CPU time and bandwidth, as predicted, and no port."""

import time
from collections.abc import Generator
from typing import Any

from fourtuple.core.limits.cost import MEMORY_SHARE
from fourtuple.core.limits.load import GIGABIT, Load, link_of, message_bytes
from fourtuple.core.record import dataclass
from fourtuple.core.runs.loop_name import LoopName
from fourtuple.core.runs.memory import BUCKETS_BYTES, end_bytes, watch_bytes
from fourtuple.core.runs.orders import Watch
from fourtuple.core.runs.proof import Expected
from fourtuple.lessons.stage import HERE, Demonstration, Progress, Stage, Steps
from fourtuple.verbs.background import Background, serving
from fourtuple.verbs.costs import links_of_machine, object_bytes, own_cpu_s, sent_bytes, slab_bytes
from fourtuple.verbs.hold import hold
from fourtuple.verbs.lab import own_world
from fourtuple.verbs.loop import best_loop

CLAIM = "a server is limited by memory, CPU time and bandwidth; no client costs it a port"

PORT, CLIENTS = 7777, 5_000
MESSAGE, TALK_S, SETTLE_S = b"x" * 64, 1.0, 0.2
# From message to message: above 0.2 s (TCP_DELACK_MAX), so that each message has an acknowledgement of its own.
SLOWLY_S, QUICKLY_S = 0.5, 0.25
# Others use the kernel's slabs, too; how many messages a server takes at a time varies; the namespace's lo is our own.
OF_MEMORY, OF_CPU, OF_BYTES = 0.25, 0.5, 0.03


@dataclass(frozen=True, slots=True)
class Cost:
    """What CLIENTS that came, sent messages and went have cost: CPU time, and bytes on lo."""

    messages: int
    server_us: float
    clients_us: float
    lo_bytes: int

    def beyond(self, other: "Cost") -> "Cost":
        """The cost without that of the other: that of the messages alone."""
        return Cost(*(getattr(self, name) - getattr(other, name) for name in self.__slots__))


def show(stage: Stage) -> Steps:
    address = f"{HERE}:{stage.port(PORT)}"
    with serving(address) as server:
        silent, ports, slabs = yield from _cost(stage, address, server, hold_s=SETTLE_S, watch=Watch.CENSUS)
        talk = {"hold_s": TALK_S, "send": MESSAGE}
        slow = (yield from _cost(stage, address, server, every_s=SLOWLY_S, **talk))[0].beyond(silent)
        quick = (yield from _cost(stage, address, server, every_s=QUICKLY_S, **talk))[0].beyond(silent)
    world, objects, notes = own_world(), object_bytes(), []
    end, modelled = end_bytes(objects)
    predicted: dict[str, Any] = {"local ports of the server": [int(address.rpartition(":")[2])]}
    observed: dict[str, Any] = {"local ports of the server": ports}
    if slabs:
        # The clients are not polled, the server's ends are; each client has a port of its own.
        both = 2 * end + watch_bytes(objects, polled=best_loop(CLIENTS) is LoopName.RING) + BUCKETS_BYTES
        predicted[of := "memory of both ends"] = Expected.near(round(both), OF_MEMORY, "B")
        observed[of] = round(slabs / CLIENTS)
    else:
        notes.append("memory was left out: /proc/meminfo does not have Slab")
    predicted[of := f"CPU time of {quick.messages:,} messages"] = Expected.near(
        round(slow.server_us / slow.messages * quick.messages / 1000, 1), OF_CPU, "ms"
    )
    observed[of] = round(quick.server_us / 1000, 1)
    timestamps = world.number("net.ipv4.tcp_timestamps") != 0
    if stage.private:
        each_bytes = sum(message_bytes(len(MESSAGE), timestamps=timestamps, link_bytes=0))
        predicted[of := "bytes of these on lo"] = Expected.near(each_bytes * quick.messages, OF_BYTES, "B")
        observed[of] = quick.lo_bytes
    else:
        notes.append("bandwidth was left out: other programs use this loopback interface, too")
    message_us = (quick.server_us + quick.clients_us) / quick.messages
    load, (speed, link) = Load(message_us=message_us), link_of(links_of_machine(), here=False)
    serves = {
        "memory": int(MEMORY_SHARE * (world.free_memory.free_bytes or 0) / end),
        "CPU": load.by_cpu(world.cpus),
        "bandwidth": load.by_link(speed or GIGABIT, timestamps=timestamps),
    }
    return Demonstration(
        did=f"let {CLIENTS:,} clients come to {address} and go: silent; with a message of {len(MESSAGE)} B from each"
        f" every {SLOWLY_S:g} s; every {QUICKLY_S:g} s. Predict memory from the sizes of the kernel's objects, CPU time"
        " from the slower messages, bytes from the headers",
        predicted=predicted,
        observed=observed,
        evidence={
            "memory of the server's end, B": round(end),
            "estimated, as only root can read slab sizes": list(modelled),
            "server's CPU time from accept() to close(), µs": round(silent.server_us / CLIENTS, 1),
            "clients per second that follow, for each CPU": round(1e6 * CLIENTS / silent.server_us),
            "server's CPU time of a message, µs": round(quick.server_us / quick.messages, 1),
            "with the clients' and the network's, µs": round(message_us, 1),
            "link": link if speed else f"{link}: 1 Gbit/s is assumed",
            f"clients that this machine could serve, each with {load}": serves,
            "what ends it first": min(serves, key=lambda name: serves[name]),
        },
        note="; ".join(notes),
    )


def _cost(
    stage: Stage, address: str, server: Background, **how: Any
) -> Generator[Progress, None, tuple[Cost, list[int], int | None]]:
    """Let CLIENTS come, send messages and go → the cost, the server's ports, and by how much the slabs had grown."""
    slabs, lo, server_s, own_s = slab_bytes(), sent_bytes("lo") or 0, server.cpu_s(), own_cpu_s()
    run = hold(CLIENTS, [address], **how)
    record, (ports, full) = yield from stage.held(run, lambda: (stage.ends(address).server_ports, slab_bytes()))
    time.sleep(SETTLE_S)  # the server closes the last ones
    cost = Cost(
        messages=record.requests,
        server_us=1e6 * (server.cpu_s() - server_s),
        clients_us=1e6 * (own_cpu_s() - own_s),
        lo_bytes=(sent_bytes("lo") or 0) - lo,
    )
    return cost, ports, None if full is None or slabs is None else full - slabs
