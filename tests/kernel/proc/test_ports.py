"""The settings of source ports: read, defaulted where an old kernel lacks them, or an error that names the file."""

from pathlib import Path

import pytest

from fourtuple.core.errors import CannotError
from fourtuple.core.space.ranges import Ranges
from fourtuple.kernel.proc.ports import read_port_facts
from tests.kernel.proc.small import GOOD, tree


def test_the_range_and_the_reserved_ports_are_read(tmp_path: Path) -> None:
    facts = read_port_facts((), tree(tmp_path, GOOD))

    assert facts.port_range == range(32768, 61000)
    assert facts.reserved_ports == Ranges([range(33000, 33010), range(40000, 40001)])
    assert facts.automatic_ports.size == 28_232 - 11


def test_reserved_ports_that_are_not_there_are_none(tmp_path: Path) -> None:
    files = {key: text for key, text in GOOD.items() if "reserved" not in key}

    assert read_port_facts((), tree(tmp_path, files)).reserved_ports.size == 0


@pytest.mark.parametrize("text", ["", "32768", "a b", "1 2 3"])
def test_a_broken_port_range_is_an_error_that_names_the_file(text: str, tmp_path: Path) -> None:
    with pytest.raises(CannotError, match="ip_local_port_range"):
        read_port_facts((), tree(tmp_path, GOOD | {"sys/net/ipv4/ip_local_port_range": text}))


def test_no_proc_at_all_is_an_error_that_names_the_file(tmp_path: Path) -> None:
    with pytest.raises(CannotError, match="ip_local_port_range"):
        read_port_facts((), tmp_path)


def test_this_host_can_be_read() -> None:
    assert read_port_facts(()).port_range.start >= 1
