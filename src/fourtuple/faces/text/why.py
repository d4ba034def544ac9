"""Why connections stop, as text: the likeliest cause first, with its evidence on this host and its remedies."""

from collections.abc import Iterator

from fourtuple.core.errnos import name_of
from fourtuple.core.units import format_count
from fourtuple.core.visible import visible
from fourtuple.core.why.judge import Explanation, Why
from fourtuple.faces.text.lines import wrapped
from fourtuple.faces.text.words import several_addresses

SHOWN = 3  # causes shown in full; the others share a line
TEXT = 60  # characters of a pasted text that the heading shows


def why_lines(why: Why, *, everything: bool = False) -> Iterator[str]:
    yield from wrapped("", f"{_heading(why)}")
    for resolved in why.resolved:
        least = f"; {why.saying.target} has the least room" if len(resolved.used) > 1 else ""
        yield from wrapped("name   ", f"{several_addresses(resolved)}{least}")
    if not why.explanations:
        yield ""
        yield "no known cause matches"
        yield from wrapped(
            "  do        ", "fourtuple limits DEST shows which limit stops connections, and at which number"
        )
        return
    likely = [explanation for explanation in why.explanations if explanation.score >= 0]
    likely = likely or list(why.explanations[:1])
    others = [explanation for explanation in why.explanations if explanation not in likely]
    shown = why.explanations if everything else likely[:SHOWN]
    for number, explanation in enumerate(shown, 1):
        yield ""
        yield from _explanation(number, explanation)
    rest = [] if everything else [*likely[SHOWN:], *others]
    if rest:
        yield ""
        yield from wrapped("less likely  ", "; ".join(explanation.says for explanation in rest) + " (--all)")


def _heading(why: Why) -> str:
    saying = why.saying
    known = []
    if saying.number is not None:
        known.append(format_count(saying.number))
    if saying.errno and (saying.number is None or not why.means):
        known.append(f"{name_of(saying.errno)} at {saying.call}()" if saying.call else name_of(saying.errno))
    if saying.target:
        known.append(f"to {saying.target}")
    text = visible(" ".join(saying.text.split()))
    head = " ".join(known) or (text if len(text) <= TEXT else f"{text[: TEXT - 1]}…")
    return f"{head}: {'; or '.join(why.means)}" if why.means else head


def _explanation(number: int, explanation: Explanation) -> Iterator[str]:
    yield from wrapped(f"{number}  ", explanation.says)
    yield from _listed("evidence", explanation.speaks_for)
    yield from _listed("against", explanation.speaks_against)
    yield from _listed("note", explanation.besides)
    yield from _listed("do", explanation.do)


def _listed(label: str, texts: tuple[str, ...]) -> Iterator[str]:
    for text in texts:
        yield from wrapped(f"   {label:<9}", text)
        label = ""
