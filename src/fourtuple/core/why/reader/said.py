"""What one message says: each error in it with its call and its ends, and the causes that its words suggest."""

import re
from collections.abc import Sequence
from dataclasses import replace

from fourtuple.core.late import late_pattern
from fourtuple.core.why.findings import Finding, System
from fourtuple.core.why.reader.ends import Between, called, ends_of
from fourtuple.core.why.reader.errnos import Named, named_errors, number_on_linux, numbered_on_bsd
from fourtuple.core.why.reader.match import Match, Matcher
from fourtuple.core.why.reader.mentions import is_mention, without_targets
from fourtuple.core.why.reader.numbers import number_alone
from fourtuple.core.why.reader.phrases import SESSIONS, VAGUE, WRAPPERS

# Errors that other things than connections have, too: what must stand in a message that is about connections.
_CALLS = r"\b(?:connect|connecting|bind|binding|listen|accept4?|socket|dial|sendto|sendmsg|setsockopt|getsockopt)\b"
_CONTEXT = {
    "EACCES": rf"{_CALLS}|\bport \d",
    "EPERM": rf"{_CALLS}|limit|nofile|maximum open files|epoll|io_uring",
    "ENOSPC": rf"{_CALLS}|epoll|inotify|\bwatch(?:e[rs]s?|ing)?\b",
    "ENOMEM": rf"{_CALLS}|\btcp\b|\bfork|clone|thread|mmap|epoll|io_uring",
    "EAGAIN": rf"{_CALLS}|fork|thread|clone|unix:"
    r"|\bupstream|\budp\b|\.sock\b|\brecv|\bsend|\bread\b|blockingioerror|socketexception|spawn|system_error",
    "EPIPE": rf"{_CALLS}|\btcp\b|https?\b|upstream|connection|client|server|peer|\bsend|sock|node:|syscall"
    r"|\bwrite epipe|\berror: write",
    "ECONNABORTED": rf"{_CALLS}|connection|socket|client|recv|send",
}
_OTHER_THINGS = late_pattern(
    r"/lock\b|lock-frontend|\block(?:ed|file)?\b.{0,80}(?:dpkg|apt|file)|flock|could not get lock|publickey"
)
# connect() with SO_SNDTIMEO, and programs that wait on their own, end with the errno of a connect() in progress:
# socket(7). It is a timeout where the program says that it has given up.
_IN_PROGRESS = ("EINPROGRESS", "EALREADY")
_GAVE_UP = late_pattern(
    r"\btimed? ?-?out|\btimeout|\bunable to|\bcan't|\bcannot|\bcould ?n[o']t|\bg[ia]v(?:e|ing) up|\bfatal\b"
)
_OF_ANY_WAIT = (  # also of waits for other things than connections
    "context deadline exceeded",
    "asyncio.exceptions.timeouterror",
    "asyncio.timeouterror",
    "deadline has elapsed",
    "the operation has timed out",
)
_OF_CLIENTS = late_pattern(r"https?://|\bdial\b|\btcp\b|\brpc\b|grpc|\bconnect|\bclient\.|\bpost |\bget ")
_CLAUSE = late_pattern(r"[;,](?! port)|\. |\b(?:and|but|then|was|is|lost|closed|failed|after)\b")
_SETTING = late_pattern(r" ?[:=.]+ ?\d| (?:of|is|set to|to|was set) ?\d| ?\(?\d+ ?(?:s|ms|sec|seconds)?\)?$")
_SET = late_pattern(r"[\"']?(?: ?[:=]+ ?[\"']?| )(?:0|false)\b(?!\.\d*[1-9])")
FIRST_OF_CLIENTS = 32_768  # net.ipv4.ip_local_port_range by default: from here on, ports are those of clients
_SYSCTL = late_pattern(r"[a-z]+(?:\.\w+)+")
_VALUE = late_pattern(r"(?: ?[:=]+ ?| )\d")
_NO = late_pattern(r"(?<![\d.,])0 (?:times )?(?:the )?\Z")
_WRITES = late_pattern(r"\b(?:writev?|send(?:to|msg)?): ")
_WRAPPER = late_pattern(r"\[errno -?\d+\]|\berrno\W{0,3}\d+|[\w.]*(?:error|exception)\b|\(\d+\)|\be[a-z]{4,}\b")
_KILLED = late_pattern(r"killed process (\d{1,7})[, ]+\(?([\w./-]{1,40})")
_FLOODED = late_pattern(r"on port (?:\[?[\w.:]*\]?:|[\d.]+\.)?(\d{1,5})\b")
_ON_WINDOWS = late_pattern(r"\b(?:windows|winsock|win32|microsoft|powershell)\b|\bc:/")


