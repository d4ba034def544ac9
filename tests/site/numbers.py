"""The page of errnos and numbers, from the tables behind `why`."""

import os
from collections.abc import Iterable, Iterator, Sequence

from fourtuple.core.units import format_count
from fourtuple.core.why.causes import CAUSES
from fourtuple.core.why.leads import ERRORS, PLATEAUS, Plateau
from fourtuple.core.why.reader.codes import causes_of_close, causes_of_reason
from fourtuple.core.why.reader.errnos import LINUX
from fourtuple.core.why.reader.session_texts import CLOSE_CODES, MQTT_CODES, STATUSES

HEAD = """\
What a number or an errno usually means when connections fail, the likeliest cause first. `fourtuple why NUMBER` says
for which of the causes this host has evidence, and what to do.

Four of them: 28,232 is the size of the default port range, where connections to one destination stop; 99 is
EADDRNOTAVAIL; 1013 is a close code of WebSocket; and 65,535 is how many ports an address has, which by itself limits
nothing."""


def numbers() -> str:
    return "\n".join(_page()) + "\n"


def _page() -> Iterator[str]:
    yield "# Errnos and numbers"
    yield ""
    yield HEAD
    yield ""
    yield "## Numbers at which connections stop"
    yield ""
    yield from _table(("number", "what it is", "causes"), map(_plateau, PLATEAUS))
    yield "## Errnos of Linux"
    for name, number in sorted(LINUX.items(), key=lambda pair: pair[1]):
        yield ""
        yield f"### {number} {name}"
        yield ""
        yield f"“{os.strerror(number)}”"
        yield ""
        calls = [(call, causes) for (call, error), causes in ERRORS.items() if error == name]
        yield from _table(("at", "causes"), ((call or "any call", _says(causes)) for call, causes in calls))
    yield "## Codes of sessions"
    yield ""
    yield "TCP had connected, so that ports and files of this end are not the cause."
    yield ""
    rows = [(f"{code}", "HTTP", _says(causes)) for code, causes in STATUSES.items()]
    rows += [(f"{code}", "WebSocket", _says(causes_of_close(code))) for code in CLOSE_CODES]
    rows += [(f"{code}", "MQTT", _says(causes_of_reason(code))) for code in MQTT_CODES]
    yield from _table(("code", "of", "causes"), rows)


def _plateau(plateau: Plateau) -> tuple[str, str, str]:
    first, last = (format_count(number) for number in (plateau.first, plateau.last))
    return f"{first} to {last}" if first != last else first, plateau.says, _says(plateau.causes)


def _says(causes: Iterable[str]) -> str:
    return "<br>".join(CAUSES[cause].says for cause in causes)


def _table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> Iterator[str]:
    found = list(rows)
    if found:
        for row in (head, ["---"] * len(head), *found):
            yield f"| {' | '.join(cell.replace('|', '&#124;') for cell in row)} |"
        yield ""
