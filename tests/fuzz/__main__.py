"""`make fuzz`: strange input for as long as one likes; every kind in turn, each case from the seed and its number."""

import argparse
import os
import resource
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from random import Random

from tests.fuzz import commands, files, kernels, texts
from tests.fuzz.running import load

KINDS: dict[str, Callable[[Random, Path], Iterator[str]]] = {
    "commands": commands.cases,
    "plans": files.plans,
    "settings": files.settings,
    "stores": files.stores,
    "proc": kernels.proc,
    "netlink": kernels.netlink,
    "texts": texts.cases,
}
SLICE_S = 2.0  # of one kind, before it is the next one's turn
MOST_SHOWN = 5  # failures of one kind that are printed whole


def main() -> int:
    """Fuzz, print each failure and the number of cases → 0 if there was no failure."""
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz", description=__doc__)
    parser.add_argument("--seconds", type=float, default=60)
    parser.add_argument("--seed", type=int, default=None, help="default: another one each time")
    parser.add_argument("--only", choices=KINDS, action="append", help="only this kind (repeatable)")
    asked = parser.parse_args()
    seed = int.from_bytes(os.urandom(3), "little") if asked.seed is None else asked.seed
    print(f"seed {seed}", flush=True)
    tried, failed = Counter[str](), Counter[str]()
    with tempfile.TemporaryDirectory(prefix="fourtuple-fuzz-") as folder:
        os.environ["XDG_STATE_HOME"] = folder
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
        streams = {}
        for kind in asked.only or KINDS:
            place = Path(folder) / kind
            place.mkdir()
            streams[kind] = KINDS[kind](Random(f"{seed} {kind}"), Path(folder) if kind == "settings" else place)  # noqa: S311
        load()
        until_s = time.monotonic() + asked.seconds
        while time.monotonic() < until_s:
            for kind, stream in streams.items():
                turn_s = min(until_s, time.monotonic() + SLICE_S)
                while time.monotonic() < turn_s:
                    wrong = next(stream)
                    tried[kind] += 1
                    if wrong:
                        failed[kind] += 1
                        if failed[kind] <= MOST_SHOWN:
                            print(f"\n{kind}, case {tried[kind]} of seed {seed}: {wrong}", flush=True)
    for kind in streams:
        print(f"{kind:<10}{tried[kind]:>9,} cases{failed[kind]:>6,} failed")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
