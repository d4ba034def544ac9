"""Does it fit: the answer, every limit with OK or what it blocks at, what makes it fit, what it costs."""

from collections.abc import Iterator, Mapping, Sequence

from fourtuple.core.plan.fit import Change, Check, Churn, Fit, Machine, Says, Way
from fourtuple.core.plan.nat import NatBudget
from fourtuple.core.units import format_count, format_duration, format_rate, format_size
from fourtuple.faces.text.lines import COLUMNS, wrapped
from fourtuple.faces.text.words import format_interval

TITLE, ROOM, WORD = 32, 36, 10
WORDS = {Says.OK: "ok", Says.PERHAPS: "PERHAPS", Says.BLOCKS: "BLOCKS"}


def plan_lines(fit: Fit) -> Iterator[str]:
    each = f"{format_count(fit.wanted_each)} on each of {_some(fit.machine.machines, 'machine')}" if fit.machine else ""
    yield from wrapped("", f"{each or format_count(fit.wanted)} {_where(fit)}: {_answer(fit)}")
    product = (
        f"{_some(fit.sources, 'source')} × {format_count(fit.ports)} ports × {_some(fit.destinations, 'destination')}"
    )
    yield f"  {'tuples':<12}{product:<{COLUMNS - 32}} {format_count(fit.ceiling):>15}"
    for check in fit.checks:
        yield _check(check)
    for reason in fit.because:
        yield from wrapped("  not exact   ", f"{reason}; fourtuple limits --probe tells")
    if fit.absent:
        yield from wrapped("  sources     ", f"this host does not have {_list(fit.absent)}: ip address add, as root")
    yield from _ways(fit.ways, {check.limit: check.title for check in fit.checks})
    yield ""
    yield from _cost(fit)
    if fit.churn:
        yield from _churn(fit.churn)
    if fit.machine:
        yield from _machine(fit.machine)
    if fit.nat:
        yield from _nat(fit.nat)


def applied_lines(done: Sequence[Change], refused: Sequence[tuple[Change, str]]) -> Iterator[str]:
    for change in done:
        yield from wrapped("set ", f"{change.name} = {change.after} (it was {change.before})")
    if done:
        yield "fourtuple undo brings back what it was"
    for change, why in refused:
        yield from wrapped("not set ", f"{change.name} = {change.after}: {why}")
    if not (done or refused):
        yield "there is no setting to change"


def undone_lines(done: Sequence[Change], refused: Sequence[tuple[Change, str]], elsewhere: int) -> Iterator[str]:
    for change in done:
        yield from wrapped("", f"{change.name} = {change.after} again (it was {change.before})")
    for change, why in refused:
        yield from wrapped("left as it is  ", f"{change.name}: {why}")
    if not (done or refused):
        yield "there is nothing to undo here" if elsewhere else "there is nothing to undo"
    if elsewhere:
        others = _some(elsewhere, "setting")
        yield from wrapped("", f"{others} of other network namespaces are left: undo there, or undo --forget")


def _where(fit: Fit) -> str:
    more = f" … ({format_count(fit.destinations)})" if fit.destinations > 1 else ""
    sources = f" … ({format_count(fit.sources)})" if fit.sources > 1 else ""
    return f"to {fit.first_destination}{more} from {fit.first_source}{sources}"


def _answer(fit: Fit) -> str:
    if fit.says is Says.OK:
        return "it fits, but not what is asked besides" if fit.blocked else "it fits"
    if fit.says is Says.PERHAPS:
        return f"perhaps it fits, {format_count(fit.room.least if fit.room else 0)} surely do"
    return f"it does not fit, {format_count(fit.wanted_each - (fit.room.most if fit.room else 0))} too many"


def _check(check: Check) -> str:
    if check.room is None:
        return f"  {check.title:<{TITLE}}{check.note:>{ROOM}}{WORDS[check.says]:>{WORD}}"
    return f"  {check.title:<{TITLE}}{format_interval(check.room):>{ROOM}}{WORDS[check.says]:>{WORD}}"


