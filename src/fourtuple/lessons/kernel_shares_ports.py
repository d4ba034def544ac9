"""Nobody binds anything, and still every local port carries two connections: the kernel shares ports by destination."""

from collections import Counter

from fourtuple.core.sockets.table import four_tuples
from fourtuple.lessons.stage import Outcome, Stage

CLAIM = "without any bind, the kernel reuses a local port by destination"

PORTS = 100


def show(stage: Stage) -> Outcome:
    ports = stage.narrow(PORTS)
    first, second = stage.listen(8000), stage.listen(8001)
    opened = stage.fill(first)[0] + stage.fill(second)[0]
    ends = stage.ends(str(first), str(second))
    uses = Counter(ends.client["local_port"].tolist())
    shared = [str(t) for t in four_tuples(ends.client) if t.source.port == min(uses)]
    return Outcome(
        did=f"plain connect() from ports {ports.start}-{ports[-1]} to {first} and {second}, until both refuse",
        predicted={"connections": 2 * PORTS, "ports used": PORTS, "each of them": "2 times"},
        observed={
            "connections": opened,
            "ports used": len(uses),
            "each of them": " or ".join(f"{n} times" for n in sorted(set(uses.values()))),
        },
        evidence={"one port": sorted(shared)},
    )
