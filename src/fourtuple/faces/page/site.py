"""The local pages of stored runs: their list, each run, and two side by side, made from the templates of the report.

They are read only, and for this machine: a request whose Host is a name other than localhost is refused, because a page
of another site could have made the browser resolve that name to this address (DNS rebinding).
"""

import json
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from ipaddress import ip_address
from typing import Any, Protocol
from urllib.parse import parse_qs

from fourtuple.core.errors import CannotError, FourtupleError, UsageError
from fourtuple.core.runs.compare import compare
from fourtuple.core.runs.entry import Entry, RunState
from fourtuple.core.runs.stored import StoredRun
from fourtuple.core.units import format_count, format_things
from fourtuple.faces.page import report
from fourtuple.faces.serving import HTML, App, Environ, document, read_only
from fourtuple.faces.text.runs import local, result_words

JSON = "application/json"
MOST = 200  # runs of the list
MOST_DIGITS = 18  # SQLite numbers rows with 64 bits
HEADERS = [
    ("Cache-Control", "no-store"),
    ("Content-Security-Policy", "frame-ancestors 'none'"),  # the rest is in the page, which knows its scripts
    ("Cross-Origin-Resource-Policy", "same-origin"),
    ("Referrer-Policy", "no-referrer"),
    ("X-Content-Type-Options", "nosniff"),
]


class Shelf(Protocol):
    """Where the runs are: verbs/runs.py has it."""

    def entries(self) -> list[Entry]: ...

    def read(self, run: int) -> StoredRun: ...


Opened = Callable[[], AbstractContextManager[Shelf]]
Downloads = Callable[[StoredRun], dict[str, bytes]]


def site(opened: Opened, downloads: Downloads, where: str) -> App:
    """The pages as a WSGI application.

    opened:    opens the store, for each request
    downloads: the data that the page of a run offers
    where:     the store, in words
    """
    return read_only(lambda environ: _page_of(environ, opened, downloads, where), _refused)


def _page_of(environ: Environ, opened: Opened, downloads: Downloads, where: str) -> App | None:
    host = environ.get("HTTP_HOST", "")
    if not is_of_this_machine(host):
        return _refused("421 Misdirected Request", "Use the address of this server, or localhost, and no other name.")
    try:
        with opened() as shelf:
            return _page(environ["PATH_INFO"], environ["QUERY_STRING"], shelf, downloads, where)
    except UsageError as error:
        return _refused("400 Bad Request" if environ["QUERY_STRING"] else "404 Not Found", _sentence(error))
    except CannotError as error:
        return _refused("500 Internal Server Error", _sentence(error))


def is_of_this_machine(host: str) -> bool:
    """Whether the Host of a request is an address or localhost: names are what another site controls."""
    name = host.rpartition(":")[0] if host.rpartition(":")[2].isdecimal() else host
    try:
        ip_address(name.strip("[]"))
    except ValueError:
        return name == "localhost"
    return True


def _page(path: str, query: str, shelf: Shelf, downloads: Downloads, where: str) -> App | None:
    match path.split("/")[1:]:
        case [""]:
            return _found(_list_page(shelf.entries(), where), HTML)
        case ["news"]:
            return _found(json.dumps(_list_news(shelf.entries(), where)), JSON)
        case ["compare"]:
            first, second = (_number(parse_qs(query).get(name, [""])[0]) for name in ("first", "second"))
            both = compare(shelf.read(first), shelf.read(second))
            return _found(report.compare_page(both, home="/"), HTML)
        case ["runs", number]:
            run = shelf.read(_number(number))
            follow = f"/runs/{run.entry.id}/news" if run.entry.outcome is RunState.RUNNING else ""
            return _found(report.run_page(run, downloads(run), follow=follow, home="/"), HTML)
        case ["runs", number, "news"]:
            return _found(json.dumps(report.news(shelf.read(_number(number)))), JSON)
    return None


def _found(text: str, kind: str) -> App:
    return document(text, kind, headers=HEADERS)


def _number(text: str) -> int:
    """The number of a run. Raises UsageError, also for digits of other scripts and for more than SQLite stores."""
    if not (text.isascii() and text.isdecimal() and len(text) <= MOST_DIGITS):
        raise UsageError(f"{text!r} is not the number of a run")
    return int(text)


def _list_page(entries: Sequence[Entry], where: str) -> str:
    rows = [
        (entry, f"{local(entry.started_at):%Y-%m-%d %H:%M}", result_words(entry), entry.kind != "prove")
        for entry in entries[:MOST]
    ]
    more = f"{format_count(len(entries) - MOST)} older ones: fourtuple runs" if len(entries) > MOST else ""
    follow = {"path": "/news", "shape": _list_shape(entries)}
    return report.rendered(
        "runs.html.j2", **_summary(entries, where), rows=rows, more=more, drawn=[], samples={}, follow=follow
    )


def _list_news(entries: Sequence[Entry], where: str) -> dict[str, Any]:
    """As report.news: the list is loaded again when a run was added, has ended, or was removed."""
    return {"shape": _list_shape(entries), "now": report.first_lines(**_summary(entries, where)), "samples": {}}


def _list_shape(entries: Sequence[Entry]) -> str:
    return json.dumps([[entry.id, entry.outcome] for entry in entries[:MOST]])


def _summary(entries: Sequence[Entry], where: str) -> dict[str, Any]:
    running = [entry for entry in entries if entry.outcome is RunState.RUNNING]
    now = ", ".join(f"run {entry.id} is in progress: {result_words(entry)}" for entry in running)
    verdict = f"{format_things(len(entries), 'run')}{'; ' * bool(now)}{now}" if entries else "There are no stored runs."
    return {"title": "Stored runs", "when": where, "good": None, "verdict": verdict, "tiles": []}


def _refused(status: str, words: str) -> App:
    page = report.rendered(
        "run.html.j2", title=status.partition(" ")[2], when="", good=False, verdict=words, tiles=[], sections=[],
        drawn=[], samples={}, home="/",
    )  # fmt: skip
    return document(page, HTML, status, HEADERS)


def _sentence(error: FourtupleError) -> str:
    return ": ".join(filter(None, (error.wanted, error.stopped_by)))
