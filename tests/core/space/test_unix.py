"""Unix sockets as addresses: what the kernel is given for a path and for an abstract name."""

import socket

import numpy as np
import pytest

from fourtuple.core.errors import UsageError
from fourtuple.core.space.endpoints import sun_path, unix_names
from fourtuple.core.space.unix import AF_UNIX, SOCKADDR_BYTES, UnixSpace


def test_an_address_is_what_bind_and_connect_take() -> None:
    """A path counts with the zero byte behind it; the zero byte of an abstract name stands before it."""
    block = UnixSpace(("/run/x.sock", "@x", "é")).pair_block(np.array([1, 0, 2, 1]))

    assert block.names == [b"\0x", b"/run/x.sock", "é".encode(), b"\0x"]
    assert block.sizes.tolist() == [2 + 2, 2 + 12, 2 + 3, 2 + 2]
    assert block.rows.shape == (4, SOCKADDR_BYTES)
    assert block.rows[:, :2].copy().view(np.uint16).tolist() == [[AF_UNIX]] * 4
    assert block.where(np.array([False, True, False, False])).names == [b"/run/x.sock"]
    assert socket.AF_UNIX == AF_UNIX


@pytest.mark.parametrize("name", ["x" * 107, "@" + "x" * 107, "x" + "é" * 53])
def test_the_longest_names_are_those_that_the_kernel_takes(name: str) -> None:
    assert unix_names([f"unix:{name}", "127.0.0.1:80", "unix:80"]) == (name,)
    assert len(sun_path(name)) <= 108
    with pytest.raises(UsageError):
        unix_names([f"unix:{name}x"])
    with pytest.raises(OSError, match="too long"), socket.socket(socket.AF_UNIX) as sock:
        sock.connect(sun_path(f"{name}xx"))
