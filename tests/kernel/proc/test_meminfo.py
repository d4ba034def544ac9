"""The memory of the host: in bytes, and None if it cannot be read."""

from pathlib import Path

import pytest

from fourtuple.core.limits.facts import Memory
from fourtuple.kernel.proc.meminfo import read_host_memory, read_total_bytes
from tests.kernel.proc.small import GOOD, tree


def test_what_is_free_and_what_the_page_cache_gives_back(tmp_path: Path) -> None:
    """Excluding shared memory, which cannot be given back."""
    proc = tree(tmp_path, GOOD)

    assert (read_total_bytes(proc), read_host_memory(proc)) == (1000 * 1024, Memory(230 * 1024, "on this host"))


@pytest.mark.parametrize(
    "files", [{}, {"meminfo": ""}, {"meminfo": "MemTotal: 1000 kB"}, {"meminfo": "MemFree: x kB\n"}]
)
def test_what_is_not_there_is_not_invented(files: dict[str, str], tmp_path: Path) -> None:
    proc = tree(tmp_path, files)

    assert (read_total_bytes(proc), read_host_memory(proc).free_bytes) == (None, None)
