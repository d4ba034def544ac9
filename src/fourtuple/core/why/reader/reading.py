"""Texts of any length, read as a stream in constant memory, become findings.

The text is read in blocks. Each is folded as a whole, and searched once for all anchors; only events around a line with
an anchor are read closely. The blocks depend on the text alone, so the findings do not depend on how it arrives.
"""

import codecs
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from functools import lru_cache

from fourtuple.core.numbers import signed_number_of
from fourtuple.core.record import dataclass
from fourtuple.core.why.findings import Finding, Phrase
from fourtuple.core.why.reader import codes, proxies, states
from fourtuple.core.why.reader.ends import called, ends_of
from fourtuple.core.why.reader.errnos import LINUX, WINDOWS, named_errors, number_on_linux, of_number
from fourtuple.core.why.reader.events import Lines
from fourtuple.core.why.reader.fold import fold
from fourtuple.core.why.reader.groups import Groups
from fourtuple.core.why.reader.match import Matcher
from fourtuple.core.why.reader.mentions import is_of_client
from fourtuple.core.why.reader.messages import ENGLISH
from fourtuple.core.why.reader.numbers import number_alone, number_in
from fourtuple.core.why.reader.phrases import PHRASES
from fourtuple.core.why.reader.repeats import MOST_TEXT, Repeats
from fourtuple.core.why.reader.said import is_vague, said

BLOCK = 1 << 18  # characters that are searched at once; a longer line is cut to it
MOST_MESSAGE = 16_384  # characters of a line around an anchor that are read closely
MOST_QUESTION = 2_000  # characters of a text that a person may have written
MOST_REMEMBERED = 1_024  # messages
GONE = ("ECONNRESET", "ECONNABORTED", "EPIPE", "ETIMEDOUT", "closed-early", "tls-cut", "session-closed")  # of a peer
_HINTS = (
    *(f"{prefix}{name.lower()}" for name in LINUX for prefix in ("", "wsa")),
    *("ewouldblock", "errno", "os error", "winerror", "socketexception (", "kind: ", "errorkind::", "connect error"),
    *("connect_error", "can't connect to", "connect failed", "bind failed", "bind error", "accept failed"),
    *("socketerrorcode", "error code", "socket error", "system error", "failed: ", "error: ("),
    *map(str, WINDOWS.values()),
    *(f"{word}{number}" for word in ("error ", "error -", "err -", "rc=-") for number in LINUX.values() if number > 20),
    *("stops at", "stop at", "stopped at", "stuck at", "more than", "maxes out", "max out", "tops out", "get past"),
    *("gets past", "get beyond", "limit of", "at most", "caps at", "capped at", "limited to", "only"),
)
_HINTS_OF_STREAMS = tuple(hint for hint in _HINTS if hint not in ("only", "failed: ", "error: (", "error code"))


@dataclass(frozen=True, slots=True)
class TextRead:
    """What was read.

    findings: in the order of their first times, or of the text where it has none
    dropped:  further findings, which were not kept because too many differ from each other
    lines:    how many lines the text has
    cut:      how many lines are longer than BLOCK characters, of which only the beginning was read
    """

    findings: tuple[Finding, ...]
    dropped: int
    lines: int
    cut: int = 0


@lru_cache(maxsize=8)
def _matcher(phrases: tuple[Phrase, ...]) -> Matcher:
    return Matcher(phrases, (*_HINTS_OF_STREAMS, *proxies.HINTS))


def read_findings(chunks: Iterable[bytes | str], phrases: Sequence[Phrase] = PHRASES) -> tuple[Finding, ...]:
    """Return what a text says about failures of connections; see `read_text`."""
    return read_text(chunks, phrases).findings


