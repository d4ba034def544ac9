"""Why connections stop, as text: each failure with its likeliest cause first, the evidence, the remedies, their price.

Several failures come on a time line first, which tells first causes and consequences apart.
"""

from collections.abc import Iterator, Sequence

from fourtuple.core.units import format_count
from fourtuple.core.visible import visible
from fourtuple.core.why.findings import Finding
from fourtuple.core.why.judge import Explained, Explanation, Why
from fourtuple.core.why.leads import stopped_at
from fourtuple.core.why.reader.frames import message_of
from fourtuple.faces.text.lines import MOST, width, wrapped
from fourtuple.faces.text.tables import Column, TableRow, table_lines
from fourtuple.faces.text.words import several_addresses

SHOWN = 3  # causes shown in full; the others share a line
MOST_CURES, FEWER_CURES = 5, 3  # of the first cause, and of the others
MOST_NOW = 4  # sentences of what the host says now
BESIDE = 8  # columns that the heading of a pasted text leaves beside it
TIMELINE = (Column(least=3), Column(is_text=True), Column(), Column(is_text=True))  # number, time, how often, what
UNLIKELY = 8  # points behind the first cause


def why_lines(why: Why, *, everything: bool = False) -> Iterator[str]:
    if not why.findings:
        yield from _nothing(why)
    elif len(why.findings) == 1:
        yield from _one(why.findings[0], why, everything=everything)
    else:
        yield from _timeline(why)
        for number, each in enumerate(why.findings, 1):
            yield ""
            if each.follows is not None and not everything:
                yield from _consequence(each, f"-- {number}  ")
            else:
                yield from _one(each, why, f"-- {number}  ", everything=everything)
    for number, sentence in enumerate(why.unseen):
        if not number:
            yield ""
        yield from wrapped("          " if number else "not seen  ", sentence)


def _nothing(why: Why) -> Iterator[str]:
    if why.pasted:
        yield from wrapped("", f"no known failure in this text: it is output of {why.pasted}, of another host")
        yield from wrapped("  do        ", "fourtuple doctor --from - reads it, and says what limits that host")
        return
    yield "no known failure in this text"
    yield from wrapped(
        "  do        ",
        "give the line of the log that reports the error; fourtuple limits DEST shows this host's limits",
    )


def _timeline(why: Why) -> Iterator[str]:
    """One row for each failure, in the order of time."""
    total = sum(each.finding.count for each in why.findings)
    timed = "in the order of time" if any(each.finding.first for each in why.findings) else "in the order of the text"
    yield from wrapped("", f"{format_count(total)} failures of {len(why.findings)} kinds, {timed}:")
    rows = [
        TableRow((str(number), _clock(each.finding), _count(each.finding), f"{_what(each)}{_after(each)}"))
        for number, each in enumerate(why.findings, 1)
    ]
    yield from table_lines(TIMELINE, rows)


def _after(each: Explained) -> str:
    return "" if each.follows is None else f"; may follow from {each.follows + 1}"


def _clock(finding: Finding) -> str:
    """The time of its first report, short; `line 12` where it gives none."""
    if not finding.first:
        return f"line {finding.where}"
    return visible(finding.first.partition("T")[2].partition(".")[0].partition("+")[0] or finding.first)[:20]


def _count(finding: Finding) -> str:
    return f"{format_count(finding.count)}×"


def _one(each: Explained, why: Why, prefix: str = "", *, everything: bool) -> Iterator[str]:
    yield from wrapped(prefix, f"{_heading(each)}: {'; or '.join(each.means)}" if each.means else _heading(each))
    for resolved in why.resolved:
        least = f"; {each.target} has the least room" if len(resolved.used) > 1 else ""
        yield from wrapped("name   ", f"{several_addresses(resolved)}{least}")
    if each.subject:
        yield from wrapped("where  ", each.subject)
    if not each.explanations:
        yield ""
        yield "no known cause matches"
        yield from wrapped(
            "  do        ", "fourtuple limits DEST shows which limit stops connections, and at which number"
        )
        return
    yield from _explanations(each.explanations, everything=everything)
    if each.open:
        yield ""
        yield from wrapped("open   ", each.open)
    if each.host_now:
        yield ""
        yield from wrapped("", f"{_whose_state(each, why)}:")
        for sentence in each.host_now if everything else each.host_now[:MOST_NOW]:
            yield from wrapped("   ", sentence)


