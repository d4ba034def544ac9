"""accept() between two machines: two network namespaces joined by a virtual cable, each with its own address."""

from ipaddress import ip_interface

from fourtuple.core.errors import CannotError
from fourtuple.core.sockets.ends import Ends
from fourtuple.core.topology import Cable, Port
from fourtuple.lessons.stage import Demonstration, Stage, Steps
from fourtuple.verbs.background import serving
from fourtuple.verbs.hold import hold
from fourtuple.verbs.lab import Lab

CLAIM = "accept() uses no new port between two machines either"

CLIENT, SERVER, PORT = "10.77.0.1", "10.77.0.2", 7777
MANY = 5_000
ALONE = "server's sockets at the client"


def show(stage: Stage) -> Steps:
    if not stage.private:
        raise CannotError("two hosts need private network namespaces", "these are not permitted here")
    cable = Cable(
        Port("near", (ip_interface(f"{CLIENT}/24"),)),
        Port("far", (ip_interface(f"{SERVER}/24"),)),
    )
    with Lab() as far:
        far.join(cable)
        with serving(f"{SERVER}:{PORT}", "--greet", "hello", prefix=far.command([])):

            def both_hosts() -> tuple[Ends, Ends]:
                with far.inside():
                    there = stage.ends(f"{SERVER}:{PORT}")
                return stage.ends(f"{SERVER}:{PORT}"), there

            run = hold(MANY, [f"{SERVER}:{PORT}"], hold_s=1)
            record, (here, there) = yield from stage.held(run, both_hosts)
    return Demonstration(
        did=f"connect {MANY:,} clients on {CLIENT} to one server on {SERVER}:{PORT}, over a veth pair",
        predicted={
            "connections at the client": MANY,
            "accepted by the server": MANY,
            "greeted by the server": MANY,
            "local ports of the server": [PORT],
            ALONE: 0,
        },
        observed={
            "connections at the client": len(here.client),
            "accepted by the server": there.accepted,
            "greeted by the server": record.received_bytes // len("hello"),
            "local ports of the server": there.server_ports,
            ALONE: len(here.server),
        },
        evidence={"connections per second": round(record.rate_per_s)},
    )
