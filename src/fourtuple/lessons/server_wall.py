"""A server has no wall at 65,535: a client costs it memory, CPU time and bandwidth, as predicted, and no port."""

from typing import Any

from fourtuple.core.limits.cost import MEMORY_SHARE
from fourtuple.core.limits.load import GIGABIT, Load, link_of, message_bytes
from fourtuple.core.runs.loop_name import LoopName
from fourtuple.core.runs.memory import BUCKETS_BYTES, agreed, end_bytes, watch_bytes
from fourtuple.core.runs.proof import Expected
from fourtuple.lessons.cost import cost_of
from fourtuple.lessons.stage import HERE, Demonstration, Stage, Steps
from fourtuple.verbs.background import serving
from fourtuple.verbs.costs import links_of_machine, object_bytes
from fourtuple.verbs.lab import own_world
from fourtuple.verbs.loop import best_loop

CLAIM = "a server is limited by memory, CPU time and bandwidth; no client costs it a port"

PORT, FEW, MANY = 7777, 500, 5_000
# As many messages per second from few as from many. The interval of many is above 0.2 s (TCP_DELACK_MAX,
# include/net/tcp.h, v6.18), so that each of their messages has an acknowledgement of its own.
MESSAGE, TALK_S, SILENT_S, OF_FEW_S, OF_MANY_S = b"x" * 64, 1.0, 0.3, 0.05, 0.5
# Tolerances. Other programs use the kernel's slabs, too; the namespace's lo is our own. How many messages a server
# takes at a time varies; but if each client had a cost, a message of MANY would take ten times as long as one of FEW.
OF_MEMORY, OF_BYTES, TIMES = 0.25, 0.03, 4


def show(stage: Stage) -> Steps:
    address = f"{HERE}:{stage.port(PORT)}"
    with serving(address) as server:
        silent = yield from cost_of(stage, MANY, address, server, hold_s=SILENT_S)
        talk = {"hold_s": TALK_S, "send": MESSAGE}
        few = yield from cost_of(stage, FEW, address, server, every_s=OF_FEW_S, **talk)
        many = yield from cost_of(stage, MANY, address, server, every_s=OF_MANY_S, **talk)
    world, objects, notes = own_world(), object_bytes(), []
    end, modelled = end_bytes(objects)
    timestamps = world.number("net.ipv4.tcp_timestamps") != 0
    predicted: dict[str, Any] = {"local ports of the server": [int(address.rpartition(":")[2])]}
    observed: dict[str, Any] = {"local ports of the server": many.ports}
    if memory := agreed(each.memory_bytes for each in (silent, few, many)):
        both = 2 * (end + watch_bytes(objects, polled=best_loop(MANY) is LoopName.RING)) + BUCKETS_BYTES
        predicted[of := "memory of both ends"] = Expected.near(round(both), OF_MEMORY, "B")
        observed[of] = round(memory)
    else:
        notes.append(
            "memory was left out: other programs changed that of the kernel, or /proc/meminfo does not have it"
        )
    most_us = round(TIMES * few.message_us, 1)
    predicted[of := "server's CPU time of a message"] = Expected(most=most_us, unit="µs")
    observed[of] = round(many.message_us, 1)
    if stage.private:
        headers = sum(message_bytes(len(MESSAGE), timestamps=timestamps, link_bytes=0))
        predicted[of := f"bytes of {many.messages:,} messages"] = Expected.near(headers * many.messages, OF_BYTES, "B")
        observed[of] = many.lo_bytes - silent.lo_bytes
    else:
        notes.append("bandwidth was left out: other programs use this loopback interface, too")
    load, (speed, link) = Load(message_us=many.both_us), link_of(links_of_machine(), here=False)
    serves = {
        "memory": int(MEMORY_SHARE * (world.free_memory.free_bytes or 0) / end),
        "CPU": load.by_cpu(world.cpus),
        "bandwidth": load.by_link(speed or GIGABIT, timestamps=timestamps),
    }
    return Demonstration(
        did=f"let clients come to {address} and go: {MANY:,} in silence; {FEW} that send {len(MESSAGE)} B every"
        f" {OF_FEW_S:g} s; {MANY:,} that send it every {OF_MANY_S:g} s. Predict memory from the sizes of the kernel's"
        f" objects, CPU time from the {FEW} clients, bytes from the headers",
        predicted=predicted,
        observed=observed,
        evidence={
            "memory of the server's end, B": round(end),
            "estimated, as only root can read slab sizes": list(modelled),
            "server's CPU time from accept() to close(), µs": round(silent.server_us, 1),
            "clients per second that follow, for each CPU": round(1e6 / silent.server_us),
            "CPU time of a message at both ends, µs": round(load.message_us, 1),
            "link": link if speed else f"{link}: 1 Gbit/s is assumed",
            f"clients that this machine could serve, each with {load}": serves,
            "what ends it first": min(serves, key=lambda name: serves[name]),
        },
        note="; ".join(notes),
    )
