"""bind(address, 0) must choose a port before the destination is known, so it shares with nobody, and starves all."""

import socket

from fourtuple.lessons.stage import HERE, IP_BIND_ADDRESS_NO_PORT, Outcome, Stage

CLAIM = "bind(address, 0) before connect() starves everyone; IP_BIND_ADDRESS_NO_PORT does not"

PORTS = 100


def show(stage: Stage) -> Outcome:
    ports = stage.narrow(PORTS)
    one, two, three = (stage.listen(port) for port in (8000, 8001, 8002))

    # bind() alone: the port is chosen before the destination is known, so it must be free for every destination.
    bound, bind_says = stage.fill(one, _bind)
    bound_elsewhere, _ = stage.fill(two, _bind)
    # Nor will the kernel give a port that someone has bound to any connect() without bind(), from whatever address.
    plain, connect_says = stage.fill(two)
    plain_from_another_address, _ = stage.fill(three, lambda sock: _bind_late(sock, "127.0.0.2"))
    stage.release()

    # With IP_BIND_ADDRESS_NO_PORT, bind() records the address only; connect() chooses the port, and can share it.
    late, _ = stage.fill(one, _bind_late)
    late_elsewhere, _ = stage.fill(two, _bind_late)
    plain_beside_late, _ = stage.fill(three)
    return Outcome(
        did=f"ports {ports.start}-{ports[-1]}, {HERE} → {one}, {two}, {three}: bound first, plain, bound late",
        predicted={
            "bound, to one server": PORTS,
            "then": "bind: EADDRINUSE",
            "bound, to another": 0,
            "plain connect() to another": 0,
            "which says": "EADDRNOTAVAIL",
            "the same from another address": 0,
            "bound with NO_PORT, to one": PORTS,
            "bound with NO_PORT, to another": PORTS,
            "plain connect() to a third": PORTS,
        },
        observed={
            "bound, to one server": bound,
            "then": bind_says,
            "bound, to another": bound_elsewhere,
            "plain connect() to another": plain,
            "which says": connect_says,
            "the same from another address": plain_from_another_address,
            "bound with NO_PORT, to one": late,
            "bound with NO_PORT, to another": late_elsewhere,
            "plain connect() to a third": plain_beside_late,
        },
    )


def _bind(sock: socket.socket) -> None:
    sock.bind((HERE, 0))


def _bind_late(sock: socket.socket, address: str = HERE) -> None:
    sock.setsockopt(socket.IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, 1)
    sock.bind((address, 0))
