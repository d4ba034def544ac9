"""The tuple space is a product, and arithmetic alone shows that it does not end at 65,536."""

from fourtuple.core.space.tuples import TupleSpace
from fourtuple.lessons.stage import Outcome, Stage

CLAIM = "a connection is a 4-tuple; the space is a product"

EVERY_PORT = range(1, 65536)  # port 0 cannot be asked for: to bind() it means "choose one"


def show(stage: Stage) -> Outcome:
    one_server_port = TupleSpace.of(["10.0.0.4"], EVERY_PORT, ["10.0.0.9:80"])
    two_server_ports = TupleSpace.of(["10.0.0.4"], EVERY_PORT, ["10.0.0.9:80-81"])
    two_sources = TupleSpace.of(["10.0.0.4-5"], EVERY_PORT, ["10.0.0.9:80-81"])
    middle = two_sources.size // 2
    return Outcome(
        did="10.0.0.4 → 10.0.0.9:80, then :80-81, then from 10.0.0.4-5 too; IPv4 and IPv6 as a whole",
        predicted={
            "one server port": 65_535,
            "two server ports": 2 * 65_535,
            "two sources as well": 4 * 65_535,
            "IPv4": "2^96",
            "IPv6": "2^288",
        },
        observed={
            "one server port": one_server_port.size,
            "two server ports": two_server_ports.size,
            "two sources as well": two_sources.size,
            "IPv4": f"2^{TupleSpace.whole(4).size.bit_length() - 1}",
            "IPv6": f"2^{TupleSpace.whole(6).size.bit_length() - 1}",
        },
        evidence={f"4-tuple number {middle:,}": str(two_sources[middle]), "IPv4 in full": TupleSpace.whole(4).size},
    )
