"""Where the CPU time of a client goes: functions of the kernel, of Python and of libraries, as perf(1) samples them."""

import shutil
import subprocess
import tempfile
from collections import Counter
from collections.abc import Sequence

from bench.arena import Contestant
from bench.measure import Finding, NotMeasuredError, Result
from bench.opening import Opening

MANY = 100_000
PER_S = 999  # samples; not a multiple of the timer's ticks
SHOWN = 16
PARTS = {"kernel": ("[kernel", "[guest"), "Python": ("python", "libpython"), "NumPy": ("_multiarray", "_umath")}


def profile(rounds: int, wanted: int = MANY) -> Result:
    """CPU time of a client, from its start to its end, that opens and closes 100,000 connections; one process each."""
    if shutil.which("perf") is None:
        raise NotMeasuredError("perf is not here")
    ends = "127.0.0.1:80-81"
    client = f"python -m bench.opening --workers 1 {wanted} {ends}"
    shares: Counter[tuple[str, str]] = Counter()
    with tempfile.TemporaryDirectory() as folder:
        for number in range(rounds):
            file = f"{folder}/{number}"
            recorded = f"perf record --quiet --freq {PER_S} --output {file} {client}"
            contestant = Contestant(f"fourtuple serve {ends} --quiet --workers 1", recorded)
            Opening.of(contestant.run(), wanted)
            shares.update({where: percent / rounds for where, percent in _shares(file).items()})
    parts: Counter[str] = Counter()
    for (place, _), percent in shares.items():
        parts[_part(place)] += percent
    return Result(
        [Finding(f"in {part}", parts[part], "%") for part in (*PARTS, "other libraries")],
        [*(line.replace(file, "perf.data") for line in contestant.commands), "perf report --sort dso,symbol"],
        [f"{percent:5.1f} %  {_part(place):<15} {symbol}" for (place, symbol), percent in shares.most_common(SHOWN)],
    )


def _shares(file: str) -> dict[tuple[str, str], float]:
    """Return the share of all samples in percent, by shared object and symbol."""
    command = ["perf", "report", "--stdio", "--no-children", "--field-separator", "\t", "--sort", "dso,symbol"]
    done = subprocess.run([*command, "--input", file], capture_output=True, text=True, check=False)
    if done.returncode:
        raise NotMeasuredError(f"perf report: {done.stderr.strip()[-200:]}")
    rows = [line.split("\t") for line in done.stdout.splitlines() if line.strip() and not line.startswith("#")]
    return {(place.strip(), symbol.strip()): _percent(share) for share, place, symbol, *_ in rows}


def _percent(text: str) -> float:
    return float(text.strip().rstrip("%"))


def _part(place: str) -> str:
    """Which of PARTS a shared object belongs to."""
    names: Sequence[str] = [part for part, words in PARTS.items() if any(place.startswith(word) for word in words)]
    return names[0] if names else "other libraries"
