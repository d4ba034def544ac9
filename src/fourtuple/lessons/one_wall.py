"""The one real limit of a client: the port range for each source and destination. And it can be changed."""

import socket

from fourtuple.core.space.ranges import Ranges
from fourtuple.lessons.stage import IP_BIND_ADDRESS_NO_PORT, Demonstration, Stage
from fourtuple.verbs.lab import set_reserved_ports

CLAIM = "a client is limited by the port range per source and destination, which can be changed"

PORTS, WIDER, RESERVED = 100, 150, 10


def show(stage: Stage) -> Demonstration:
    ports = stage.narrow(PORTS)
    wall = stage.listen(8000)
    opened, stopped_by = stage.fill(wall)
    second_source, _ = stage.fill(wall, lambda sock: _from(sock, "127.0.0.2"))
    stage.release()
    wider = stage.narrow(WIDER)
    more, _ = stage.fill(stage.listen(8001))
    narrow, fails, wide = f"range of {PORTS} ports", "then connect() fails with", f"range of {WIDER} ports"
    predicted = {narrow: PORTS, fails: "EADDRNOTAVAIL", "from a second source": PORTS, wide: WIDER}
    observed = {narrow: opened, fails: stopped_by, "from a second source": second_source, wide: more}
    note = "reserved ports were left out: the setting would apply to the whole host"
    if stage.private:
        try:
            set_reserved_ports(Ranges([range(wider.start, wider.start + RESERVED)]))
        except OSError as error:
            note = f"reserved ports were left out: /proc/sys is not writable ({error.strerror})"
        else:
            predicted[f"{RESERVED} of these reserved"] = WIDER - RESERVED
            observed[f"{RESERVED} of these reserved"], _ = stage.fill(stage.listen(8002))
            note = ""
    return Demonstration(
        did=f"connect() to {wall} until it fails, with port range {ports.start}-{ports[-1]}; again from 127.0.0.2;"
        f" again with {wider.start}-{wider[-1]}",
        predicted=predicted,
        observed=observed,
        note=note,
    )


def _from(sock: socket.socket, address: str) -> None:
    sock.setsockopt(socket.IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, 1)
    sock.bind((address, 0))