def _whose_state(each: Explained, why: Why) -> str:
    """The heading of what the host says that is no evidence, and why it is none."""
    if why.source:
        return f"state of that host in {visible(why.source)} (perhaps of another moment, so it rules nothing out)"
    whose = f"state of {'that namespace' if each.subject else 'this host'} now"
    if each.here_now:
        return f"{whose} (the text has no time, so this does not rule anything out)"
    return f"{whose} (the text is of another time or place, so this is no evidence)"


def _consequence(each: Explained, prefix: str) -> Iterator[str]:
    """A failure that an earlier one may explain, and the next best cause if it does not."""
    yield from wrapped(prefix, f"{_heading(each)}: may be a consequence of {(each.follows or 0) + 1}")
    own = [explanation for explanation in each.explanations if not explanation.brought][:1]
    for explanation in own:
        yield from wrapped("   if not   ", explanation.says)
        yield from _cures(explanation, FEWER_CURES, set())
        yield "   --all shows every cause"


def _explanations(explanations: Sequence[Explanation], *, everything: bool) -> Iterator[str]:
    best = explanations[0]
    likely = [each for each in explanations if each.score >= 0 and each.score > best.score - UNLIKELY]
    likely = [each for each in likely if each is best or not _is_doubtful(each, best)]
    likely = likely or list(explanations[:1])
    shown = explanations if everything else likely[:SHOWN]
    printed: set[str] = set()
    for number, explanation in enumerate(shown, 1):
        yield ""
        most = len(explanation.cures) if everything else MOST_CURES if number == 1 else FEWER_CURES
        yield from _explanation(number, explanation, most, printed)
    rest = [] if everything else [each for each in explanations if each not in shown]
    if rest:
        yield ""
        yield from wrapped("less likely  ", "; ".join(explanation.says for explanation in rest) + " (--all)")


def _is_doubtful(explanation: Explanation, best: Explanation) -> bool:
    """Whether the host speaks against this cause, and for the best one."""
    return bool(best.evidence and not explanation.evidence and (explanation.against or explanation.contrary))


def _heading(each: Explained) -> str:
    """What the text says failed, in few words; else the text itself."""
    finding, known = each.finding, []
    if (number := stopped_at(finding)) is not None:
        known.append(format_count(number))
    if finding.error:
        known.append(f"{finding.error} at {finding.call}()" if finding.call else finding.error)
    end = each.target or finding.destination
    if known and end and finding.call not in ("bind", "listen", "accept"):
        known.append(f"to {visible(end)}")
    text, room = visible(message_of(finding.text)), min(MOST, width()) - BESIDE
    return " ".join(known) or (text if len(text) <= room else f"{text[: room - 1]}…")


def _what(each: Explained) -> str:
    """A failure on the time line: what failed, and in which program."""
    program = f" of {visible(each.finding.program)}" if each.finding.program else ""
    if not each.finding.error and stopped_at(each.finding) is None and each.explanations:
        return f"{each.explanations[0].says}{program and f', reported by {visible(each.finding.program)}'}"
    return f"{_heading(each)}{program}"


def _explanation(number: int, explanation: Explanation, most: int, printed: set[str]) -> Iterator[str]:
    """One cause. most: of its remedies; printed: the remedies that are above already, to which its own are added"""
    yield from wrapped(f"{number}  ", explanation.says)
    yield from _listed("evidence", explanation.evidence)
    yield from _listed("against", explanation.against)
    yield from _listed("note", explanation.notes)
    yield from _cures(explanation, most, printed)


def _cures(explanation: Explanation, most: int, printed: set[str]) -> Iterator[str]:
    """The first remedies, each once: of those that are above already, only how many."""
    first = explanation.cures[:most]
    label = "do"
    for cure in first:
        if cure.do in printed:
            continue
        yield from wrapped(f"   {label:<9}", f"{cure.do} ({cure.needs})" if cure.needs else cure.do)
        if cure.costs:
            yield from wrapped("            costs: ", cure.costs)
        label = ""
    if again := sum(cure.do in printed for cure in first):
        every = "as above" if again == len(first) else f"also {again} of the remedies above"
        yield from wrapped(f"   {label:<9}", every)
    printed.update(cure.do for cure in first)


def _listed(label: str, texts: tuple[str, ...]) -> Iterator[str]:
    for text in texts:
        yield from wrapped(f"   {label:<9}", text)
        label = ""
