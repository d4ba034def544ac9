"""A server holds thousands of connections and uses a single local port: the one it listens on."""

import socket

from fourtuple.lessons.stage import HERE, Demonstration, Stage, Steps
from fourtuple.verbs.background import serving
from fourtuple.verbs.hold import hold

CLAIM = "accept() uses no new port"

FEW, MANY = 4, 5_000


def show(stage: Stage) -> Steps:
    port = stage.port(7777)
    everywhere = "0.0.0.0" if stage.private else HERE  # on the host itself, listen on loopback only
    greetings = []
    with serving(f"{everywhere}:{port}", "--greet", "hello") as server:
        for _ in range(FEW):
            client = stage.client()
            client.connect((HERE, port))
            host, own_port = client.getsockname()
            greetings.append(f"{host}:{own_port} received {client.recv(5, socket.MSG_WAITALL).decode()}")
        run = hold(MANY, [f"{HERE}:{port}"], hold_s=1)
        record, ends = yield from stage.held(run, lambda: stage.ends(f"{HERE}:{port}"))
    return Demonstration(
        did=f"connect {FEW} clients, then {MANY:,} more, to one server on {everywhere}:{port} that greets each"
        " with hello",
        predicted={
            "connections": FEW + MANY,
            "accepted by the server": FEW + MANY,
            "greeted by the server": FEW + MANY,
            "local ports of the server": [port],
        },
        observed={
            "connections": len(ends.client),
            "accepted by the server": ends.accepted,
            "greeted by the server": sum(line.endswith("hello") for line in greetings)
            + record.received_bytes // len("hello"),
            "local ports of the server": ends.server_ports,
        },
        evidence={
            "the first clients": greetings,
            "the server's loop": server.record.get("loop"),
            "connections per second": round(record.rate_per_s),
        },
    )
