"""bind(address, 0) must choose a port before the destination is known, so it shares with nobody, and starves all."""

import socket

from fourtuple.lessons.stage import HERE, IP_BIND_ADDRESS_NO_PORT, Outcome, Stage

CLAIM = "bind(address, 0) before connect() starves everyone; IP_BIND_ADDRESS_NO_PORT does not"

PORTS = 100


def show(stage: Stage) -> Outcome:
    ports = stage.narrow(PORTS)
    one, two, three = (stage.listen(port) for port in (8000, 8001, 8002))

    bound, bind_stop = stage.fill(one, _bind)
    bound_again, _ = stage.fill(two, _bind)
    plain, plain_stop = stage.fill(two)
    from_elsewhere, _ = stage.fill(three, lambda sock: _bind_late(sock, "127.0.0.2"))
    stage.release()

    late, _ = stage.fill(one, _bind_late)
    late_again, _ = stage.fill(two, _bind_late)
    plain_after, _ = stage.fill(three)
    return Outcome(
        did=f"ports {ports.start}-{ports[-1]}, {HERE} → {one}, {two}, {three}: bound first, plain, bound late",
        predicted={
            "bind(…, 0) to one": PORTS,
            "then": "bind: EADDRINUSE",
            "to another": 0,
            "plain to another": 0,
            "which says": "connect: EADDRNOTAVAIL",
            "from another source": 0,
            "NO_PORT to one": PORTS,
            "NO_PORT to another": PORTS,
            "plain to a third": PORTS,
        },
        observed={
            "bind(…, 0) to one": bound,
            "then": bind_stop,
            "to another": bound_again,
            "plain to another": plain,
            "which says": plain_stop,
            "from another source": from_elsewhere,
            "NO_PORT to one": late,
            "NO_PORT to another": late_again,
            "plain to a third": plain_after,
        },
    )


def _bind(sock: socket.socket) -> None:
    sock.bind((HERE, 0))


def _bind_late(sock: socket.socket, address: str = HERE) -> None:
    sock.setsockopt(socket.IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, 1)
    sock.bind((address, 0))
