"""`python -m tests.kernels KERNEL…`: boot each kernel and try the product in it. `make kernels` is the same.

KERNEL is 6.1 (user-mode Linux, the default), qemu:6.1 (in emulation), or the path of a binary of user-mode Linux.
"""

import shlex
import signal
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import date
from pathlib import Path

import click
from platformdirs import user_cache_path

from fourtuple.core.errors import FourtupleError
from tests.kernels import page, programs, qemu, uml
from tests.kernels.available import KERNELS, MISSING, Kernel, Way, kernel_named
from tests.kernels.boot import Machine, run
from tests.kernels.findings import Came, Finding
from tests.kernels.parts import PARTS
from tests.kernels.results import Tried, merged, parse_findings, read_results, write_results

CACHE = user_cache_path("fourtuple") / "kernels"
RESULTS = CACHE / "results.json"
# Seconds that each part has in user-mode Linux, with booting, on a machine that is slow and busy.
LIMITS_S = {"probes": 90, "rules": 600, "check": 600, "census": 120, "loops": 600, "worlds": 1200, "lessons": 1800}
LIMIT_S = 3600
PART_ITSELF = "the part itself"
EMULATED = 4  # the same takes so many times as long in emulation


@dataclass(frozen=True, slots=True)
class Request:
    """What is to be tried: the parts, further options of tests.kernels.inside, and the time for all of it."""

    parts: tuple[str, ...]
    options: tuple[str, ...]
    limit_s: float


@click.command(context_settings={"max_content_width": 100})
@click.argument("names", nargs=-1, metavar="[KERNEL]...")
@click.option("--part", "parts", default=",".join(PARTS), show_default=True, help="Parts to try, separated by commas.")
@click.option("--run", "command", help="Run this shell command in the guest instead.")
@click.option("--limit", "limit_s", type=float, default=4 * 3600, show_default=True, help="Seconds for each kernel.")
@click.option("--options", default="", help="Options of tests.kernels.inside, such as '--worlds 100'.")
@click.option("--list", "only_list", is_flag=True, help="List the kernels; boot nothing.")
@click.option("--page", "only_page", is_flag=True, help="Write docs/kernels.md from the stored results; boot nothing.")
def main(
    names: tuple[str, ...],
    parts: str,
    command: str | None,
    limit_s: float,
    options: str,
    only_list: bool,
    only_page: bool,
) -> None:
    """Boot each KERNEL, try the product in it, and store the results. Exit code: 1 if something was wrong."""
    if only_list:
        click.echo("\n".join(list_lines()))
        return
    if only_page:
        page.renew(read_results(RESULTS))
        return
    try:
        request = Request(chosen(parts), tuple(shlex.split(options)), limit_s)
        codes = [_boot(kernel_named(name), request, command) for name in names or ("6.1",)]
    except FourtupleError as error:
        click.echo(error, err=True)
        sys.exit(2)
    sys.exit(max(codes))


def chosen(parts: str) -> tuple[str, ...]:
    """The parts with these names, separated by commas. Raises click.UsageError for an unknown one."""
    names = tuple(dict.fromkeys(name.strip() for name in parts.split(",") if name.strip()))
    if unknown := [name for name in names if name not in PARTS]:
        raise click.UsageError(f"there is no part {unknown[0]!r}; use some of {', '.join(PARTS)}")
    return names or tuple(PARTS)


def list_lines() -> list[str]:
    """What can be booted, and what cannot."""
    lines = [f"{kernel.name:12} {kernel.way} of {kernel.suite}" for kernel in KERNELS]
    return [*lines, "/PATH        a binary of user-mode Linux", *(f"no {name}: {why}" for name, why in MISSING.items())]


def _boot(kernel: Kernel, request: Request, command: str | None) -> int:
    """Try one kernel → an exit code."""
    emulated = kernel.way is Way.QEMU
    programs.need_programs(programs.QEMU if emulated else programs.UML, _tell)
    CACHE.mkdir(parents=True, exist_ok=True)
    machine = (qemu if emulated else uml).prepare(kernel, CACHE, _tell)
    if command is not None:
        with tempfile.TemporaryDirectory(prefix="fourtuple-exchange-") as folder:
            ending = run(machine, command, request.limit_s, Path(folder))
        if ending.why:
            _tell(ending.why)
        return 1 if ending.code is None else ending.code
    wrong = 0
    for tried in _tried(kernel, machine, request):
        write_results(RESULTS, merged(read_results(RESULTS), [tried]))
        _tell(f"{tried.part}: {tried.counts}, {tried.seconds} s")
        wrong += tried.count(Came.WRONG)
    _tell(f"{kernel.name}, {machine.version}: {f'{wrong} wrong' if wrong else 'nothing was wrong'}; in {RESULTS}")
    return 1 if wrong else 0


def _tried(kernel: Kernel, machine: Machine, request: Request) -> Iterator[Tried]:
    """Try one part after the other, each in a guest of its own."""
    until_s = time.monotonic() + request.limit_s
    name = kernel.name if kernel.way is not Way.OWN else f"own:{machine.version}"
    for part in request.parts:
        slower = EMULATED if kernel.way is Way.QEMU else 1
        limit_s = min(LIMITS_S.get(part, LIMIT_S) * slower, until_s - time.monotonic())
        _tell(f"booting {name}, {machine.version}, for {part}: at most {max(limit_s, 0):.0f} s")
        start_s = time.monotonic()
        findings = _findings(machine, part, request.options, limit_s)
        seconds = round(time.monotonic() - start_s)
        for each in findings:
            if each.name == PART_ITSELF:  # the guest could not say so
                _tell(f"{part}: {each.because}")
        yield Tried(name, kernel.way, machine.version, str(date.today()), part, seconds, tuple(findings))


def _findings(machine: Machine, part: str, options: Sequence[str], limit_s: float) -> list[Finding]:
    """What a part found, and why it did not end, if it did not."""

    def broken(why: str) -> Finding:
        return Finding(part, PART_ITSELF, "it ends", "it did not end", Came.WRONG, why)

    if limit_s <= 0:
        return [broken("the time for all parts is over")]
    words = [sys.executable, "-m", "tests.kernels.inside", part, "--to", "/mnt/exchange/findings", *options]
    with tempfile.TemporaryDirectory(prefix="fourtuple-exchange-") as folder:
        ending = run(machine, shlex.join(words) + " 2>&1", limit_s, Path(folder), click.echo)
        file = Path(folder) / "findings"
        findings = parse_findings(file.read_bytes()) if file.exists() else []
    if ending.code not in (0, 1):
        findings.append(broken(ending.why or f"exit code {ending.code}"))
    elif not findings:
        findings.append(broken("it found nothing"))
    return findings


def _tell(text: str) -> None:
    click.echo(f"kernels: {text}")


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))  # so that what was started is ended
    main()
