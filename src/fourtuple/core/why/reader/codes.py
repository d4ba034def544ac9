"""What a short text asks about a session: a status of HTTP, a close code, a reason code, or a reason of our own.

`status 502` or `unsupported protocol` in a log may be about anything, so only a text that is no more than that counts.
"""

import re
from collections.abc import Mapping
from types import MappingProxyType

from fourtuple.core.late import late_pattern
from fourtuple.core.why.reader.match import pattern_of
from fourtuple.core.why.reader.session_texts import CLOSE_CODES, MQTT_CODES, OF_CLASS, OURS, STATUSES, Causes
from fourtuple.core.why.reader.tls_texts import BARE

MOST = 200  # characters of such a text
_STATUS = late_pattern(
    r"(?:(?:http[ /:]*(?:1\.[01] |2(?:\.0)? )?)?(?:status|error|response)?(?: ?code)?[ :=]{0,2})?(?P<status>[1-5]\d\d)"
    r"(?: \(?(?P<phrase>[a-z][a-z' -]{2,40})\)?)?[.!?]?"
)
_PHRASES = frozenset(
    {
        *("bad request", "unauthorized", "forbidden", "not found", "method not allowed", "request timeout"),
        *("proxy authentication required", "request time-out", "too many requests", "client closed request"),
        *("internal server error", "bad gateway", "service unavailable", "service temporarily unavailable"),
        *("gateway timeout", "gateway time-out", "upgrade required"),
    }
)
_CLOSE = late_pattern(
    r"(?:(?:websockets?|wss?)[ :-]{0,2}(?:error ?)?)?(?:was |connection )?"
    r"(?:close[sd]?|disconnected|closing|received|sent)?(?: frame| event| status)?(?: with)?(?: ?code)?"
    r"[ :=(]{0,3}(?P<code>[134]\d{3})\)?(?: ?[:(,;].*)?"
)
_OF_CLOSE = late_pattern(r"(?:was |connection )?(?:web|ws|close|closing|disconnected|received|sent|code)")
_NAMED = late_pattern(r"(?P<code>[13]\d{3})[ :,(-]{1,3}(?P<words>[a-z].*)")
_REASON = late_pattern(
    r"(?:mqtt|connack|suback|disconnect)(?: (?:reason|return|result))?(?: code)?[ :=]{0,3}(?P<code>\d{1,3})"
)
_CURL = late_pattern(r"curl(?: error| exit(?: code| status)?| code)?[ :(#]{0,3}(?P<code>\d\d)\)?")
_OF_CURL: Mapping[int, Causes] = MappingProxyType(
    {35: ("tls-failed",), 51: ("tls-name",), 60: ("tls-chain", "tls-unknown-ca", "tls-self-signed", "tls-expired")}
)
_OF_MQTT = tuple(named for each in MQTT_CODES.values() for named in each)


def causes_of(folded: str) -> Causes:
    """The causes of what the folded text asks about; none: it asks about something else."""
    if len(folded) > MOST:
        return ()
    if causes := BARE.get(folded):
        return causes
    if not re.search(r"\d", folded):  # all of these codes are numbers
        return _ours(folded)
    if (match := _STATUS.fullmatch(folded)) and _is_status(folded, match):
        return causes_of_status(int(match["status"]))
    if (match := _CLOSE.fullmatch(folded)) and _OF_CLOSE.match(folded):
        return causes_of_close(int(match["code"]))
    if (match := _NAMED.fullmatch(folded)) and match["words"].startswith(_words_of_close(int(match["code"]))):
        return causes_of_close(int(match["code"]))
    if match := _REASON.fullmatch(folded):
        return causes_of_reason(int(match["code"]))
    if match := _CURL.fullmatch(folded):
        return _OF_CURL.get(int(match["code"]), ())
    return _ours(folded)


def causes_of_number(number: int) -> Causes:
    """The causes that a number alone may stand for: as a status, a close code, a reason code of MQTT from 128 on."""
    if number in STATUSES:
        return STATUSES[number]
    if number in CLOSE_CODES:
        return causes_of_close(number)
    return causes_of_reason(number) if number >= 128 else ()


def causes_of_status(status: int) -> Causes:
    return STATUSES.get(status) or OF_CLASS[status // 100]


def causes_of_close(code: int) -> Causes:
    if code in CLOSE_CODES:
        return (CLOSE_CODES[code][0],)
    return ("ws-own-code",) if code >= 3000 else ()


def _words_of_close(code: int) -> tuple[str, ...]:
    return tuple(CLOSE_CODES[code][1]) if code in CLOSE_CODES else ()


def causes_of_reason(code: int) -> Causes:
    return (MQTT_CODES[code][0][1],) if code in MQTT_CODES else ()


def _is_status(folded: str, match: re.Match[str]) -> bool:
    """Whether a number is a status of HTTP: it is called so, or the registry's phrase stands behind it.

    `HTTP 502` is about connections, `HTTP 507` is not.
    """
    said, status = folded[: match.start("status")], int(match["status"])
    if match["phrase"] is not None:
        return match["phrase"] in _PHRASES and not said.startswith("http/")
    return "status" in said or ("http" in said and status in STATUSES)


def _ours(folded: str) -> Causes:
    """The causes of a reason of our own sessions, without the kind that stands before it."""
    if folded in ("closed", "text: closed"):
        return ("session-closed",)
    if folded.count(" ") >= 2 and (causes := [cause for words, cause in _OF_MQTT if words == folded]):
        return causes[:1]
    found = (
        (len(line), causes)
        for reasons in OURS.values()
        for causes, text in reasons.items()
        for line in text.split("\n")
        if not line.startswith("*") and folded.startswith(_literal(line)) and pattern_of(line).match(folded)
    )
    return max(found, default=(0, ()))[1]


def _literal(text: str) -> str:
    """What a phrase begins with, up to its first `*` or `#`."""
    return text.replace("#", "*").partition("*")[0]
