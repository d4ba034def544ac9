"""The answers of `fleet hosts`, `fleet limits` and `fleet plan` as text: at most MOST machines have a line each."""

from collections.abc import Iterator, Mapping, Sequence

from fourtuple.core.fleet.answers import RATE_PER_CPU_PER_S, FleetHosts, FleetLimits, FleetPlan, FleetWay, UnusedMember
from fourtuple.core.fleet.far import EndStop
from fourtuple.core.fleet.member import LimitRoom, Member, Offer
from fourtuple.core.fleet.share import MachineShare
from fourtuple.core.plan.fit import Says
from fourtuple.core.space.interval import Interval
from fourtuple.core.units import format_count, format_duration, format_rate, format_size
from fourtuple.faces.text.lines import wrapped
from fourtuple.faces.text.tables import Column, TableRow, table_lines
from fourtuple.faces.text.words import clock_offset, format_interval

MOST = 20  # machines with a line each
NAMED = 4  # machines, addresses or destinations in a sentence
MOST_WAYS = 5  # of machines
NAME, CELL = 22, 12  # columns at least; the usual name of a Dask worker is its address
HOSTS = (
    Column("name", is_text=True),
    Column("host", is_text=True),
    Column("CPUs"),
    Column("memory", is_extra=True),
    Column("free", is_extra=True),
    Column("clock", is_extra=True),
)
SHARES = (
    Column("machine", NAME, is_text=True),
    Column("opens", CELL),
    Column("room", CELL),
    Column("from", is_text=True, is_extra=True),
)
COLUMNS_OF_LIMITS = 3
MARK = "▸"


# fleet hosts


def hosts_lines(found: FleetHosts) -> Iterator[str]:
    members = found.members
    cpus = _some(_of_kernels(members, [member.cpus for member in members]), "CPU")
    free = _of_kernels(members, [member.free_bytes or 0 for member in members])
    of_memory = f", {format_size(free)} of memory free" if free else ""
    yield from wrapped("", f"{_some(len(members), 'machine')}, {cpus}{of_memory}")
    software = set(map(_software, members))
    if len(software) == 1:
        yield from wrapped("all have    ", *software)
    if members:
        yield ""
        rows = [_host(member, with_software=len(software) > 1) for member in members[:MOST]]
        yield from table_lines(HOSTS, rows)
    yield from _more(len(members))
    if found.unused:
        yield ""
        yield from unused_lines(found.unused)


def servers_unknown_lines() -> Iterator[str]:
    text = "not counted: no machine that takes part has a destination, so no kernel of the fleet lists their ends"
    yield from wrapped("servers     ", text)


def unused_lines(unused: Sequence[UnusedMember]) -> Iterator[str]:
    """The workers that take no part, each with the reason; nothing if there are none."""
    if unused:
        yield "not used"
        for each in unused[:MOST]:
            yield from wrapped("  ", f"{each.name}: {each.why}")
        yield from _more(len(unused), "  ")


def _of_kernels(members: Sequence[Member], numbers: Sequence[int]) -> int:
    """The sum over all kernels: machines that share one have the same CPUs, and the same memory."""
    most: dict[str, int] = {}
    for member, number in zip(members, numbers, strict=True):
        most[member.boot] = max(number, most.get(member.boot, 0))
    return sum(most.values())


def _host(member: Member, *, with_software: bool) -> TableRow:
    sizes = ("unknown" if size is None else format_size(size) for size in (member.memory_bytes, member.free_bytes))
    clock = clock_offset(member.offset_ns / 1e9, member.error_ns / 1e9)
    details = [_list(member.addresses), _software(member) if with_software else ""]
    return TableRow((member.name, member.host, str(member.cpus), *sizes, clock), "; ".join(filter(None, details)))


def _software(member: Member) -> str:
    return f"Linux {member.kernel}, Python {member.python}, fourtuple {member.fourtuple}"


# fleet limits


def limits_lines(limits: FleetLimits) -> Iterator[str]:
    machines = _some(len(limits.offers), "machine")
    to = f" to {_list(limits.destinations)}" if limits.destinations else ""
    yield from wrapped("", f"room for {format_interval(limits.room)} more connections{to} from {machines}")
    if limits.tightest and not limits.room.least:
        yield from wrapped("because of  ", _deciding(limits.tightest))
    if limits.servers:
        yield from wrapped("servers     ", _serving([offer.machine for offer in limits.servers]))
    if limits.room.least:
        yield from wrapped("first end   ", _first_end(limits.room.least, limits.tightest, limits.stops))
    if limits.offers:
        yield ""
        yield from _table(limits.offers, limits.room)


def _table(offers: Sequence[Offer], room: Interval) -> Iterator[str]:
    """The limits of the machines side by side: those that decide somewhere first, then the tightest ones."""
    titles = _titles(offers)
    columns = [Column("machine", NAME, is_text=True), *(Column(head, CELL) for head in ("room", *titles))]
    rows, none = [], [""] * len(titles)
    for offer in offers[:MOST]:
        by_title = {bound.title: bound for bound in offer.bounds}
        cells = [_cell(by_title.get(title), offer.bounds[0] if offer.bounds else None) for title in titles]
        rows.append(TableRow((offer.machine, _number(offer.room), *cells)))
    rows += [TableRow((more, "", *none)) for more in _more(len(offers))]
    if len(offers) > 1:
        is_shared = room.least < sum(offer.room.least for offer in offers)
        text = "machines of one kernel have its memory and its files together, those of one namespace all of it"
        rows.append(TableRow(("together", _number(room), *none), text if is_shared else ""))
    yield from table_lines(columns, rows)


