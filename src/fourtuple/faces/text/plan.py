"""The result of `plan` as text: the answer, every limit with its verdict, what makes N fit, and the cost."""

import itertools
from collections.abc import Iterator, Mapping, Sequence

from fourtuple.core.limits.time_wait import waiting_text
from fourtuple.core.plan.claims import Reservation
from fourtuple.core.plan.fit import Change, Check, Churn, Fit, Machine, Says, Way, product
from fourtuple.core.plan.nat import NatBudget, Share
from fourtuple.core.plan.traffic import Traffic
from fourtuple.core.units import format_count, format_duration, format_rate, format_size, format_things
from fourtuple.faces.text.lines import wrapped
from fourtuple.faces.text.tables import Column, TableRow, table_lines
from fourtuple.faces.text.words import format_interval, full_queue, several_addresses

PRODUCT = (Column(least=10, is_text=True), Column(least=48, is_text=True), Column(least=14))
CHECKS = (Column(least=30, is_text=True), Column(least=36), Column(least=8))  # limit, room, verdict
CLAIMANTS, PORTS_TEXT = 12, 60  # shown: who claims ports, and characters of the ports of each
WORDS = {Says.OK: "ok", Says.PERHAPS: "PERHAPS", Says.UNKNOWN: "UNKNOWN", Says.BLOCKS: "BLOCKS"}


def plan_lines(fit: Fit) -> Iterator[str]:
    each = f"{format_count(fit.wanted_each)} on each of {_some(fit.machine.machines, 'machine')}" if fit.machine else ""
    yield from wrapped("", f"{each or format_count(fit.wanted)} {_where(fit)}: {_answer(fit)}")
    ceiling = format_count(fit.ceiling) if fit.ports else "unknown"
    yield from table_lines(
        PRODUCT, [TableRow(("tuples", product(fit.sources, fit.ports, fit.destinations), ceiling))], indent="  "
    )
    for resolved in fit.resolved:
        yield from wrapped("  name        ", several_addresses(resolved))
    yield from table_lines(CHECKS, [_check(check) for check in fit.checks], indent="  ")
    for name in fit.full:
        yield from wrapped("  but now     ", full_queue(name))
    if fit.waiting:
        yield from wrapped("  TIME_WAIT   ", waiting_text(fit.waiting, fit.kept_ms))
    for check in fit.checks:
        if check.says is Says.UNKNOWN:
            yield from wrapped("  unknown     ", f"{check.title}: {check.note}")
    for each in fit.assumed:
        yield from wrapped("  assumed     ", f"{each}, whatever this host says")
    for reason in fit.because:
        yield from wrapped("  not exact   ", f"{reason}{'; to test it: fourtuple limits --probe' * fit.can_probe}")
    if fit.absent:
        yield from wrapped(
            "  sources     ", f"this host does not have {_list(fit.absent)}; add them as root with ip address add"
        )
    yield from _ways(fit.ways, {check.limit: check.title for check in fit.checks})
    if fit.reservation:
        yield ""
        yield from _reservation(fit.reservation)
    yield ""
    yield from _cost(fit)
    yield from _traffic(fit.traffic)
    if fit.churn:
        yield from _churn(fit.churn)
    if fit.machine:
        yield from _machine(fit.machine)
    if fit.nat:
        yield from _nat(fit.nat)


def applied_lines(done: Sequence[Change], refused: Sequence[tuple[Change, str]]) -> Iterator[str]:
    for change in done:
        yield from wrapped("set ", f"{change.name} = {_value(change.after)} (was {_value(change.before)})")
    if done:
        yield from wrapped("", "fourtuple undo restores the previous values")
    for change, why in refused:
        yield from wrapped("not set ", f"{change.name} = {_value(change.after)}: {why}")
    if not (done or refused):
        yield "no setting needs to be changed"


def undone_lines(done: Sequence[Change], refused: Sequence[tuple[Change, str]], elsewhere: int) -> Iterator[str]:
    for change in done:
        yield from wrapped("", f"{change.name} = {_value(change.after)} restored (was {_value(change.before)})")
    for change, why in refused:
        yield from wrapped("left unchanged  ", f"{change.name}: {why}")
    if not (done or refused):
        yield from wrapped("", f"nothing to undo{' in this network namespace' if elsewhere else ''}")
    if elsewhere:
        others = _some(elsewhere, "setting")
        yield from wrapped(
            "", f"{others} in other network namespaces remain: run fourtuple undo there, or undo --forget"
        )


