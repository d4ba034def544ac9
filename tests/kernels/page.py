"""docs/kernels.md: what was tried in which kernel, made from results.json next to this file."""

import re
from collections.abc import Iterable, Sequence
from pathlib import Path

from tests.kernels.available import MISSING
from tests.kernels.boot import REPOSITORY
from tests.kernels.findings import Came, Finding
from tests.kernels.parts import PARTS
from tests.kernels.results import Tried, merged, read_results, write_results

PAGE = REPOSITORY / "docs" / "kernels.md"
COMMITTED = Path(__file__).with_name("results.json")
HEAD = """# Kernels

*Made by `make docs-kernels` from the results of `make kernels`.*

The limits of `docs/limits.md` were found on Linux 6.18. This page shows what was tried in other kernels, as guests of
one machine: as user-mode Linux, where the kernel is a process with one processor, or in qemu without KVM. In each
guest, this project's own code opens real sockets; a guest has no network. `make kernels KERNEL=6.12` tries one kernel
again, and `python -m tests.kernels --list` lists the kernels.
"""
MARKS = {Came.RIGHT: "right", Came.WRONG: "**wrong**", Came.SKIPPED: "skipped"}


def renew(results: Sequence[Tried]) -> None:
    """Add results to the committed ones, and write the page."""
    everything = merged(read_results(COMMITTED), results)
    write_results(COMMITTED, everything)
    PAGE.write_text(page(everything), encoding="utf-8")


def page(results: Sequence[Tried]) -> str:
    """The page, as Markdown."""
    blocks = [HEAD, "## Kernels and parts\n", _parts(results)]
    blocks += [f"- **{name}**: {part.__doc__}" for name, part in PARTS.items()]
    blocks += _wrong(results)
    blocks += _grouped("Rules", "rules", results)
    blocks += _grouped("Probes", "probes", results)
    for part in ("check", "lessons", "loops"):
        blocks += _marks(part, results)
    blocks += ["\n## What could not be had\n", *_table(["kernel", "why"], MISSING.items())]
    return "\n".join(blocks) + "\n"


def kernels(results: Iterable[Tried]) -> list[str]:
    """The names of the kernels, the oldest first."""
    return sorted({tried.kernel for tried in results}, key=lambda name: (_numbers(name), name))


def _numbers(name: str) -> list[int]:
    return [int(number) for number in re.findall(r"\d+", name)][:2]


def _parts(results: Sequence[Tried]) -> str:
    """A row for each kernel, a column for each part."""
    of = {(tried.kernel, tried.part): tried for tried in results}
    shown = [part for part in PARTS if any(tried.part == part for tried in results)]
    rows = []
    for name in kernels(results):
        tried = [of[name, part] for part in shown if (name, part) in of]
        versions = ", ".join(dict.fromkeys(each.version for each in tried))
        dates = sorted({each.date for each in tried})
        cells = [of[name, part].counts if (name, part) in of else "not tried" for part in shown]
        rows.append([f"{name}", f"{tried[0].way}", versions, " to ".join(dates[:: max(1, len(dates) - 1)]), *cells])
    return "\n".join(_table(["kernel", "way", "version", "date", *shown], rows)) + "\n"


def _wrong(results: Sequence[Tried]) -> list[str]:
    """Everything that was wrong, with its reason."""
    rows = [
        [tried.kernel, tried.part, finding.name, finding.predicted, finding.observed, finding.because]
        for name in kernels(results)
        for tried in results
        for finding in tried.findings
        if tried.kernel == name and finding.came is Came.WRONG
    ]
    if not rows:
        return ["\nNothing was wrong.\n"]
    heads = ["kernel", "part", "what", "predicted", "observed", "because"]
    return ["\n## What was wrong\n", *_table(heads, rows)]


def _of(part: str, results: Sequence[Tried]) -> dict[str, dict[str, Finding]]:
    """Name of a trial → kernel → finding; kernels from the oldest."""
    found: dict[str, dict[str, Finding]] = {}
    for name in kernels(results):
        for finding in (
            each for tried in results if (tried.kernel, tried.part) == (name, part) for each in tried.findings
        ):
            found.setdefault(finding.name, {})[name] = finding
    return found


def _grouped(title: str, part: str, results: Sequence[Tried]) -> list[str]:
    """Each trial with what was predicted and observed; kernels where that is the same share a row."""
    rows = []
    for name, by_kernel in _of(part, results).items():
        alike: dict[Finding, list[str]] = {}
        for kernel, finding in by_kernel.items():
            alike.setdefault(finding, []).append(kernel)
        for finding, names in alike.items():
            seen = finding.observed if finding.came is not Came.SKIPPED else finding.because
            rows.append([name, ", ".join(names), finding.predicted, seen, MARKS[finding.came]])
    heads = ["trial", "kernels", "predicted", "observed", ""]
    if not any(row[2] for row in rows):  # it only says what there is
        heads, rows = heads[:2] + heads[3:4], [row[:2] + row[3:4] for row in rows]
    return [f"\n## {title}\n", *_table(heads, rows)] if rows else []


def _marks(part: str, results: Sequence[Tried]) -> list[str]:
    """A row for each trial, a column for each kernel, a word in each cell."""
    found = _of(part, results)
    if not found:
        return []
    columns = kernels(tried for tried in results if tried.part == part)
    rows = []
    for name, by_kernel in found.items():
        cells = [MARKS[by_kernel[kernel].came] if kernel in by_kernel else "" for kernel in columns]
        rows.append([name, *cells])
    reasons = {finding.because for each in found.values() for finding in each.values() if finding.came is Came.SKIPPED}
    notes = [f"\nSkipped: {'; '.join(sorted(reasons))}."] if reasons else []
    return [f"\n## {part.capitalize()}\n", *_table([part, *columns], rows), *notes]


def _table(heads: Sequence[str], rows: Iterable[Sequence[str]]) -> list[str]:
    """A table of Markdown."""
    lines = [heads, ["---"] * len(heads), *rows]
    return [f"| {' | '.join(_escaped(cell) for cell in line)} |" for line in lines]


def _escaped(cell: str) -> str:
    return " ".join(cell.split()).replace("|", "\\|")
