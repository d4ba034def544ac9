"""What the machines of a fleet say about a run: which of them are gone, and where their counts differ from others."""

from collections.abc import Iterable, Iterator, Mapping, Sequence

from fourtuple.core.runs.outcome import Reason
from fourtuple.core.runs.records import MachineResult
from fourtuple.core.runs.together import NOT_TRIED
from fourtuple.core.units import format_count, format_duration

SAID = 3  # machines with the same trouble that get a sentence each; the others are counted

Because = tuple[Reason, str]


def on_machines(machines: Sequence[MachineResult]) -> str:
    """` on 4 machines`; empty for a run without a fleet."""
    count = count_of(machines)
    return f" on {format_count(count)} machine{'s' * (count != 1)}" if machines else ""


def count_of(machines: Sequence[MachineResult]) -> int:
    """How many machines these are; one that took over the share of another has a further result."""
    return len([each for each in machines if not each.instead_of])


def is_gone(machine: MachineResult) -> bool:
    """Whether it was gone before the end, or could not take part."""
    return bool(machine.why) or machine.gone_s is not None


def gone_words(machine: MachineResult) -> str:
    """When it was gone, and why: `gone after 12.3 s: the worker was killed`."""
    when = "took no part" if machine.gone_s is None else f"gone after {format_duration(machine.gone_s)}"
    return f"{when}: {machine.why}" if machine.why else when


def without_gone(by_name: Mapping[str, int], machines: Sequence[MachineResult]) -> dict[str, int]:
    """Counts by errno without what went with machines that are gone, for which machine_reasons() has a sentence."""
    gone = any(map(is_gone, machines))
    return {name: count for name, count in by_name.items() if not (gone and name == NOT_TRIED)}


def untried_there(machines: Sequence[MachineResult]) -> int:
    """Connections that were not opened because their machine was gone."""
    return sum(each.failed.get(NOT_TRIED, 0) for each in machines if is_gone(each))


def is_taken_over(machine: MachineResult, machines: Sequence[MachineResult]) -> bool:
    """Whether other machines held all of its share in its place."""
    return sum(each.held for each in machines if each.instead_of == machine.name) >= machine.wanted > 0


def machine_reasons(machines: Sequence[MachineResult], *, of_server: bool = False) -> Iterator[Because]:
    """A sentence for each machine that is gone, with what was lost with it, the largest share first.

    A client without a share that took no part, and one whose share others have held, is no shortfall.
    """
    missed = [
        each
        for each in machines
        if is_gone(each) and not is_taken_over(each, machines) and (of_server or each.wanted or each.gone_s is not None)
    ]
    share = "it had accepted {}" if of_server else "its share was {}"
    missed.sort(key=lambda each: -each.wanted)
    for each in missed[:SAID]:
        what = share.format(_connections(each.wanted))
        yield Reason.MACHINE, f"Machine {each.name} {_was(each)}; {what}{_instead(each, machines)}."
    if more := missed[SAID:]:
        number = f"{format_count(len(more))} more machine{'s were' if len(more) > 1 else ' was'} gone"
        yield Reason.MACHINE, f"{number}, with {_connections(sum(each.wanted for each in more))}."


def _was(machine: MachineResult) -> str:
    words = gone_words(machine)
    return words if machine.gone_s is None else f"was {words}"


def _instead(machine: MachineResult, machines: Sequence[MachineResult]) -> str:
    others = [each for each in machines if each.instead_of == machine.name]
    if not others:
        return ""
    return f", of which other machines held {format_count(sum(each.held for each in others))}"


def witness_reasons(machines: Sequence[MachineResult]) -> Iterator[Because]:
    """Where a machine's kernel, or the servers', counts other connections than the machine itself."""
    living = [each for each in machines if not is_gone(each)]
    yield from _first(Reason.WITNESSES, filter(None, map(_own_kernel, living)))
    missing = (each for each in living if each.at_servers is not None and each.at_servers < _between(each)[0])
    yield from _first(Reason.NOT_AT_SERVER, map(_at_servers, missing))
    surplus = (each for each in living if each.at_servers is not None and each.at_servers > _between(each)[1])
    yield from _first(Reason.WITNESSES, map(_at_servers, surplus))


def is_contradicted(machine: MachineResult) -> bool:
    """Whether a witness counts other connections than this machine."""
    return next(witness_reasons([machine]), None) is not None


def _own_kernel(machine: MachineResult) -> str:
    census = machine.census
    if census is None:
        return ""
    least, most = (machine.held if bound is None else bound for bound in (census.least, census.most))
    if least <= census.client <= most:
        return ""
    counts = f"{format_count(census.client)}, and the engine {format_count(machine.held)}"
    return f"On {machine.name}, the kernel counts {counts}."


def _at_servers(machine: MachineResult) -> str:
    own = machine.held if machine.census is None else machine.census.client
    there = format_count(machine.at_servers or 0)
    return f"{machine.name} counts {format_count(own)}, and the servers list {there} from its addresses."


def _between(machine: MachineResult) -> tuple[int, int]:
    """How many it had at least and at most while its connections were counted."""
    census = machine.census
    if census is None:
        return machine.held, machine.held
    known = [census.client, *(bound for bound in (census.least, census.most) if bound is not None)]
    return min(known), max(known)


def _first(reason: Reason, sentences: Iterable[str]) -> Iterator[Because]:
    listed = list(sentences)
    yield from ((reason, sentence) for sentence in listed[:SAID])
    if more := len(listed[SAID:]):
        yield reason, f"The counts of {format_count(more)} more machine{'s' * (more > 1)} differ, too."


def _connections(count: int) -> str:
    return f"{format_count(count)} connection{'s' * (count != 1)}"


def is_as_planned(machine: MachineResult, kind: str) -> bool:
    """Whether its share of a hold, churn or serve became what it was to be; a server takes what comes."""
    if is_gone(machine) or machine.failed or (kind == "hold" and is_contradicted(machine)):
        return False
    return kind == "serve" or (machine.held == machine.wanted and not machine.lost)