def said(message: str, matcher: Matcher, *, alone: bool = False) -> list[Finding]:
    """Return what a message says, at least one finding for each of its errors; empty: nothing about connections.

    message: folded, without its frame
    alone:   the message is the whole text; if it is no more than an error, a person takes it for one of connections
    """
    message = without_targets(message)
    apt = [match for match in matcher.matches(message) if _is_apt(message, match, alone=alone)]
    matches = [match for match in _outermost(apt) if not _is_setting(message, match)]
    matches = [each for each in matches if not is_mention(message, each.start, each.end)]
    named = [each for each in named_errors(message) if not is_mention(message, each.at, each.at + len(each.error))]
    sessions = [match for match in matches if match.phrase.text in SESSIONS]
    found = _of_sockets(message, [match for match in matches if match.phrase.text not in SESSIONS], named, alone=alone)
    least = min((_vagueness(match.phrase.causes) for match in sessions), default=0)
    if not sessions or (found and least):
        return found
    clearest = [match for match in sessions if _vagueness(match.phrase.causes) == least]
    others = [each for each in found if each.error or not is_vague(each.causes)]
    return [*others, _with_client(_with_words(Finding(), message, clearest, at=clearest[-1].end))]


def _with_client(finding: Finding) -> Finding:
    """The finding of a session with its client as the source, whose port differs each time: a server logged it."""
    host, _, port = finding.destination.rpartition(":")
    if not (port.isdecimal() and int(port) >= FIRST_OF_CLIENTS):
        return finding
    return replace(finding, source=host.strip("[]"), destination="")


def is_vague(causes: Sequence[str]) -> bool:
    """Whether they say only that a session or connection ended, so that anything else that is said outranks them."""
    return _vagueness(causes) > 0


def _vagueness(causes: Sequence[str]) -> int:
    return VAGUE.get(causes[0], 0) if causes else 0


def _of_sockets(message: str, matches: list[Match], named: list[Named], *, alone: bool) -> list[Finding]:
    """What a message says of errnos and limits, which is one finding for each error."""
    matches, named = _without_wrappers(matches, named)
    known = {match.phrase.error for match in matches if match.phrase.causes or match.phrase.limit}
    errors = [
        each
        for each in _errors(message, matches, named)
        if each.error in known or _is_about_connections(message, each) or (alone and _is_all(message, matches))
    ]
    limits = [match for match in matches if match.phrase.limit and not match.phrase.error]
    if all(each.error == "ETIMEDOUT" and any(one.start <= each.at < one.end for one in limits) for each in errors):
        errors = []  # the program's own wait: `queuepool limit of size 5 overflow 10 reached, connection timed out`
    suggesting = [match for match in matches if match.phrase.causes or match.phrase.limit]
    general = [match for match in matches if not match.phrase.error]
    if not errors:
        specific = [match for match in suggesting if match.phrase.error in ("", *(each.error for each in errors))]
        if not specific and not general:
            return []
        return [_with_words(Finding(), message, [*specific, *general], at=(specific or general)[-1].end)]
    findings = []
    for number, each in enumerate(errors):
        own = [
            match
            for match in matches
            if (match.phrase.error and _base(match.phrase.error) == _base(each.error))
            or (number == 0 and not match.phrase.error)
        ]
        errno = number_on_linux(each.error)
        findings.append(_with_words(Finding(each.error, errno, system=each.system), message, own, at=each.at))
    return findings


def _without_wrappers(matches: list[Match], named: list[Named]) -> tuple[list[Match], list[Named]]:
    """What is left where an errno says more than the client's words around it."""
    wrapping = {match.phrase.error for match in matches if match.phrase.text in WRAPPERS}
    if not wrapping:
        return matches, named
    # axios gives its own timeout the name ECONNABORTED, and urllib3 the end of a stream `Connection aborted.`
    named = [each for each in named if each.error != "ECONNABORTED"]
    strong = {_base(match.phrase.error) for match in matches if match.phrase.text not in WRAPPERS}
    strong = (strong | {_base(each.error) for each in named}) - {"", "ECONNABORTED"}
    kept = [match for match in matches if match.phrase.error != "ECONNABORTED"]
    return [m for m in kept if m.phrase.text not in WRAPPERS or not strong - {m.phrase.error}], named


def _is_apt(message: str, match: Match, *, alone: bool) -> bool:
    """Whether a loose phrase means a connection here: what its `*` stands for is one end, or the message names one."""
    if match.phrase.text in _OF_ANY_WAIT:
        return (alone and _is_all(message, [match])) or bool(_OF_CLIENTS.search(message))
    return "* timed out" not in match.phrase.text or not _CLAUSE.search(message, match.start, match.end)


def _base(error: str) -> str:
    return error.removeprefix("WSA")


def _outermost(matches: Sequence[Match]) -> list[Match]:
    """The matches without those of an errno's text that lie within a longer one: `too many open files [in system]`.

    So `connection refused: not authorised` is the answer of a broker, and no errno.
    """
    return [
        match
        for match in matches
        if not any(
            (other.phrase.error or _is_of_session(other, match))
            and other.start <= match.start
            and match.end <= other.end
            and (other.end - other.start) > (match.end - match.start)
            for other in matches
        )
        or match.phrase.limit
    ]