def read_text(chunks: Iterable[bytes | str], phrases: Sequence[Phrase] = PHRASES) -> TextRead:
    """Read a text that arrives in chunks: a number, an errno, or logs of any length. It may be cut anywhere.

    chunks:  UTF-8, or text
    phrases: what is recognised, in addition to errnos, which are by their names and numbers
    """
    matcher = _matcher(tuple(phrases))
    groups, lines_before, carried = Groups(), 0, ""
    repeats = Repeats(groups)
    cuts: list[int] = []
    blocks = _blocks(chunks, cuts)
    block = next(blocks, "")
    following = next(blocks, None)
    if following is None and len(block) <= MOST_QUESTION and (answer := _question(block, matcher)) is not None:
        return TextRead(answer, 0, block.count("\n"))
    while True:
        text = carried + block
        lines = text.split("\n")[:-1]
        folded = fold(text)
        part = Lines(lines, folded.split("\n"))
        stop = len(lines) if following is None else part.event(len(lines) - 1).start
        if stop == 0:  # one event fills the whole block
            stop = len(lines)
        _read_part(part, folded, stop, lines_before, matcher, groups, repeats)
        repeats.flush(part)
        lines_before += stop
        carried = "".join(f"{line}\n" for line in lines[stop:])
        if following is None:
            return TextRead(groups.in_order(), groups.dropped, lines_before, len(cuts))
        block, following = following, next(blocks, None)


def _read_part(
    part: Lines, folded: str, stop: int, before: int, matcher: Matcher, groups: Groups, repeats: Repeats
) -> None:
    """Read the events of the lines up to `stop`. before: how many lines of the text are before them"""
    hits: dict[int, int] = {}
    for first, last in matcher.hits(folded):
        hits[first] = max(last, hits.get(first, 0))
    done = 0
    for line in hits:
        if done <= line < stop:
            is_one_line = hits[line] == line
            if is_one_line and repeats.take(part, line, before):
                done = line + 1
                continue
            event = part.event(line, done)
            done = max(event.stop, hits[line] + 1)
            findings = _read_event(part, event, hits, before, matcher, groups)
            if is_one_line and len(event) == 1:
                repeats.learn(part, line, findings)


def _read_event(
    part: Lines, event: range, hits: dict[int, int], before: int, matcher: Matcher, groups: Groups
) -> list[Finding]:
    """Read an event, and add what it reports to the groups → the same findings."""
    found: dict[tuple[str, ...], Finding] = {}
    shown: dict[tuple[str, ...], int] = {}  # the line that says it best: the exception, and not the code that raises it
    for line in event:
        if line not in hits:
            continue
        for finding in _said_by(part, line, hits[line], matcher):
            key = (finding.error.removeprefix("WSA"),) if finding.error else finding.causes or (finding.limit,)
            if key in found and len({found[key].destination, finding.destination} - {""}) > 1:
                key = (*key, finding.destination)
            if key not in shown or (part.is_indented(shown[key]) and not part.is_indented(line)):
                shown[key] = line
            found[key] = _joined(found[key], finding) if key in found else replace(finding, where=before + line + 1)
    if not found:
        return []
    if any(map(_is_clear, found.values())):  # it says more than the words around it
        found = {key: each for key, each in found.items() if each.error or each.limit or not is_vague(each.causes)}
    added = []
    frames = [part.framed(line) for line in event]
    stamp = next((frame.stamp for frame in frames if frame.stamp), None)
    program = next((frame.program for frame in frames if frame.program), "")
    pid = next((frame.pid for frame in frames if frame.pid is not None), None)
    host = next((frame.host for frame in frames if frame.host), "")
    for key, finding in found.items():
        whole = _in_context(finding, part, event, before) if len(event) > 1 and finding.error else finding
        whole = replace(
            whole,
            program=whole.program if whole.pid is not None or not program else program,
            pid=whole.pid if whole.pid is not None else pid,
            host=host,
            text=part.lines[shown[key]].strip()[:MOST_TEXT],
        )
        groups.add(whole, stamp)
        added.append(whole)
    return added


def _is_clear(finding: Finding) -> bool:
    return bool(finding.error or finding.limit or (finding.causes and not is_vague(finding.causes)))


