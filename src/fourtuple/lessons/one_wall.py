"""The one real wall of a client: the port range, for each source address and destination. And it can be moved."""

import socket

from fourtuple.core.space.ranges import Ranges
from fourtuple.lessons.stage import IP_BIND_ADDRESS_NO_PORT, Outcome, Stage
from fourtuple.verbs.lab import set_reserved_ports

CLAIM = "what really stops a client is the range, per destination, and it can be moved"

PORTS, WIDER, RESERVED = 100, 150, 10


def show(stage: Stage) -> Outcome:
    ports = stage.narrow(PORTS)
    wall = stage.listen(8000)
    opened, stopped_by = stage.fill(wall)
    second_source, _ = stage.fill(wall, lambda sock: _from(sock, "127.0.0.2"))
    stage.release()
    wider = stage.narrow(WIDER)
    more, _ = stage.fill(stage.listen(8001))
    says = "then connect() says"
    predicted = {"range of 100": PORTS, says: "EADDRNOTAVAIL", "a second source": PORTS, "range of 150": WIDER}
    observed = {"range of 100": opened, says: stopped_by, "a second source": second_source, "range of 150": more}
    note = "reserved ports cannot be shown: they are a setting of the whole namespace, and this one is not ours"
    if stage.private:
        try:
            set_reserved_ports(Ranges([range(wider.start, wider.start + RESERVED)]))
        except OSError as error:
            note = f"reserved ports cannot be shown: /proc/sys may not be written ({error.strerror})"
        else:
            predicted["10 of them reserved"] = WIDER - RESERVED
            observed["10 of them reserved"], _ = stage.fill(stage.listen(8002))
            note = ""
    return Outcome(
        did=f"connect() from ports {ports.start}-{ports[-1]} to {wall} until it fails; again from 127.0.0.2;"
        f" from {wider.start}-{wider[-1]}",
        predicted=predicted,
        observed=observed,
        note=note,
    )


def _from(sock: socket.socket, address: str) -> None:
    sock.setsockopt(socket.IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, 1)
    sock.bind((address, 0))
