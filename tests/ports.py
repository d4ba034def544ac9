"""A port for a server that a test starts as a program, and whose number has to be known before."""

import random
import socket

BELOW_THE_RANGE = range(10_000, 32_000)  # connect() does not choose these (ip_local_port_range)


def free_port(host: str = "127.0.0.1") -> int:
    """A port that nobody listens on now, and that no connect() takes until the server has it."""
    for port in random.sample(BELOW_THE_RANGE, len(BELOW_THE_RANGE)):
        with socket.socket() as sock:
            try:
                sock.bind((host, port))
            except OSError:
                continue
            return port
    raise AssertionError(f"all ports below the range of {host} are taken")
