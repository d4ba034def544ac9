"""The machines of a fleet as a table: one line for each, those with trouble first where there are too many."""

from collections.abc import Callable, Iterable, Iterator, Sequence

from fourtuple.core.record import dataclass
from fourtuple.core.runs.machines import gone_words, is_as_planned, is_gone
from fourtuple.core.runs.records import MachineMoment, MachineResult, Sample, Standing
from fourtuple.core.units import format_count, format_duration, format_rate, format_things
from fourtuple.core.visible import visible
from fourtuple.faces.text.lines import width
from fourtuple.faces.text.words import clock_offset

MOST = 20  # machines that are listed
NAME = 24  # columns of the longest name
APART = "  "
HELD = {"hold": ("held", "wanted"), "churn": ("completed", "due"), "serve": ("most open", "accepted")}


@dataclass(frozen=True, slots=True)
class Column:
    """A column of the table. cell: empty for what is not known"""

    head: str
    cell: Callable[[MachineResult], str]
    is_needed: bool = False


def machine_lines(machines: Sequence[MachineResult], kind: str) -> Iterator[str]:
    """The table, at most as wide as the screen; none for a run without a fleet.

    kind: hold, churn or serve

    Columns that do not fit are left out, the last ones first. A machine that is gone has the reason instead of them.
    """
    if not machines:
        return
    as_planned = {id(each): is_as_planned(each, kind) for each in machines}
    order = sorted(machines, key=lambda each: as_planned[id(each)]) if len(machines) > MOST else list(machines)
    shown, more = order[:MOST], order[MOST:]
    columns = _fitting(columns_of(shown, kind), shown)
    widths = [_width(column, shown) for column in columns]
    widths[0] -= max(0, _whole(widths) - width())
    yield _line([column.head for column in columns], widths)
    needed = sum(column.is_needed for column in columns)
    for each in shown:
        if is_gone(each):
            row = _line([column.cell(each) for column in columns[:needed]], widths)
            yield _cut(f"{row}{APART}{visible(gone_words(each))}", width())
        else:
            yield _line([column.cell(each) for column in columns], widths)
    if more:
        troubled = sum(not as_planned[id(each)] for each in more)
        how = f"{format_count(troubled)} of them not as planned" if troubled else "all as planned"
        yield f"  … {format_count(len(more))} more, {how}"


def columns_of(machines: Sequence[MachineResult], kind: str) -> list[Column]:
    """The columns that say something about these machines, the most important first."""
    held, wanted = HELD[kind]
    columns = [
        Column("machine", lambda each: _name(each), is_needed=True),
        Column(held, lambda each: format_count(each.held), is_needed=True),
        Column(wanted, lambda each: format_count(each.wanted), is_needed=True),
        Column("lost", lambda each: format_count(each.lost), is_needed=True),
        Column("failed", lambda each: format_count(sum(each.failed.values())), is_needed=True),
        Column("servers", lambda each: "" if each.at_servers is None else format_count(each.at_servers)),
        Column("rate", lambda each: format_rate(each.rate_per_s)),
        Column("p99", lambda each: "" if each.connect_us.p99 is None else format_duration(each.connect_us.p99 / 1e6)),
        Column("CPU", lambda each: format_duration(each.cpu_user_s + each.cpu_system_s)),
        Column("clock", lambda each: clock(each)),
    ]
    left_out = {
        "lost": not any(each.lost for each in machines),
        "failed": not any(each.failed for each in machines),
        "servers": all(each.at_servers is None for each in machines),
        "p99": all(each.connect_us.p99 is None for each in machines),
    }
    return [column for column in columns if not left_out.get(column.head)]


def machines_now(sample: Sample) -> list[str]:
    """What the line of a run's progress says about its machines: how many are silent or gone; nothing if none is."""
    machines = [each for each in sample.machines if not each.instead_of]
    away = sum(each.standing in (Standing.SILENT, Standing.GONE) for each in machines)
    return [f"{format_count(away)} of {format_things(len(machines), 'machine')} silent or gone"] if away else []


def gone_line(machine: MachineMoment) -> str:
    """`machine m3 is gone: its Dask worker is gone`, said once while a run goes on."""
    return f"machine {visible(machine.name)} is gone: {visible(machine.why)}"


def clock(machine: MachineResult) -> str:
    return clock_offset(machine.offset_us / 1e6, machine.error_us / 1e6)


def _name(machine: MachineResult) -> str:
    instead = f" for {machine.instead_of}" if machine.instead_of else ""
    return visible(f"{machine.name}{instead}")


def _width(column: Column, machines: Sequence[MachineResult]) -> int:
    longest = max(len(column.head), *(len(column.cell(each)) for each in machines))
    return min(longest, NAME) if column.head == "machine" else longest


def _whole(widths: Iterable[int]) -> int:
    return sum(len(APART) + each for each in widths)


def _fitting(columns: list[Column], machines: Sequence[MachineResult]) -> list[Column]:
    while _whole(_width(column, machines) for column in columns) > width() and not columns[-1].is_needed:
        columns = columns[:-1]
    return columns


def _line(cells: Sequence[str], widths: Sequence[int]) -> str:
    """The cells, to the right but for the first."""
    name = shortened(cells[0], widths[0])
    others = (f"{APART}{cell:>{room}}" for cell, room in zip(cells[1:], widths[1:], strict=False))
    return f"{APART}{name:<{widths[0]}}{''.join(others)}".rstrip()


def shortened(name: str, room: int) -> str:
    """The end of a name that is too long: the ends of addresses differ."""
    return name if len(name) <= room else f"…{name[len(name) - room + 1 :]}"


def _cut(line: str, room: int) -> str:
    return line if len(line) <= room else f"{line[: room - 1]}…"
