"""A test's own function, run in a private namespace with 64 source ports: in a forked child, which alone has it."""

import os
import pickle
import shutil
import signal
import subprocess
import traceback
import warnings
from collections.abc import Callable
from typing import TypeVar

import pytest

from fourtuple.kernel import children
from fourtuple.kernel.netns import enter_new
from tests.conftest import need, need_namespace
from tests.waiting import COMMAND_S

T = TypeVar("T")

PORTS = range(40000, 40064)
PORT_RANGE = "net.ipv4.ip_local_port_range"


def inside(function: Callable[[], T], *, ports: range = PORTS, addresses: tuple[str, ...] = ()) -> T:
    """What the function gives there; an error there fails the test.

    ports:     that connect() chooses from
    addresses: of loopback, beside 127.0.0.0/8 and ::1, as `ip address add` takes them
    """
    need_namespace()
    need(not addresses or shutil.which("ip"), "ip (iproute2)")
    ended, told = os.pipe()
    parent = os.getpid()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # NumPy's threads do nothing that the child waits for
        child = os.fork()
    if not child:
        os.close(ended)
        _child(function, ports, addresses, told, parent)
    os.close(told)
    with open(ended, "rb") as pipe:
        answer = pipe.read()
    _, status = os.waitpid(child, 0)
    assert answer, f"the child ended with {status}"
    good, result = pickle.loads(answer)  # noqa: S301  (our own child's)
    if not good:
        pytest.fail(result)
    found: T = result
    return found


def _child(function: Callable[[], T], ports: range, addresses: tuple[str, ...], told: int, parent: int) -> None:
    try:
        children.die_with_parent(parent)
        signal.alarm(COMMAND_S)
        enter_new({PORT_RANGE: f"{ports.start} {ports.stop - 1}"}, {})
        for address in addresses:
            subprocess.run(["ip", "address", "add", address, "dev", "lo", "nodad"], check=True)
        answer = pickle.dumps((True, function()))
    except BaseException:
        answer = pickle.dumps((False, traceback.format_exc()))
    with open(told, "wb") as pipe:
        pipe.write(answer)
    os._exit(0)
