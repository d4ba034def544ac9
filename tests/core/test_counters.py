"""Every kernel counter that is read has a meaning and a metric, from one table."""

import re
from dataclasses import replace
from pathlib import Path

import pytest

import fourtuple
from fourtuple.core.counters import COUNTERS, SILENT, Counter, in_tables
from fourtuple.core.limits.table import LIMITS
from fourtuple.core.why.scene import Scene
from fourtuple.kernel.proc.world import read_world
from tests.core.quiet import WORLD

SOURCE = Path(fourtuple.__file__).parent
NAMES = {counter.name for counter in COUNTERS}
READS = re.compile(r"""(?:\.counter|\.grown)\("([\w.]+)"[,)]""")
KERNEL_NAME = re.compile(r"\b(?:Listen|TCP|TW|Prune)\w+")


def test_every_counter_that_the_code_reads_is_in_the_table() -> None:
    read = {name for file in SOURCE.rglob("*.py") for name in READS.findall(file.read_text())}

    assert {"ListenOverflows", "TCPSynRetrans"} <= read
    assert read <= NAMES


def test_every_counter_that_a_limit_names_is_in_the_table() -> None:
    """As data, and not in words alone."""
    named = {name for limit in LIMITS for name in limit.counters}
    in_words = {name for limit in LIMITS for name in KERNEL_NAME.findall(limit.counter)}

    assert {"ListenOverflows", "TWRecycled"} <= in_words <= named
    assert named <= NAMES


@pytest.mark.parametrize("counter", COUNTERS, ids=lambda counter: counter.name)
def test_every_counter_has_a_meaning_and_a_metric(counter: Counter) -> None:
    assert len(counter.meaning.split()) >= 2
    assert re.fullmatch(r"[a-z][a-z0-9_]+", counter.metric)


def test_no_name_and_no_metric_comes_twice() -> None:
    assert len(NAMES) == len({counter.metric for counter in COUNTERS}) == len(COUNTERS)


def test_what_the_kernel_tells_of_files_of_their_own_is_read() -> None:
    """Each row with a dot is one that the reader of the world looks for, in the table that it names."""
    assert in_tables()["ndisc_cache"] == ("table_fulls",)
    assert {f"{table}.{name}" for table, names in in_tables().items() for name in names} == {
        name for name in NAMES if "." in name
    }


def test_this_host_tells_most_of_them() -> None:
    """The names are the kernel's own: a misspelt one would not be there."""
    told = read_world([], known=()).counters

    assert {name for name in NAMES if "." not in name} <= told.keys()


def test_what_is_lost_in_silence_is_counted() -> None:
    assert {"ListenOverflows", "ndisc_cache.table_fulls", "softnet_stat.dropped"} <= set(SILENT)
    assert Scene(replace(WORLD, counters={"ListenOverflows": 3})).counter("ListenOverflows") == 3