def _ways(ways: Sequence[Way], titles: Mapping[str, str]) -> Iterator[str]:
    """titles: of the limits; said where several block, for then it takes one way past each"""
    several = len({way.limit for way in ways}) > 1
    if several:
        yield ""
        yield "several limits block: it takes one way past each of them"
    for root, head in ((False, "makes it fit, without root"), (True, "makes it fit, with root")):
        chosen = [way for way in ways if way.root is root]
        if chosen:
            yield ""
            yield head
        for way in chosen:
            yield from wrapped("  · ", f"{titles[way.limit]}: {way.text}" if several else way.text)
            if way.options:
                yield f"      {way.options}"
            for change in way.changes:
                yield f"      {change.command}"
                yield f"      undo: {change.undo}"


def _cost(fit: Fit) -> Iterator[str]:
    there = "of the other ends, here too" if fit.here else "at the other end"
    client, server = format_size(fit.client_bytes), format_size(fit.server_bytes)
    yield from wrapped(
        "memory    ", f"{client} of the kernel's, and {server} {there}; {format_size(fit.user_bytes)} of hold's"
    )
    rate = f"{format_rate(fit.rate_per_s)}, {fit.rate_because}"
    yield from wrapped(
        "time      ", f"about {format_duration(fit.elapsed_s)} at {rate}{'' if 'asked' in rate else ' (--rate)'}"
    )


def _churn(churn: Churn) -> Iterator[str]:
    word = "fits" if churn.fits else "does NOT fit"
    yield from wrapped(
        "churn     ",
        f"{format_rate(churn.per_s)} {word}: with the others held {format_rate(churn.ceiling_per_s)} are the most, and"
        f" {format_rate(churn.each_per_s)} to one destination from one source, where the client closes first: its"
        f" 4-tuple stays taken for {format_duration(churn.kept_s)}",
    )


def _machine(machine: Machine) -> Iterator[str]:
    word = "fits" if machine.fits else "does NOT fit: memory, or a limit above"
    yield from wrapped(
        "machines  ",
        f"{format_count(machine.machines)} like this one, {format_count(machine.wanted)} each, {word}: each needs"
        f" {_some(machine.sources, 'source address', 'es')}, {format_size(machine.kernel_bytes)} of kernel memory,"
        f" {format_duration(machine.elapsed_s)}; {format_count(machine.machines * machine.sources)} addresses in all",
    )


def _nat(nat: NatBudget) -> Iterator[str]:
    if nat.slice_ports and nat.slice_ports > nat.each_address:
        more = f"a machine would need more ports than the {format_count(nat.each_address)} of a public address"
    elif nat.addresses_wanted is None:
        more = "it takes more public addresses than one gateway can have: more destinations, or gateways"
    elif nat.fits:
        more = f"fits through {_some(nat.addresses, 'public address', 'es')}"
    else:
        more = f"does NOT fit: {_some(nat.addresses_wanted, 'public address', 'es')} would do, {nat.addresses} planned"
    share = f"; it takes {format_count(nat.slice_ports)} ports for each machine" if nat.slice_ports else ""
    kept = f", a closed one keeps its port {format_duration(nat.kept_s)}" if nat.kept_s else ""
    yield from wrapped(
        "NAT       ",
        f"{nat.title}: {format_count(nat.each)} to the same destination, room for {format_count(nat.room)}:"
        f" {more}{share}. A quiet connection loses its port after {format_duration(nat.quiet_s)}{kept} ({nat.source})",
    )


def _some(count: int, noun: str, plural: str = "s") -> str:
    return f"{format_count(count)} {noun}{plural if count != 1 else ''}"


def _list(names: Sequence[str]) -> str:
    return ", ".join(names[:4]) + (f" … ({len(names)})" if len(names) > 4 else "")