def _value(value: str) -> str:
    """A value of a sysctl; a list of ports may be empty, and has no space at which a line could end."""
    return value.replace(",", ", ") or "none"


def _where(fit: Fit) -> str:
    more = f" … ({format_count(fit.destinations)})" if fit.destinations > 1 else ""
    sources = f" … ({format_count(fit.sources)})" if fit.sources > 1 else ""
    return f"to {fit.first_destination}{more} from {fit.first_source}{sources}"


def _answer(fit: Fit) -> str:
    if fit.says is Says.UNKNOWN:
        titles = [check.title for check in fit.checks if check.says is Says.UNKNOWN]
        return f"unknown whether it fits, because of {_list(list(dict.fromkeys(titles)))}"
    if fit.says is Says.OK:
        if fit.fits:
            return "fits, if what is assumed is true" if fit.assumed else "fits"
        if not fit.blocked:
            return "the connections fit; whether the NAT gateway has ports for them is unknown"
        extras = (("churn", fit.churn), ("split over machines", fit.machine), ("NAT gateway", fit.nat))
        failing = [name for name, extra in extras if extra and not extra.fits]
        return f"the connections fit; the {' and the '.join(failing)} {'do' if len(failing) > 1 else 'does'} not"
    if fit.says is Says.PERHAPS:
        return f"may fit; {format_count(fit.room.least if fit.room else 0)} fit for certain"
    return f"does not fit: {format_count(fit.wanted_each - (fit.room.most if fit.room else 0))} too many"


def _check(check: Check) -> TableRow:
    room = check.note if check.room is None else format_interval(check.room)
    return TableRow((check.title, "" if check.says is Says.UNKNOWN else room, WORDS[check.says]))


def _ways(ways: Sequence[Way], titles: Mapping[str, str]) -> Iterator[str]:
    """The ways past the limits. titles: of the limits; shown if several block, for then one way past each is needed"""
    several = len({way.limit for way in ways}) > 1
    if several:
        yield ""
        yield from wrapped("", "several limits block: choose one way past each of them")
    for root, head in ((False, "to make it fit without root"), (True, "to make it fit with root")):
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


def _reservation(reservation: Reservation) -> Iterator[str]:
    """Which ports a wider range must leave alone, who names them, and what nobody can know."""
    claims = reservation.by_claimant()
    besides = ", in addition to those that are" if reservation.before else ""
    yield from wrapped(
        "reserved  ",
        f"with {reservation.first}-{reservation.last} any connect() of this network namespace could take the ports of"
        f" services. {_some(reservation.added, 'port')} would be reserved{besides};"
        f" {format_count(reservation.usable)} stay usable. Other namespaces have their own settings",
    )
    for by, ports in itertools.islice(claims.items(), CLAIMANTS):
        shown = ports if len(ports) <= PORTS_TEXT else f"{ports[:PORTS_TEXT].rpartition(',')[0]} …"
        yield from wrapped("  ", f"{_value(shown)}: {by}")
    if len(claims) > CLAIMANTS:
        yield from wrapped("  ", f"… and of {len(claims) - CLAIMANTS} more (--json)")
    unread = f", and what this user may not read: {_list(reservation.unread)}" if reservation.unread else ""
    yield from wrapped(
        "not known ", f"ports of services that are down now and that no unit or known configuration names{unread}"
    )


def _cost(fit: Fit) -> Iterator[str]:
    there = "for the server ends on this host" if fit.here else "at the other end"
    client, server = format_size(fit.client_bytes), format_size(fit.server_bytes)
    yield from wrapped(
        "memory    ",
        f"{client} of kernel memory for the client ends, {server} {there}; {format_size(fit.user_bytes)} for hold",
    )
    rate = f"{format_rate(fit.rate_per_s)}, {fit.rate_because}"
    yield from wrapped(
        "time      ", f"about {format_duration(fit.elapsed_s)} at {rate}{'' if 'requested' in rate else ' (--rate)'}"
    )


