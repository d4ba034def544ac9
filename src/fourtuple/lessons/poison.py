"""bind(address, 0) chooses a port before the destination is known, so no other connection can share this port."""

import socket

from fourtuple.lessons.stage import HERE, IP_BIND_ADDRESS_NO_PORT, Demonstration, Stage

CLAIM = "bind(address, 0) before connect() blocks ports for everyone; with IP_BIND_ADDRESS_NO_PORT it does not"

PORTS = 100


def show(stage: Stage) -> Demonstration:
    ports = stage.narrow(PORTS)
    one, two, three = (stage.listen(port) for port in (8000, 8001, 8002))

    # bind() alone: the port is chosen before the destination is known, so it must be unused for every destination.
    bound, bind_stop = stage.fill(one, _bind)
    bound_elsewhere, _ = stage.fill(two, _bind)
    # The kernel gives a bound port to no connect() without bind() either, whatever the source address.
    plain, connect_stop = stage.fill(two)
    plain_from_another_address, _ = stage.fill(three, lambda sock: _bind_late(sock, "127.0.0.2"))
    stage.release()

    # With IP_BIND_ADDRESS_NO_PORT, bind() records the address only; connect() chooses the port, and can share it.
    late, _ = stage.fill(one, _bind_late)
    late_elsewhere, _ = stage.fill(two, _bind_late)
    plain_with_late, _ = stage.fill(three)
    return Demonstration(
        did=f"with port range {ports.start}-{ports[-1]}, connect from {HERE} to server 1 ({one}), 2 ({two}) and"
        f" 3 ({three}) until it fails: first with bind(address, 0), then with IP_BIND_ADDRESS_NO_PORT (NO_PORT)",
        predicted={
            "bind(), to server 1": PORTS,
            "then it fails with": "bind: EADDRINUSE",
            "bind(), also to server 2": 0,
            "no bind(), also to server 2": 0,
            "which fails with": "EADDRNOTAVAIL",
            "from 127.0.0.2, also to server 3": 0,
            "NO_PORT, to server 1": PORTS,
            "NO_PORT, also to server 2": PORTS,
            "no bind(), also to server 3": PORTS,
        },
        observed={
            "bind(), to server 1": bound,
            "then it fails with": bind_stop,
            "bind(), also to server 2": bound_elsewhere,
            "no bind(), also to server 2": plain,
            "which fails with": connect_stop,
            "from 127.0.0.2, also to server 3": plain_from_another_address,
            "NO_PORT, to server 1": late,
            "NO_PORT, also to server 2": late_elsewhere,
            "no bind(), also to server 3": plain_with_late,
        },
    )


def _bind(sock: socket.socket) -> None:
    sock.bind((HERE, 0))


def _bind_late(sock: socket.socket, address: str = HERE) -> None:
    sock.setsockopt(socket.IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, 1)
    sock.bind((address, 0))
