"""The machines of a fleet as a table: one line for each, those with trouble first where there are too many."""

from collections.abc import Callable, Iterator, Sequence

from fourtuple.core.record import dataclass
from fourtuple.core.runs.machines import gone_words, is_as_planned, is_gone
from fourtuple.core.runs.records import MachineMoment, MachineResult, Sample, Standing
from fourtuple.core.units import format_count, format_duration, format_rate, format_things
from fourtuple.core.visible import visible
from fourtuple.faces.text.tables import Column, TableRow, table_lines
from fourtuple.faces.text.words import clock_offset

MOST = 20  # machines that are listed
HELD = {"hold": ("held", "wanted"), "churn": ("completed", "due"), "serve": ("most open", "accepted")}


@dataclass(frozen=True, slots=True)
class MachineColumn:
    """A column of the table. cell: empty for what is not known"""

    head: str
    cell: Callable[[MachineResult], str]
    is_needed: bool = False


def machine_lines(machines: Sequence[MachineResult], kind: str) -> Iterator[str]:
    """The table; none for a run without a fleet.

    kind: hold, churn or serve

    Below a machine that is gone is the reason.
    """
    if not machines:
        return
    as_planned = {id(each): is_as_planned(each, kind) for each in machines}
    order = sorted(machines, key=lambda each: as_planned[id(each)]) if len(machines) > MOST else list(machines)
    shown, more = order[:MOST], order[MOST:]
    columns = columns_of(shown, kind)
    widths = [Column(each.head, is_text=not number, is_extra=not each.is_needed) for number, each in enumerate(columns)]
    yield from table_lines(widths, [_row(columns, each) for each in shown], indent="  ")
    if more:
        troubled = sum(not as_planned[id(each)] for each in more)
        how = f"{format_count(troubled)} of them not as planned" if troubled else "all as planned"
        yield f"  … {format_count(len(more))} more, {how}"


def columns_of(machines: Sequence[MachineResult], kind: str) -> list[MachineColumn]:
    """The columns that say something about these machines, the most important first."""
    held, wanted = HELD[kind]
    columns = [
        MachineColumn("machine", lambda each: _name(each), is_needed=True),
        MachineColumn(held, lambda each: format_count(each.held), is_needed=True),
        MachineColumn(wanted, lambda each: format_count(each.wanted), is_needed=True),
        MachineColumn("lost", lambda each: format_count(each.lost), is_needed=True),
        MachineColumn("failed", lambda each: format_count(sum(each.failed.values())), is_needed=True),
        MachineColumn("servers", lambda each: "" if each.at_servers is None else format_count(each.at_servers)),
        MachineColumn("rate", lambda each: format_rate(each.rate_per_s)),
        MachineColumn("p99", _p99),
        MachineColumn("CPU", lambda each: format_duration(each.cpu_user_s + each.cpu_system_s)),
        MachineColumn("clock", lambda each: clock(each)),
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


def _p99(machine: MachineResult) -> str:
    return "" if machine.connect_us.p99 is None else format_duration(machine.connect_us.p99 / 1e6)


def _row(columns: Sequence[MachineColumn], machine: MachineResult) -> TableRow:
    if not is_gone(machine):
        return TableRow([column.cell(machine) for column in columns])
    return TableRow([column.cell(machine) if column.is_needed else "" for column in columns], gone_words(machine))


def shortened(name: str, room: int) -> str:
    """The end of a name that is too long: the ends of addresses differ."""
    return name if len(name) <= room else f"…{name[len(name) - room + 1 :]}"