def _traffic(traffic: Traffic) -> Iterator[str]:
    """What messages take of the CPUs and of the link: estimates, with their basis."""
    yield from wrapped(
        "CPU       ",
        f"about {_about(traffic.cpus)} at each end; this host has {traffic.cpus_here}: {traffic.load},"
        f" {traffic.load.cpu_text}",
    )
    rate = f"{_about(traffic.bits_per_s / 1e6)} Mbit/s with headers"
    yield from wrapped("bandwidth ", f"about {rate}; {traffic.link}")


def _about(number: float) -> str:
    """Two significant digits."""
    return f"{float(f'{number:.2g}'):,g}"


def _churn(churn: Churn) -> Iterator[str]:
    word, most = "fits" if churn.fits else "does NOT fit", format_rate(churn.ceiling_per_s)
    yield from wrapped(
        "churn     ",
        f"{format_rate(churn.per_s)} {word}: at most {most} while the others are held, and at most"
        f" {format_rate(churn.each_per_s)} from one source to one destination. The client closes first, and its 4-tuple"
        f" stays in use for {format_duration(churn.kept_s)}",
    )


def _machine(machine: Machine) -> Iterator[str]:
    word = "which fits" if machine.fits else "which does NOT fit: memory, or a limit above"
    addresses = _some(machine.sources, "source address", "es")
    total = _some(machine.machines * machine.sources, "address", "es")
    yield from wrapped(
        "machines  ",
        f"{format_count(machine.machines)} like this one, with {format_count(machine.wanted)} connections each, {word}."
        f" Each needs {addresses}, {format_size(machine.kernel_bytes)} of kernel memory and"
        f" {format_duration(machine.elapsed_s)}; {total} in total",
    )


def _nat(nat: NatBudget) -> Iterator[str]:
    whose = "all connections" if nat.one_each else "connections to the same destination"
    closing = f", {format_count(nat.closing)} of them closed ones" if nat.closing else ""
    room = "" if nat.room is None else f", room for {format_count(nat.room)}"
    kept = f"; a closed connection keeps its port for {format_duration(nat.kept_s)}" if nat.kept_s else ""
    quiet = f". An idle connection loses its port after {format_duration(nat.quiet_s)}" if nat.quiet_s else ""
    note = f". {nat.note[:1].upper()}{nat.note[1:]}" if nat.note else ""
    yield from wrapped(
        "NAT       ",
        f"{nat.title}: {_some(nat.each, 'port')} for {whose}{closing}{room}:"
        f" {_nat_answer(nat)}{quiet}{kept}{note} ({nat.source}; read {nat.read})",
    )


def _nat_answer(nat: NatBudget) -> str:
    share = f"; set {format_things(nat.slice_ports, 'port')} for each machine" if nat.slice_ports else ""
    if nat.unknown:
        return f"UNKNOWN, {nat.unknown}"
    if nat.share is Share.MACHINE:
        if nat.fits:
            return "fits"
        more = (
            f"; {_some(nat.addresses_wanted, 'public address', 'es')} would be enough" if nat.addresses_wanted else ""
        )
        return f"does NOT fit: each machine has {format_count(nat.each_address or 0)}{more}"
    if nat.slice_ports and nat.each_address and nat.slice_ports > nat.each_address:
        return f"does NOT fit: a machine would need more than the {format_count(nat.each_address)} of a public address"
    if nat.addresses_wanted is None:
        return "does NOT fit, nor with more public addresses: use more destinations, machines or gateways"
    if nat.fits:
        return f"fits through {_some(nat.addresses, 'public address', 'es')}{share}"
    needed = _some(nat.addresses_wanted, "public address", "es")
    return f"does NOT fit: {needed} needed, {nat.addresses} planned{share}"


def _some(count: int, noun: str, plural: str = "s") -> str:
    return f"{format_count(count)} {noun}{plural if count != 1 else ''}"


def _list(names: Sequence[str]) -> str:
    return ", ".join(names[:4]) + (f" … ({len(names)})" if len(names) > 4 else "")