def _is_of_session(match: Match, within: Match) -> bool:
    """Whether the match is words of a session that outrank those within: no errno lies in what a `*` stands for."""
    of_session = match.phrase.text in SESSIONS
    return of_session and ("*" not in match.phrase.text or within.phrase.text in SESSIONS)


def _errors(message: str, matches: Sequence[Match], named: Sequence[Named]) -> list[Named]:
    """The errors of a message, each once: those that it names if it does; words outrank a number."""
    in_words = [Named(match.phrase.error, match.start, match.phrase.system) for match in matches if match.phrase.error]
    is_by_name = [each for each in named if message.startswith(_base(each.error).lower(), each.at) or "wsa" in message]
    if named and (is_by_name or not in_words):
        chosen = list(named)
        specific = [match for match in matches if match.phrase.causes and match.phrase.error]
        chosen += [Named(match.phrase.error, match.start, match.phrase.system) for match in specific]
    else:
        chosen = in_words
        windows = {_base(each.error): each.error for each in named if each.system is System.WINDOWS}
        chosen = [
            Named(windows.get(_base(each.error), each.error), each.at, _system(message, each, windows))
            for each in chosen
        ]
    if _GAVE_UP.search(message):
        chosen = [replace(each, error="ETIMEDOUT") if each.error in _IN_PROGRESS else each for each in chosen]
    kept: dict[str, Named] = {}
    for each in chosen:
        first = kept.setdefault(_base(each.error), each)
        if each.error.startswith("WSA") and not first.error.startswith("WSA"):
            kept[_base(each.error)] = replace(each, at=first.at)
        elif each.system and not first.system:
            kept[_base(each.error)] = replace(first, system=each.system)
    return list(kept.values())


def _system(message: str, each: Named, windows: dict[str, str]) -> System | None:
    if _base(each.error) in windows or _ON_WINDOWS.search(message):
        return System.WINDOWS
    return each.system or (System.MACOS if numbered_on_bsd(message, each.error) else None)


def _is_setting(message: str, match: Match) -> bool:
    """Whether it is a setting and its value, or a counter that is zero, not a failure.

    `connect timeout = 5s`, `vm.max_map_count = 65530`, `"oomkilled": false`, `0 syns to listen sockets dropped`.
    """
    if match.phrase.error == "ETIMEDOUT":
        return match.phrase.text.endswith("timeout") and bool(_SETTING.match(message, match.end))
    if _SYSCTL.fullmatch(match.phrase.text):
        return bool(_VALUE.match(message, match.end))
    return bool(_SET.match(message, match.end) or _NO.search(message, 0, match.start))


def _is_about_connections(message: str, each: Named) -> bool:
    needed = _CONTEXT.get(_base(each.error))
    if needed is None or each.error.startswith("WSA"):
        return True
    return bool(re.search(needed, message)) and not _OTHER_THINGS.search(message)


def _is_all(message: str, matches: Sequence[Match]) -> bool:
    """Whether a message says nothing but its error: `OSError: [Errno 28] No space left on device`."""
    if any(match.phrase.error == "EPIPE" for match in matches):  # Go: `write: broken pipe`
        message = _WRITES.sub("", message)
    for match in matches:
        message = message.replace(match.phrase.text, "")
    return not re.search(r"[a-z0-9]", _WRAPPER.sub("", message))


def _with_words(finding: Finding, message: str, matches: Sequence[Match], at: int) -> Finding:
    """The finding with what the message says about its call and ends, and with what the phrases stand for."""
    call = next((match.phrase.call for match in matches if match.phrase.call), "") or (
        called(message, at) if finding.error else ""
    )
    ends = ends_of(message, at, call)
    causes = dict.fromkeys(cause for match in matches for cause in match.phrase.causes)
    limits = [match for match in matches if match.phrase.limit]
    number = next((number_alone(match.number) for match in matches if match.number), None)
    port = ends.port
    if "syn-queue" in causes:
        flooded = _FLOODED.search(message)
        ends, port, number = Between(protocol="tcp"), int(flooded[1]) if flooded else None, None
    killed = _KILLED.search(message) if "memory" in causes else None
    first = max(limits, key=lambda match: match.end - match.start, default=None)
    return replace(
        finding,
        call=call,
        source=ends.source,
        destination=ends.destination,
        protocol=ends.protocol if finding.error or ends.destination or ends.source else "",
        port=port,
        number=number if matches and not _is_port(matches) and finding.error != "ETIMEDOUT" else None,  # no duration
        causes=tuple(causes),
        limit=first.phrase.limit if first else "",
        program=killed[2]
        if killed
        else next((match.phrase.program for match in [*limits, *matches] if match.phrase.program), ""),
        pid=int(killed[1]) if killed else None,
        system=finding.system or next((match.phrase.system for match in matches if match.phrase.system), None),
    )


def _is_port(matches: Sequence[Match]) -> bool:
    return any(match.number and "port #" in match.phrase.text for match in matches)
