"""Which ports are held: what the kernel answers about sockets of each kind, and that asking changes nothing."""

import os

import pytest

from tests.conftest import LONELY, Ground, need

# Run in a namespace of its own.
ASK = """
import os, socket, struct
import numpy as np
from fourtuple.kernel.canary import held_ports
from fourtuple.kernel.proc.sysctl import write_sysctl

NO_PORT, TO_DEVICE = (socket.IPPROTO_IP, 24, 1), (socket.SOL_SOCKET, socket.SO_BINDTODEVICE, b"lo\\0")
ADDR, PORT = (socket.SOL_SOCKET, socket.SO_REUSEADDR, 1), (socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
ONLY = (socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
RESET = (socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
server = socket.create_server(("127.0.0.9", 7001))

def bound(port, host="127.0.0.5", *options):
    sock = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET)
    for option in options:
        sock.setsockopt(*option)
    sock.bind((host, port))
    return sock

def connected(port, *options):
    write_sysctl("net.ipv4.ip_local_port_range", f"{port} {port}")
    sock = socket.socket()
    for option in options:
        sock.setsockopt(*option)
    try:
        sock.connect(server.getsockname())
        return sock, server.accept()[0]
    finally:
        write_sysctl("net.ipv4.ip_local_port_range", "40000 40099")

def failed(port):
    sock = bound(port)
    assert sock.connect_ex(("127.0.0.9", 9))
    return sock

def reset(port):
    sock = bound(port)
    sock.connect(server.getsockname())
    far = server.accept()[0]
    far.setsockopt(*RESET)
    far.close()
    try:
        sock.recv(1)
    except ConnectionResetError:
        return sock

def asked(*ports):
    mask = np.zeros(65536, bool)
    mask[list(ports)] = True
    return [np.flatnonzero(part).tolist() for part in held_ports(mask)]

"""


@pytest.mark.parametrize(
    "holder",
    [
        "bound(40000)",
        "bound(40000, '0.0.0.0')",
        "bound(40000, '127.0.0.5', ADDR)",
        "bound(40000, '127.0.0.5', PORT)",
        "bound(40000, '127.0.0.5', ADDR, PORT)",
        "bound(40000, '127.0.0.5', TO_DEVICE)",
        "bound(40000, '::1')",
        "bound(40000, '::')",
        "bound(40000, '::', ONLY)",
        "bound(40000, '::', ONLY, ADDR)",
        "bound(40000, '::ffff:127.0.0.5')",
        "failed(40000)",
        "reset(40000)",
    ],
)
def test_a_port_that_any_socket_has_is_held(ground: Ground, holder: str) -> None:
    """Whatever its address, its family and its options; also what is left of a connection. The next port is free."""

    code = f"{ASK}\nkept = {holder}\nprint(asked(40000, 40001), asked(40001, 40002))"
    assert ground.python(code).strip() == "[[40000, 40001], [40000]] [[40001, 40002], []]"


def test_a_port_that_another_user_has_is_held(ground: Ground) -> None:
    need(os.geteuid() == 0, "root")
    code = (
        f"{ASK}\nkept = bound(40000, '127.0.0.5', ADDR, PORT), bound(40001, '::', ONLY)\nos.setuid({LONELY})\n"
        "print(asked(40000, 40001, 40002))"
    )

    assert ground.python(code).strip() == "[[40000, 40001, 40002], [40000, 40001]]"


@pytest.mark.parametrize("setting", ["net.ipv6.bindv6only=1", "net.ipv6.conf.all.disable_ipv6=1"])
def test_ipv4_and_ipv6_are_asked_about_whatever_the_settings_of_ipv6(ground: Ground, setting: str) -> None:
    name, value = setting.split("=")
    code = (
        f"{ASK}\nkept = bound(40000), bound(40001, '::', ONLY)\nwrite_sysctl({name!r}, {value!r})\n"
        "print(asked(40000, 40001, 40002))"
    )

    assert ground.python(code).strip() == "[[40000, 40001, 40002], [40000, 40001]]"


def test_a_port_that_is_not_chosen_yet_is_free(ground: Ground) -> None:
    """IP_BIND_ADDRESS_NO_PORT, and a socket that was closed: asking leaves nothing behind."""

    code = f"{ASK}\nkept = bound(0, '127.0.0.5', NO_PORT)\nbound(40000).close()\nprint(asked(40000), asked(40000))"
    assert ground.python(code).strip() == "[[40000], []] [[40000], []]"


def test_a_port_that_the_user_may_not_bind_is_not_tested(ground: Ground) -> None:
    need(os.geteuid() == 0, "root")
    code = f"{ASK}\nos.setuid({LONELY})\nprint(asked(1023, 1024))"

    assert ground.python(code).strip() == "[[1024], []]"


@pytest.mark.parametrize("options", ["", ", ADDR", ", ADDR, PORT"])
def test_asking_about_a_port_in_use_does_not_block_it(ground: Ground, options: str) -> None:
    """A connection may get the port after it looked unused: others can connect from it before and after."""

    code = (
        f"{ASK}\nkept = connected(40000{options})\nprint(asked(40000))\n"
        "server = socket.create_server(('127.0.0.9', 7002))\nkept += connected(40000)\nprint(len(kept))"
    )
    assert ground.python(code).split("\n") == ["[[40000], [40000]]", "4", ""]


def test_the_listener_of_the_canary_takes_no_port_in_use(ground: Ground) -> None:
    """It would block that port for as long as it is in use, before Linux 6.18."""

    code = (
        f"{ASK}\nfrom fourtuple.kernel.canary import _listener\nkept = bound(65535), connected(65534)\n"
        "print(_listener(set()).getsockname()[1], _listener({*range(1024, 65534)}).getsockname()[1])"
    )
    assert ground.python(code).strip() == "65533 65533"


def test_the_range_of_the_namespace_tells_the_same_as_that_of_a_socket(ground: Ground) -> None:
    """Bound and listening sockets block their port, connected ones do not; the range is afterwards as before."""

    code = (
        f"{ASK}\nfrom fourtuple.kernel.canary import blocked_ports\n"
        "from fourtuple.kernel.proc.sysctl import read_sysctl\n"
        "from fourtuple.kernel.sockopts import range_can_be_set\n"
        "kept = bound(40000), bound(40001, '::', ONLY), connected(40002), bound(40003)\nkept[3].listen()\n"
        "for by_sysctl in {True, not range_can_be_set()}:\n"
        "    print(*blocked_ports(range(40000, 40005), by_sysctl=by_sysctl))\n"
        "print(read_sysctl('net.ipv4.ip_local_port_range').split())"
    )
    *answers, range_after = ground.python(code).splitlines()
    assert set(answers) == {"{40000, 40001, 40002, 40003, 40004} {40000, 40001, 40003}"}
    assert range_after == "['40000', '40099']"
