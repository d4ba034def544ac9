"""The number of 4-tuples is a product; arithmetic alone shows that it does not end at 65,536."""

from fourtuple.core.space.tuples import TupleSpace
from fourtuple.lessons.stage import Demonstration, Stage

CLAIM = "a connection is a 4-tuple; the number of 4-tuples is a product"

EVERY_PORT = range(1, 65536)  # port 0 is not usable: to bind() it means "choose a port"


def show(stage: Stage) -> Demonstration:
    one_server_port = TupleSpace.of(["10.0.0.4"], EVERY_PORT, ["10.0.0.9:80"])
    two_server_ports = TupleSpace.of(["10.0.0.4"], EVERY_PORT, ["10.0.0.9:80-81"])
    two_sources = TupleSpace.of(["10.0.0.4-5"], EVERY_PORT, ["10.0.0.9:80-81"])
    middle = two_sources.size // 2
    return Demonstration(
        did="count the 4-tuples from 10.0.0.4 to 10.0.0.9:80; to 10.0.0.9:80-81; from 10.0.0.4-5 to 10.0.0.9:80-81; of"
        " all of IPv4 and IPv6",
        predicted={
            "1 source, 1 server port": 65_535,
            "1 source, 2 server ports": 2 * 65_535,
            "2 sources, 2 server ports": 4 * 65_535,
            "all of IPv4": "2^96",
            "all of IPv6": "2^288",
        },
        observed={
            "1 source, 1 server port": one_server_port.size,
            "1 source, 2 server ports": two_server_ports.size,
            "2 sources, 2 server ports": two_sources.size,
            "all of IPv4": f"2^{TupleSpace.whole(4).size.bit_length() - 1}",
            "all of IPv6": f"2^{TupleSpace.whole(6).size.bit_length() - 1}",
        },
        evidence={
            f"4-tuple number {middle:,}": str(two_sources[middle]),
            "all of IPv4, as a number": TupleSpace.whole(4).size,
        },
    )
