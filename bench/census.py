"""One dump of the kernel's table, folded by pair: one JSON object with what it took, the interpreter's start left out.

python -m bench.census            the dump that `fourtuple census` folds
python -m bench.census export N   what `fourtuple export` does N times, after a first time
python -m bench.census snapshot   what `fourtuple snapshot` does, and what of it is the file
python -m bench.census psutil     psutil.net_connections, the same sockets as Python objects
"""

import json
import resource
import sys
import tempfile
import time
from collections.abc import Callable, Mapping
from pathlib import Path

Figures = Mapping[str, float]


def census() -> Figures:
    from fourtuple.core.sockets.filter import EVERYWHERE
    from fourtuple.kernel.probes import behaviours
    from fourtuple.kernel.proc.ports import read_port_facts
    from fourtuple.verbs.census import CONNECTED, usage_of
    from fourtuple.verbs.hosts import here

    here()  # imports what asks this host
    facts = read_port_facts(behaviours())
    took = _took(lambda: usage_of(EVERYWHERE, CONNECTED, facts))
    usage, _ = usage_of(EVERYWHERE, CONNECTED, facts)
    return took | {"sockets": float(usage.states.sum() + len(usage.listeners)), "pairs": float(len(usage.pairs))}


def export(times: int) -> Figures:
    """cpu_ms: of the first time, which looks for bound ports too; each_cpu_ms: of the others"""
    from fourtuple.verbs.export import gauges

    looks = gauges(50)
    next(looks)
    first = _took(lambda: next(gauges(50)))
    others = _took(lambda: [next(looks) for _ in range(times)])
    return first | {"each_cpu_ms": others["cpu_ms"] / times}


def psutil() -> Figures:
    import psutil as peer  # type: ignore[import-untyped,unused-ignore]

    return _took(lambda: peer.net_connections("tcp"))


def snapshot() -> Figures:
    """fold_ms: to fold, encode and compress it; bytes: of the file"""
    from fourtuple.core.snapshot.coding import encode
    from fourtuple.verbs.snapshot import save, take

    with tempfile.TemporaryDirectory() as folder:
        file = f"{folder}/host.snapshot"
        took = _took(lambda: save(take(), file))
        size = Path(file).stat().st_size
    found = take()
    fold = _took(lambda: encode(found))
    sockets = sum(len(inside.sockets) for inside in found.namespaces.values())
    return took | {"fold_ms": fold["wall_ms"], "bytes": float(size), "sockets": float(sockets)}


def _took(call: Callable[[], object]) -> dict[str, float]:
    """wall_ms, cpu_ms: of the call; peak_bytes: the most memory the program has had so far, all of it (VmHWM)"""
    before, start_ns = resource.getrusage(resource.RUSAGE_SELF), time.perf_counter_ns()
    call()
    wall_ms, after = (time.perf_counter_ns() - start_ns) / 1e6, resource.getrusage(resource.RUSAGE_SELF)
    cpu_s = after.ru_utime - before.ru_utime + after.ru_stime - before.ru_stime
    return {"wall_ms": wall_ms, "cpu_ms": 1000 * cpu_s, "peak_bytes": _peak_bytes()}


def _peak_bytes() -> float:
    """Not ru_maxrss, which a program has from the one that started it."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(1024.0 * int(line.split()[1]) for line in lines if line.startswith("VmHWM:"))


def main() -> None:
    match sys.argv[1:]:
        case []:
            figures = census()
        case ["export", times]:
            figures = export(int(times))
        case ["snapshot"]:
            figures = snapshot()
        case ["psutil"]:
            figures = psutil()
        case _:
            sys.exit(__doc__)
    print(json.dumps(figures))


if __name__ == "__main__":
    main()
