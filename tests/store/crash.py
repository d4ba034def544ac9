"""Two processes that write runs to one store as fast as possible, a reader, and a SIGKILL at a random moment.

`python -m tests.store.crash FILE TIMES SEED` prints a line of JSON: what was found after each kill, all together.
"""

import contextlib
import json
import os
import random
import select
import signal
import sys
import time
from contextlib import closing
from pathlib import Path

from fourtuple.core.runs.entry import RunState
from fourtuple.core.runs.records import Sample
from fourtuple.kernel.proc.alive import living, mark
from fourtuple.store import listing, reading
from fourtuple.store.coding import to_text
from fourtuple.store.file import open_store
from fourtuple.store.writing import Writer
from tests.made import hold_record, samples, start


def write(file: Path, run: list[Sample], told: int) -> None:
    """Write runs in sequence until killed; report each run with the number of committed samples."""
    while True:
        base = open_store(file, new=True)
        writer = Writer(base, "fourtuple hold 1000 127.0.0.1:8000", mark())
        writer.begin(start())
        for number, sample in enumerate(run):
            writer.sample(sample)
            if not writer._waiting:
                os.write(told, json.dumps([writer.id, number + 1]).encode() + b"\n")
        writer.end(RunState.REACHED, to_text(hold_record()), n=1000, held=1000)
        base.close()


def started(file: Path, run: list[Sample], told: int) -> int:
    pid = os.fork()
    if pid == 0:
        try:
            write(file, run, told)
        finally:
            os._exit(1)
    return pid


def look(file: Path, committed: dict[int, int], removed: set[int]) -> dict[str, int]:
    """Is everything there that was committed, and whole? What has ended is removed afterwards."""
    base = open_store(file, new=False)
    (intact,) = base.execute("PRAGMA quick_check").fetchone()
    found = {"intact": int(intact == "ok"), "lost": 0, "unreadable": 0}
    entries = listing.entries(base, living())
    found["lost"] += len(committed.keys() - {entry.id for entry in entries})
    for entry in entries:
        if entry.samples < committed.get(entry.id, 0):
            found["lost"] += 1
        run = reading.read_run(base, entry.id, living())
        if len(run.series) and run.growth["connect_us"]["count"].sum() != run.series["opened"][-1]:
            found["unreadable"] += 1
        if entry.outcome is not RunState.RUNNING:
            listing.remove(base, [entry.id], living())
            committed.pop(entry.id, None)
            removed.add(entry.id)  # what is told of it may still be on its way
    base.close()
    return found


def main(name: str, times: str, seed: str) -> None:
    file, chance = Path(name), random.Random(int(seed))  # noqa: S311
    run = list(samples(12, every_s=0.05, opening=8))
    hear, tell = os.pipe()
    os.set_blocking(hear, False)
    pids = [started(file, run, tell) for _ in range(2)]
    committed: dict[int, int] = {}  # samples of each run that was not removed
    removed: set[int] = set()
    rest = b""
    told = {"kills": 0, "not_intact": 0, "lost": 0, "unreadable": 0}
    select.select([hear], [], [])  # until a writer has committed a sample: from then on there is a file
    try:
        for _ in range(int(times)):
            time.sleep(chance.uniform(0.002, 0.05))
            victim = chance.randrange(2)
            os.kill(pids[victim], signal.SIGKILL)
            os.waitpid(pids[victim], 0)
            try:
                *lines, rest = (rest + os.read(hear, 1 << 20)).split(b"\n")
            except BlockingIOError:
                lines = []
            for line in lines:
                number, count = json.loads(line)
                if number not in removed:
                    committed[number] = count
            found = look(file, committed, removed)
            told["kills"] += 1
            told["not_intact"] += 1 - found["intact"]
            told["lost"] += found["lost"]
            told["unreadable"] += found["unreadable"]
            pids[victim] = started(file, run, tell)
    finally:  # or they would keep the standard output open for ever
        for pid in pids:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
                os.waitpid(pid, 0)
    with closing(open_store(file, new=False)) as base:
        outcomes = [entry.outcome for entry in listing.entries(base, living())]
        print(json.dumps(told | {"runs": len(removed), "running_at_the_end": outcomes.count(RunState.RUNNING)}))


if __name__ == "__main__":
    main(*sys.argv[1:])