def _said_by(part: Lines, line: int, last: int, matcher: Matcher) -> tuple[Finding, ...]:
    """What a line says; if nothing, what it says together with its neighbour, as in wrapped text."""
    return _without_clients(part.folded[line], _all_said_by(part, line, last, matcher))


def _without_clients(line: str, findings: Sequence[Finding]) -> tuple[Finding, ...]:
    """The findings without those that say only that a client has gone."""
    if not findings or not is_of_client(line):
        return tuple(findings)
    return tuple(each for each in findings if (each.error or "".join(each.causes[:1])) not in GONE)


def _all_said_by(part: Lines, line: int, last: int, matcher: Matcher) -> tuple[Finding, ...]:
    message, raw = part.framed(line).message, part.lines[line]
    if len(message) > MOST_MESSAGE:
        return _said_by_pieces(message, matcher)
    if last > line and last < len(part.lines):
        message = " ".join([message, *(part.folded[number] for number in range(line + 1, last + 1))])
    return _remembered(message, matcher) or tuple(proxies.said(raw)) or _wrapped(part, line, matcher)


def _wrapped(part: Lines, line: int, matcher: Matcher) -> tuple[Finding, ...]:
    """What a line says together with the next one, or with the one before, in a phrase that both have a part of."""
    for one, other in ((line, line + 1), (line - 1, line)):
        if one >= 0 and other < len(part.lines) and not part.framed(other).stamp and part.folded[one]:
            first, second = part.framed(one).message, part.folded[other]
            if len(first) + len(second) > MOST_MESSAGE:
                continue
            edge = len(first)
            spans = [match for match in matcher.matches(f"{first} {second}") if match.start < edge < match.end]
            if spans and not any(match.end <= edge or match.start >= edge for match in spans):
                return _remembered(f"{first} {second}", matcher)
    return ()


