"""What clients cost a server on this machine, as the kernel counts it while they come, speak and go."""

import time
from collections.abc import Generator
from typing import Any

from fourtuple.core.errors import ShortfallError
from fourtuple.core.record import dataclass
from fourtuple.core.runs.counters import Phase
from fourtuple.core.runs.memory import growth_bytes
from fourtuple.core.runs.records import HoldRecord, Sample
from fourtuple.core.runs.run import Run
from fourtuple.lessons.stage import Progress, Stage
from fourtuple.verbs.background import Background
from fourtuple.verbs.costs import cpu_s, sent_bytes, slab_bytes
from fourtuple.verbs.hold import hold

SETTLE_S = 0.2  # for the server to close the last ones


@dataclass(frozen=True, slots=True)
class CostReading:
    """What had been counted at a moment when all clients were there.

    server_s, both_s: CPU time of the server, and of both ends
    memory_bytes:     of slabs; None: not readable
    """

    messages: int
    server_s: float
    both_s: float
    memory_bytes: int | None


@dataclass(frozen=True, slots=True)
class Cost:
    """What clients have cost that came, sent messages and went.

    ports:        local ports of the server while all were there
    server_us:    CPU time of the server for each client, from accept() to close()
    memory_bytes: of the kernel for both ends of each; None: not readable, or other programs changed it meanwhile
    messages:     sent by all of them
    lo_bytes:     sent on lo by both ends
    message_us, both_us: CPU time of the server, and of both ends, for a message while all were there; on loopback the
                  kernel receives in the time of the sender
    """

    ports: list[int]
    server_us: float
    memory_bytes: float | None
    messages: int
    lo_bytes: int
    message_us: float
    both_us: float


def cost_of(
    stage: Stage, clients: int, address: str, server: Background, **how: Any
) -> Generator[Progress, None, Cost]:
    """Let clients come to the server at the address and go. how: options of `hold`"""
    run = hold(clients, [address], **how)
    slabs, lo, server_s = slab_bytes(), sent_bytes("lo") or 0, server.cpu_s()
    moments: list[CostReading] = []

    def steps() -> Generator[Sample, None, HoldRecord]:
        for sample in run:
            if sample.phase is Phase.HOLDING and sample.open == clients:
                moments.append(CostReading(sample.requests, server.cpu_s(), cpu_s(), slab_bytes()))
            yield sample
        return run.record

    record, ports = yield from stage.held(Run(steps()), lambda: stage.ends(address).server_ports)
    time.sleep(SETTLE_S)
    if not moments:
        raise ShortfallError(f"{clients:,} clients at the same time", record.outcome.says)
    first, last = moments[0], moments[-1]
    messages = max(1, last.messages - first.messages)
    growth = growth_bytes(slabs, [each.memory_bytes for each in moments])
    return Cost(
        ports=ports,
        server_us=1e6 * (server.cpu_s() - server_s) / clients,
        memory_bytes=growth and growth / clients,
        messages=record.requests,
        lo_bytes=(sent_bytes("lo") or 0) - lo,
        message_us=1e6 * (last.server_s - first.server_s) / messages,
        both_us=1e6 * (last.both_s - first.both_s) / messages,
    )
