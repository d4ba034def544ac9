"""Without any bind(), every local port carries two connections: the kernel shares ports between destinations."""

from collections import Counter

from fourtuple.core.sockets.table import four_tuples
from fourtuple.lessons.stage import Demonstration, Stage

CLAIM = "without bind(), the kernel uses a local port again for another destination"

PORTS = 100


def show(stage: Stage) -> Demonstration:
    ports = stage.narrow(PORTS)
    first, second = stage.listen(8000), stage.listen(8001)
    opened = stage.fill(first)[0] + stage.fill(second)[0]
    ends = stage.ends(str(first), str(second))
    uses = Counter(ends.client["local_port"].tolist())
    shared = [str(t) for t in four_tuples(ends.client) if t.source.port == min(uses)]
    return Demonstration(
        did=f"with port range {ports.start}-{ports[-1]}, call connect() without bind() to {first} until it fails;"
        f" then to {second} until it fails",
        predicted={"connections": 2 * PORTS, "local ports used": PORTS, "connections on each port": "2"},
        observed={
            "connections": opened,
            "local ports used": len(uses),
            "connections on each port": " or ".join(str(n) for n in sorted(set(uses.values()))),
        },
        evidence={"connections on one of these ports": sorted(shared)},
    )