def _said_by_pieces(message: str, matcher: Matcher) -> tuple[Finding, ...]:
    """What a very long line says: pieces of it are read, which overlap by half."""
    found: dict[tuple[str, str, tuple[str, ...]], Finding] = {}
    for start in range(0, len(message), MOST_MESSAGE // 2):
        for finding in _remembered(message[start : start + MOST_MESSAGE], matcher):
            found.setdefault((finding.error, finding.destination, finding.causes), finding)
    return tuple(found.values())


@lru_cache(maxsize=MOST_REMEMBERED)
def _remembered(message: str, matcher: Matcher) -> tuple[Finding, ...]:
    findings = said(message, matcher)
    if not findings and (number := number_in(message, is_prose=False)) is not None:
        return (Finding(number=number),)
    return tuple(findings)


def _joined(ours: Finding, other: Finding) -> Finding:
    """One failure that two lines of an event report: what the first one does not say is taken from the other."""
    return replace(
        ours,
        error=other.error if other.error.startswith("WSA") else ours.error,
        call=ours.call or other.call,
        source=ours.source or other.source,
        destination=ours.destination or other.destination,
        protocol=ours.protocol or other.protocol,
        port=ours.port or other.port,
        number=ours.number or other.number,
        causes=tuple(dict.fromkeys((*ours.causes, *other.causes))),
        limit=ours.limit or other.limit,
        program=ours.program or other.program,
        system=ours.system or other.system,
    )


def _in_context(finding: Finding, part: Lines, event: range, before: int) -> Finding:
    """The finding with the call and the ends that other lines of its event name, if its own does not."""
    if finding.call and finding.destination:
        return finding
    messages = [part.framed(line).message for line in event]
    line = finding.where - before - 1 - event.start
    text = " ".join(messages)[:MOST_MESSAGE]
    at = len(" ".join(messages[: line + 1]))
    call = finding.call or called(text, at)
    ends = ends_of(text, at, call)
    return replace(
        finding,
        call=call,
        source=finding.source or ends.source,
        destination=finding.destination or ends.destination,
        protocol=finding.protocol or ends.protocol,
        port=finding.port or ends.port,
    )


def _question(text: str, matcher: Matcher) -> tuple[Finding, ...] | None:
    """What a short text says that is one number, one errno, or a sentence; None: read it as a log."""
    folded = " ".join(fold(text).split("\n")).strip()
    if not folded:
        return ()
    shown = text.strip()[:MOST_TEXT]
    if causes := states.causes_of(folded):
        return (Finding(causes=causes, text=shown),)
    number = number_alone(folded)
    if (
        (signed := signed_number_of(folded)) is not None
        and (named := of_number(signed))
        and (named.error.startswith("WSA") or named.error in ENGLISH or signed < 0)
    ):
        return (Finding(named.error, number_on_linux(named.error), system=named.system, text=shown),)
    if number is not None:
        return (Finding(number=number, text=shown),)
    part = Lines([*text.rstrip("\n").split("\n")], fold(text.rstrip("\n")).split("\n"))
    stamped = any(part.framed(line).stamp for line in range(len(part.lines)))
    if (words := re.fullmatch(r"(?:os |socket )?(?:error|errno|err)[ :=]{1,3}(-?\d{1,5})", folded)) and (
        named := of_number(int(words[1]))
    ):
        return (Finding(named.error, number_on_linux(named.error), system=named.system, text=shown),)
    if re.fullmatch(r"[a-z]+", folded) and (errors := named_errors(folded)):
        return (Finding(errors[0].error, number_on_linux(errors[0].error), system=errors[0].system, text=shown),)
    if len(part.lines) > 1:
        return None
    if found := said(part.framed(0).message, matcher, alone=not stamped) or proxies.said(text):
        frame = part.framed(0)
        return tuple(
            replace(
                each,
                program=frame.program if each.pid is None and frame.program else each.program,
                pid=each.pid if each.pid is not None else frame.pid,
                host=frame.host,
                first=frame.stamp.text if frame.stamp else "",
                last=frame.stamp.text if frame.stamp else "",
                text=shown,
            )
            for each in _without_clients(part.folded[0], found)
        )
    if not stamped and (asked := codes.causes_of(folded)):
        return (Finding(causes=tuple(asked), text=shown),)
    number = number_in(part.framed(0).message, is_prose=not stamped)
    return () if number is None else (Finding(number=number, text=shown),)


def _blocks(chunks: Iterable[bytes | str], cuts: list[int]) -> Iterator[str]:
    """Yield the text in blocks of whole lines, of at most BLOCK characters. Their ends depend on the text alone.

    cuts: where the number of characters of each line that was cut is added
    """
    rest, skips = "", False
    for piece in _pieces(chunks):
        rest += piece
        while skips or len(rest) > BLOCK:
            if skips:
                end = rest.find("\n")
                rest, skips = ("", True) if end < 0 else (rest[end + 1 :], False)
                if skips:
                    break
                continue
            end = rest.rfind("\n", 0, BLOCK) + 1
            if not end:
                cuts.append(BLOCK)
            yield rest[:end] if end else f"{rest[:BLOCK]}\n"
            skips, rest = not end, rest[end or BLOCK :]
    if rest:
        yield rest if rest.endswith("\n") else f"{rest}\n"


def _pieces(chunks: Iterable[bytes | str]) -> Iterator[str]:
    """Yield the text in pieces of about BLOCK characters."""
    decoder = codecs.getincrementaldecoder("utf-8")(errors="replace")
    parts: list[str] = []
    size = 0
    for chunk in chunks:
        text = decoder.decode(chunk) if isinstance(chunk, bytes) else chunk
        for start in range(0, len(text), BLOCK):
            parts.append(text[start : start + BLOCK])
            size += len(parts[-1])
            if size >= BLOCK:
                yield "".join(parts)
                parts, size = [], 0
    yield "".join(parts) + decoder.decode(b"", final=True)
