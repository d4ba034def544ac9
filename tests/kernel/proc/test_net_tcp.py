"""/proc/net/tcp is read line by line, and the error for a broken line names it."""

from pathlib import Path

import pytest

from fourtuple.core.errors import CannotError
from fourtuple.core.sockets.table import four_tuples
from fourtuple.kernel.proc.net_tcp import parse_proc_net_tcp

DATA = Path(__file__).parent.parent / "netlink" / "data"


def test_proc_net_tcp6() -> None:
    listed = parse_proc_net_tcp(DATA.joinpath("net-tcp6.txt").read_text())

    assert [str(t.source) for t in four_tuples(listed)] == ["[::1]:8000"]


@pytest.mark.parametrize("text", ["", "nonsense\n", "  sl  local_address rem_address\n   0: 0100007F:1F40 0000"])
def test_a_broken_proc_net_tcp_is_refused(text: str) -> None:
    with pytest.raises(CannotError, match="/proc/net/tcp"):
        parse_proc_net_tcp(text)


def test_a_cut_line_is_named() -> None:
    lines = DATA.joinpath("net-tcp.txt").read_text().splitlines()
    with pytest.raises(CannotError, match="line 3 of"):
        parse_proc_net_tcp("\n".join([*lines[:2], lines[2][:60]]))