def _titles(offers: Sequence[Offer]) -> list[str]:
    """The limits that have a column."""
    rank: dict[str, tuple[bool, int]] = {}
    for offer in offers:
        for place, bound in enumerate(offer.bounds):
            if bound.room is not None:
                decides, least = rank.get(bound.title, (True, bound.room.least))
                rank[bound.title] = decides and place > 0, min(least, bound.room.least)
    return sorted(rank, key=lambda title: rank[title])[:COLUMNS_OF_LIMITS]


def _cell(bound: LimitRoom | None, first: LimitRoom | None) -> str:
    if bound is None:
        return "-"
    if bound.room is None:
        return "unknown"
    return f"{MARK if bound is first else ''}{_number(bound.room)}"


# fleet plan


def plan_lines(plan: FleetPlan) -> Iterator[str]:
    machines = _some(sum(share.wanted > 0 for share in plan.split.shares), "machine")
    wanted = f"{format_count(plan.wanted)} to {_list(plan.destinations)} from {machines}"
    yield from wrapped("", f"{wanted}: {_answer(plan)}")
    if plan.split.shares:
        yield ""
        yield from _shares(plan.split.shares)
        yield ""
    yield from wrapped("divided     ", plan.split.because)
    if plan.split.servers:
        yield from wrapped("servers     ", _serving(plan.split.servers))
    yield from wrapped("first end   ", _first_end(plan.split.room.least, plan.tightest, plan.stops))
    yield from wrapped("time        ", _time(plan))
    for head, which, ways in (
        ("to make it fit", "one of these", plan.ways),
        ("to make it fit at the servers", "all of these", plan.server_ways),
    ):
        if ways:
            yield ""
            yield from wrapped("", f"{head}, {which}" if len(ways) > 1 else head)
            yield from _ways(ways)


def _shares(shares: Sequence[MachineShare]) -> Iterator[str]:
    """Who opens how many, from which addresses."""
    rows = [
        TableRow((share.machine, format_count(share.wanted), _number(share.room), _list(share.sources)))
        for share in shares[:MOST]
    ]
    if rest := shares[MOST:]:
        opens = format_count(sum(share.wanted for share in rest))
        rows.append(TableRow((f"… {format_count(len(rest))} more", opens, "", "")))
    yield from table_lines(SHARES, rows)


def _ways(ways: Sequence[FleetWay]) -> Iterator[str]:
    of_machines = [way for way in ways if way.machines]
    for way in of_machines[:MOST_WAYS]:
        yield from wrapped("  · ", f"on {_list(way.machines)}: {way.text}")
    if len(of_machines) > MOST_WAYS:
        yield f"  … {format_count(len(of_machines) - MOST_WAYS)} more (--json)"
    for way in ways:
        if not way.machines:
            yield from wrapped("  · ", way.text)


def _answer(plan: FleetPlan) -> str:
    server = plan.stopped_by
    if plan.says is Says.BLOCKS:
        also = f"; nor does {_place(server)} have room" if server else ""
        return f"does not fit: {format_count(plan.wanted - plan.split.room.most)} too many{also}"
    if server:
        return f"the machines that open them have room; {_place(server)} does not"
    if plan.says is Says.PERHAPS:
        return f"may fit; {format_count(plan.split.room.least)} fit for certain"
    return "fits"


def _first_end(least: int, tightest: Mapping[str, Sequence[str]], stops: Sequence[EndStop]) -> str:
    """Which end stops first, and at which number: the machines that open connections, or a server."""
    deciding = f": {_deciding(tightest)}" if tightest else ""
    clients = f"the machines that open connections, at {format_count(least)}{deciding}"
    if not stops:
        return f"{clients}. No server at the destinations is known to this fleet"
    stop = stops[0]
    there = f" (room for {format_count(stop.room)})" if stop.room != stop.at else ""
    server = f"{_place(stop)}, at {format_count(stop.at)}: {stop.title.removesuffix(' of the process')}{there}"
    first, second = (server, clients) if stop.at < least else (clients, server)
    return f"{first}. Then {second}"


def _place(stop: EndStop) -> str:
    return f"{stop.process} on {stop.machine}" if stop.process else stop.machine


def _time(plan: FleetPlan) -> str:
    if plan.rate_per_s is not None:
        return f"about {format_duration(plan.elapsed_s)} at {format_rate(plan.rate_per_s)}, {plan.rate_because}"
    rate = f"{format_rate(RATE_PER_CPU_PER_S)} for each CPU, {plan.rate_because} (--rate)"
    return f"about {format_duration(plan.elapsed_s)} at {rate}"


# Words and cells


def _deciding(tightest: Mapping[str, Sequence[str]]) -> str:
    return "; ".join(f"{title} on {_list(machines)}" for title, machines in tightest.items())


def _serving(machines: Sequence[str]) -> str:
    one = len(machines) == 1
    return f"{_list(machines)} own{'s' * one} destinations and open{'s' * one} nothing"


def _number(room: Interval) -> str:
    """The number that is certain, with ~ if more may be there."""
    return f"{'' if room.exact else '~'}{format_count(room.least)}"


def _more(count: int, indent: str = "") -> Iterator[str]:
    if count > MOST:
        yield f"{indent}… {format_count(count - MOST)} more (--json)"


def _some(count: int, noun: str) -> str:
    return f"{format_count(count)} {noun}{'s' * (count != 1)}"


def _list(names: Sequence[str]) -> str:
    """`m1, m2 and m3`, or the first ones and how many there are."""
    if len(names) > NAMED:
        return f"{', '.join(names[:NAMED])} … ({format_count(len(names))})"
    return f"{', '.join(names[:-1])} and {names[-1]}" if len(names) > 1 else "".join(names)
