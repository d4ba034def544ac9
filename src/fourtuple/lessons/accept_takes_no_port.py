"""A server holds thousands of connections and uses one port: the one it listens on."""

import socket

from fourtuple.lessons.stage import HERE, Outcome, Stage, Steps
from fourtuple.verbs.background import serving
from fourtuple.verbs.hold import hold

CLAIM = "accept() uses no new port"

FEW, MANY = 4, 5_000


def show(stage: Stage) -> Steps:
    port = stage.port(7777)
    everywhere = "0.0.0.0" if stage.private else HERE  # a host of others is not offered a server, however short
    heard = []
    with serving(f"{everywhere}:{port}", "--greet", "hello") as server:
        for _ in range(FEW):
            client = stage.client()
            client.connect((HERE, port))
            host, own_port = client.getsockname()
            heard.append(f"{host}:{own_port} received {client.recv(5, socket.MSG_WAITALL).decode()}")
        run = hold(MANY, [f"{HERE}:{port}"], hold_s=1)
        record, ends = yield from stage.held(run, lambda: stage.ends(f"{HERE}:{port}"))
    return Outcome(
        did=f"{FEW} clients, then {MANY:,} more, to one server on {everywhere}:{port} that greets each with hello",
        predicted={"connections": FEW + MANY, "accepted": FEW + MANY, "greeted": FEW + MANY, "server ports": [port]},
        observed={
            "connections": len(ends.client),
            "accepted": ends.accepted,
            "greeted": sum(line.endswith("hello") for line in heard) + record.received_bytes // len("hello"),
            "server ports": ends.server_ports,
        },
        evidence={
            "the first clients": heard,
            "the server's record": server.record,
            "connections a second": round(record.rate_per_s),
        },
    )
