"""At which number connections stop, in words that people write. A number with no such word beside it is none."""

import re
from decimal import Decimal

from fourtuple.core.late import late_pattern
from fourtuple.core.numbers import number_of

LEAST = 50  # connections; smaller numbers say nothing about a limit
_DIGITS = r"\d{1,3}(?:[,.'_ ]\d{3})+(?!\d)|\d+(?:\.\d+|,\d{1,2}(?= ?(?:m|mln|mio|million)\b))?"
_AMOUNT = rf"(?P<digits>{_DIGITS}) ?(?P<unit>k|m|mln|million|thousand|mio)?"
_ABOUT = (
    r"(?:about|around|roughly|approximately|approx\.?|nearly|almost|some|exactly|~|≈|circa|ca\.?|just over|just under)"
)
_UNITS = (
    r"(?:connections|ports|file descriptors|open files|conns|sockets|clients|sessions|users|websockets|peers"
    r"|devices|open|established|of them)"
)
_COUNTED = r"(?:connections|conns|sockets|sessions|websockets|open|established|of them)"
_ABOUT_CONNECTIONS = late_pattern(
    r"connect|socket|client|server|host|port\b|sessions|users|open\b|tcp|http|mqtt|proxy|load"
)
# What may follow a number that nothing is said to count: the end of a clause, or a word that begins another one.
_ENDS_SO = late_pattern(
    r" ?(?:\Z|[^\w ]|(?:and|but|or|then|to|on|in|at|per|for|from|with|when|if|while|until|before|after|because|since|no"
    r"|concurrent|simultaneous|parallel|open|tcp|of (?:them|these|those)|it|we|the|so|as|between|towards?|against|again"
    r"|now|here|there|every|each|max(?:imum)?|only|even|though|although|regardless|whatever|which|that|i)\b)"
)
SHORT = 40  # characters of a text that needs no such word
_ADJECTIVES = (
    r"(?:(?:concurrent|simultaneous|open|active|parallel|tcp|idle|outgoing|incoming|client|websocket"
    r"|mqtt|ws|http) ){0,3}"
)
_END = (
    r"(?![\w:/%-]|[.,]\d| ?(?:ms|s|us|sec|seconds?|minutes?|hours?|days?|bytes?|kb|mb|gb|kib|mib|gib"
    r"|requests?|req|rps|qps|lines?|%)\b)"
)
_STOPS = (
    r"(?:stop(?:s|ped)?|stuck|stall(?:s|ed)?|hang(?:s)?|cap(?:s|ped)?|plateau(?:s|ed)?|max(?:es|ed)? out|tops?"
    r" out|peak(?:s|ed)?|limited|"
    r"die(?:s|d)?|fail(?:s|ed)?|freezes?|froze|breaks?|end(?:s|ed)?|saturates?|collapses?)"
)
_SENTENCES = tuple(
    late_pattern(pattern)
    for pattern in (
        rf"\b{_STOPS} (?:\w+ )?(?:at|around|near|after|to|with)(?: {_ABOUT})? ?{_AMOUNT}(?:"
        rf" {_ADJECTIVES}(?P<of>{_UNITS}))?{_END}",
        rf"\b(?:no|not|never) more than(?: {_ABOUT})? ?{_AMOUNT}(?: {_ADJECTIVES}(?P<of>{_UNITS}))?{_END}",
        rf"\b(?:past|beyond|above|more than|over|exceeds?)(?: {_ABOUT})? ?{_AMOUNT}(?:"
        rf" {_ADJECTIVES}(?P<of>{_UNITS}))?{_END}",
        rf"\b(?:only|at most|up to|a maximum of|limit of|limit is|limited to)(?: {_ABOUT})? ?{_AMOUNT}(?:"
        rf" {_ADJECTIVES}(?P<of>{_UNITS}))?{_END}",
        rf"\b(?:limit of|limit is|ceiling of|maximum is){_ABOUT}? {_AMOUNT}{_END}",
    )
)
_PROSE = tuple(
    late_pattern(pattern)
    for pattern in (
        rf"{_ABOUT} {_AMOUNT}{_END}",
        rf"(?<![\w.:/,#-]){_AMOUNT} {_ADJECTIVES}(?P<of>{_COUNTED})\b",
        rf"(?<![\w.:/,#-]){_AMOUNT} (?:concurrent|simultaneous|parallel) {_ADJECTIVES}(?P<of>{_UNITS})\b",
    )
)
_ALONE = late_pattern(rf"(?:{_ABOUT} ?)?{_AMOUNT}(?: {_ADJECTIVES}(?P<of>{_UNITS}))?[.!?]?")
_TIMES = {"": 1, "k": 1000, "thousand": 1000, "m": 10**6, "mln": 10**6, "mio": 10**6, "million": 10**6}
_CLAIM = late_pattern(r"\b(?:never|not|can't|cannot|no|doesn't|won't|couldn't|unable)\b")
MOST = 10**12


def number_alone(folded: str) -> int | None:
    """Read a text that is only a number: `28232`, `28,232`, `28k`, `about 28,000`, `1.2 million`; None: it is more."""
    match = _ALONE.fullmatch(folded.strip()) if re.search(r"\d", folded) else None
    return _value(match) if match else None


def number_in(folded: str, *, is_prose: bool) -> int | None:
    """The number at which connections stop, according to a sentence; None: it says none.

    is_prose: a person wrote it; in a log a number also needs what it counts beside it
    """
    if not re.search(r"\d", folded):
        return None
    is_enough = is_prose and (len(folded) <= SHORT or bool(_ABOUT_CONNECTIONS.search(folded)))
    for pattern in _SENTENCES:
        for match in pattern.finditer(folded):
            if not match.groupdict().get("of") and not (is_enough and _ENDS_SO.match(folded, match.end())):
                continue
            if match[0].startswith(("past", "beyond", "above", "more than", "over", "exceed")) and not _CLAIM.search(
                folded[max(0, match.start() - 40) : match.start()]
            ):
                continue
            if (value := _value(match)) is not None and value >= LEAST:
                return value
    if not is_enough:
        return None
    numbers = [
        _value(match)
        for pattern in _PROSE
        for match in pattern.finditer(folded)
        if match.groupdict().get("of") or _ENDS_SO.match(folded, match.end())
    ]
    return max((number for number in numbers if number is not None and number >= LEAST), default=None)


def _value(match: re.Match[str]) -> int | None:
    digits, unit = match["digits"], match["unit"] or ""
    if re.fullmatch(r"\d{1,3}(?:[,.'_ ]\d{3})+", digits) and not (unit and "." in digits):
        digits = re.sub(r"\D", "", digits)
    digits = digits.replace(",", ".")
    if "." not in digits:
        whole = number_of(digits)
        return None if whole is None or whole * _TIMES[unit] > MOST else whole * _TIMES[unit]
    value = Decimal(digits) * _TIMES[unit]  # exact: 32.7k is 32,700
    return int(value) if value <= MOST and value == int(value) else None
