"""How much kernel memory sockets and their data structures use: /proc/slabinfo, which only root may read (slabinfo(5)).

The kernel merges caches of the same object size into one, under the name of the first of them. Links in
/sys/kernel/slab show which names share a cache (Documentation/ABI/testing/sysfs-kernel-slab, v6.18).
"""

import os
from collections.abc import Iterable, Mapping
from pathlib import Path

from fourtuple.core.numbers import complete_lines, number_of
from fourtuple.core.runs.memory import Slabs
from fourtuple.kernel.proc.files import PROC, link_of, text_of
from fourtuple.kernel.process import PAGE_BYTES

SLAB_LINKS = Path("/sys/kernel/slab")


def parse_slabinfo(text: str, page_bytes: int = PAGE_BYTES) -> Mapping[str, tuple[int, float]]:
    """/proc/slabinfo → by cache: bytes in whole pages, and bytes of an object with its share of these.

    Lines that are something else are omitted.
    """
    found = {}
    for line in complete_lines(text):
        words = line.replace(":", " ").split()
        # name, active_objs, num_objs, objsize, objperslab, pagesperslab, tunables …, slabdata, active_slabs, num_slabs
        if len(words) >= 14 and words[6] == "tunables":
            objects, pages, slabs = number_of(words[4]), number_of(words[5]), number_of(words[12])
            if objects and pages is not None and slabs is not None:
                found[words[0]] = slabs * pages * page_bytes, pages * page_bytes / objects
    return found


def read_slabs(names: Iterable[str], proc: Path = PROC, links: Path = SLAB_LINKS) -> Slabs | None:
    """The caches for these names, merged ones included. None: not available."""
    caches = parse_slabinfo(text_of(proc / "slabinfo"))
    if not caches:
        return None
    cache_of = {entry.name: link_of(Path(entry.path)) for entry in _links(links)}
    row_of_cache = {cache_of[row]: row for row in caches if row in cache_of}
    rows = {name: name if name in caches else row_of_cache.get(cache_of.get(name, ""), "") for name in names}
    rows = {name: row for name, row in rows.items() if row}
    used_bytes = {row: caches[row][0] for row in rows.values()}
    return Slabs(rows, used_bytes, {name: caches[row][1] for name, row in rows.items()})


def read_socket_bytes(proc: Path = PROC) -> int | None:
    """The size of a TCP socket over IPv4, which every user may read in /proc/net/protocols; None: not available."""
    for line in complete_lines(text_of(proc / "thread-self/net/protocols")):
        words = line.split()
        if words[:1] == ["TCP"]:
            return number_of(words[1])
    return None


def _links(folder: Path) -> list["os.DirEntry[str]"]:
    try:
        return [entry for entry in os.scandir(folder) if entry.is_symlink()]
    except OSError:
        return []
