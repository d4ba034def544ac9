"""/proc/slabinfo: bytes in whole pages, and one slab for names that the kernel keeps together."""

import os
from pathlib import Path

import pytest

from fourtuple.core.runs.memory import SLABS
from fourtuple.kernel.proc.machine import machine, parse_cpu_model
from fourtuple.kernel.proc.slab import parse_slabinfo, read_slabs, read_socket_bytes
from tests.kernel.proc.small import tree

TEXT = """\
slabinfo - version: 2.1
# name            <active_objs> <num_objs> <objsize> <objperslab> <pagesperslab> : tunables <limit> <batchcount> <sharedfactor> : slabdata <active_slabs> <num_slabs> <sharedavail>
TCP                   23     26   2368   13    8 : tunables    0    0    0 : slabdata      2      2      0
eventpoll_epi        256    256    128   32    1 : tunables    0    0    0 : slabdata      8      8      0
filp                 357    357    192   21    1 : tunables    0    0    0 : slabdata     17     17      0
"""  # noqa: E501


def test_bytes_are_those_of_whole_pages() -> None:
    """Two slabs of eight pages each, of which some room is empty."""

    used_bytes = {name: used for name, (used, _) in parse_slabinfo(TEXT, 4096).items()}

    assert used_bytes == {"TCP": 2 * 8 * 4096, "eventpoll_epi": 8 * 4096, "filp": 17 * 4096}


def test_an_object_has_its_share_of_the_pages() -> None:
    each_bytes = {name: each for name, (_, each) in parse_slabinfo(TEXT, 4096).items()}

    assert each_bytes == {"TCP": 8 * 4096 / 13, "eventpoll_epi": 128, "filp": 4096 / 21}


@pytest.mark.parametrize(
    "text", ["", "slabinfo - version: 2.1\n", "TCP 23 26", "TCP a b c d e : tunables x : slabdata"]
)
def test_what_is_no_slab_is_left_out(text: str) -> None:
    assert parse_slabinfo(text) == {}


def test_merged_caches_are_found_under_the_name_that_is_listed(tmp_path: Path) -> None:
    """Bind buckets are in the slab that the kernel lists as eventpoll_epi; who is not there at all is left out."""
    links = tmp_path / "links"
    links.mkdir()
    for name in ("tcp_bind_bucket", "tcp_bind2_bucket", "eventpoll_epi"):
        os.symlink(":A-0000128", links / name)
    (links / "TCP").mkdir()
    slabs = read_slabs(
        ["TCP", "tcp_bind_bucket", "tcp_bind2_bucket", "absent"], tree(tmp_path, {"slabinfo": TEXT}), links
    )

    assert slabs is not None
    assert slabs.rows == {"TCP": "TCP", "tcp_bind_bucket": "eventpoll_epi", "tcp_bind2_bucket": "eventpoll_epi"}
    assert slabs.used_bytes.keys() == {"TCP", "eventpoll_epi"}
    assert slabs.each_bytes["tcp_bind_bucket"] == 128


def test_every_user_may_read_the_size_of_a_socket(tmp_path: Path) -> None:
    lines = "protocol  size sockets  memory press maxhdr  slab\nTCPv6 2624 0 7 no 320 yes\nTCP 2432 9 7 no 320 yes\n"

    assert read_socket_bytes(tree(tmp_path, {"thread-self/net/protocols": lines})) == 2432
    assert read_socket_bytes(tmp_path / "absent") is None


def test_who_may_not_read_it_is_told_nothing(tmp_path: Path) -> None:
    assert read_slabs(SLABS, tmp_path, tmp_path) is None


def test_the_same_machine_has_the_same_name_which_is_not_its_id(tmp_path: Path) -> None:
    """machine-id(5) asks programs to keep the id itself for themselves."""
    (tmp_path / "one").write_text("b08dfa6083e7567a1921a715000001fb\n")
    (tmp_path / "two").write_text("b08dfa6083e7567a1921a715000001fc\n")
    one = machine(tmp_path / "one")

    assert one == machine(tmp_path / "one")
    assert one != machine(tmp_path / "two")
    assert one is not None
    assert "b08dfa60" not in one
    assert machine(tmp_path / "absent") is None


def test_the_processors_name_is_the_first_ones() -> None:
    assert parse_cpu_model("processor\t: 0\nmodel name\t: A: B\n\nprocessor\t: 1\nmodel name\t: C\n") == "A: B"
    assert parse_cpu_model("processor : 0\nBogoMIPS : 50\n") == ""
