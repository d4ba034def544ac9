"""Whether a text only mentions an error: in a URL, a list of what is retried, a test, source code, or as handled.

An error that a line reports stands at the end of a clause, or after a colon; one that it mentions is the object or the
subject of words such as `handler`, `ignored`, `simulated`.
"""

import re

from fourtuple.core.late import late_pattern

_TARGETS = late_pattern(
    r"\b(?:get|post|put|head|delete|patch|options) (?P<request>/\S*)"
    r"|\b(?:https?|wss?)://(?!unix:)[^/\s\"'?]+(?P<path>[/?][^\s\"'>),;]*)"
    r"|(?P<query>\?[\w.%-]+=\S*)"
)
_NEAR = 60  # characters before and after an error
_NO_REPORT = late_pattern(  # a whole line: a comment, a definition, the subject of a commit
    r"(?://|/\*|#define\b|(?:[-*] )?(?:fix(?:e[sd])?|feat|chore|refactor)\b(?:\([^)]*\))?!?[: ]"
    r"|commit [0-9a-f]{6,40}\b)"
    r"|.{0,80}\b(?:retry[_-]on|retry policy|retr(?:y|i)able (?:errors|codes)|proxy_next_upstream)\b"
)
_BEFORE = late_pattern(
    r"(?:(?<![\w.:-])(?:(?:handler|rule|alert|hook|callback|policy|test) for|handles?|handling"
    r"|ignore[sd]?|ignoring|simulat(?:e|es|ed|ing)|inject(?:s|ed|ing)?"
    r"|mock(?:s|ed|ing)?|avoid(?:s|ed|ing)?|prevent(?:s|ed|ing)?|fix(?:e[sd]|ing)?|retry(?:ing)? on|retries on|except"
    r"|catch(?:es|ing)?|expect(?:s|ed|ing)?|test(?:s|ed|ing)?|without|no|zero|0) (?:an? |the |any |more |further )*"
    r"[\"'(\[]*|[=!]== ?[\"'(]?(?:\w+\.)*|[=!]= ?[\"'(]?(?:\w+\.)*|errors\.is\(\w+, ?(?:\w+\.)*"
    r"|\bcase (?:\w+\.)*[\"']?)\Z"
)
_AFTER = late_pattern(
    r"[\"')\]]{0,2},? ?(?:(?:errors?|exceptions?|events?|failures?|is|are|was|were|has been|have been|will be|gets?|on)"
    r" )*(?:(?:handle[rd]s?|handling|callbacks?|hooks?|polic(?:y|ies)|rules?|metrics?|counters?|detectors?|detection"
    r"|tests?|recovered|ignored|suppressed|simulated|simulation|injected|injection|mocked|expected|enabled|disabled"
    r"|returned (?:if|when)|resolved|fixed|passed)\b(?! ?(?:failed|fails)\b)|\.{3} ok\b)"
    r"|,? ?(?:errors?|failures?)?\W{0,3}(?:=|:) ?0\b(?![.\d])"
)
# nginx, Apache and Envoy report as information what ends the connections of clients: they come and go. HAProxy's line
# without a session is one that a client ended before it had asked for anything (configuration manual, 8.2.4).
_FOR_INFORMATION = late_pattern(r"\[(?:\w+:)?(?:info|notice|debug|trace\d?)\]")
_CLIENT_ENDED = late_pattern(
    r"\bclient (?:[\w.:\[\]]+ )?(?:prematurely )?(?:closed|timed out)"
    r"|\bdownstream\b.{0,40}\b(?:reset|closed?|closing|timeout|error)"
)
_CLIENT, _OTHER_END = late_pattern(r"\bclient:? "), late_pattern(r"\bupstream\b|\bbackend\b|\bproxy:")
_NO_SESSION = late_pattern(r":\d{1,5} \[\d\d/[a-z]{3}/\d{4}:[\d:.]+\] [\w.~-]+/[\w.:~-]+: ")


def is_of_client(line: str) -> bool:
    """Whether a folded line reports, as information, how a client of the program that logs it ended its connection."""
    if not _FOR_INFORMATION.search(line):
        return bool(_NO_SESSION.search(line))
    return bool(_CLIENT_ENDED.search(line) or (_CLIENT.search(line) and not _OTHER_END.search(line)))


def without_targets(message: str) -> str:
    """The message with blanks instead of the paths and queries of its URLs and requests; all else stays in place."""
    return _TARGETS.sub(_blanked, message) if "/" in message or "?" in message else message


def _blanked(match: re.Match[str]) -> str:
    part = next(name for name, text in match.groupdict().items() if text is not None)
    start, end = match.start(part) - match.start(), match.end(part) - match.start()
    return f"{match[0][:start]}{' ' * (end - start)}{match[0][end:]}"


def is_mention(message: str, start: int, end: int) -> bool:
    """Whether the error between these places of the message is only mentioned."""
    return bool(
        _NO_REPORT.match(message, 0, start)
        or _BEFORE.search(message, max(0, start - _NEAR), start)
        or _AFTER.match(message, end, end + _NEAR)
    )
