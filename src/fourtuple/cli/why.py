"""`why`: explain a number, an errno, or what a log says."""

import os
import re
import sys
from collections.abc import Iterator
from itertools import chain
from typing import TYPE_CHECKING, Any

import click

from fourtuple.cli.common import AT, FIRST_ADDRESS, JSON, NETNS, PID, origin_of, print_json
from fourtuple.core.errors import EXIT_REACHED, EXIT_SHORT, UsageError
from fourtuple.faces.printer import tell

if TYPE_CHECKING:
    from fourtuple.core.snapshot.records import Snapshot

CHUNK_BYTES = 1 << 16
# What Redis answers (-ERR max number of clients reached), a negative errno, a line that begins with a dash.
_TEXT = re.compile(r"-(?:\d|[A-Z]{2}|.*\s)", re.DOTALL)


class _TextCommand(click.Command):
    """A command whose arguments may begin with a dash, as texts do: they are no options."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        return super().parse_args(ctx, [f" {each}" if _TEXT.match(each) else each for each in args])


@click.command(cls=_TextCommand)
@click.argument("what", nargs=-1, required=True, metavar="WHAT...")
@click.option("--dest", "destination", metavar="HOST:PORT", help="Destination of the connections in question.")
@FIRST_ADDRESS
@PID
@NETNS
@click.option("--all-netns", is_flag=True, help="Look into every network namespace, also with --pid or --from.")
@click.option("--from", "file", metavar="FILE", help="A snapshot or pasted output to ask instead of this host.")
@AT
@click.option("--ask", is_flag=True, help="Ask programs that run here for their own limits, by their protocols.")
@click.option("--all", "everything", is_flag=True, help="Show unlikely causes and consequences in full, too.")
@JSON
def why(
    what: tuple[str, ...],
    destination: str | None,
    first_address: bool,
    pid: int | None,
    netns: str | None,
    all_netns: bool,
    file: str | None,
    at: str | None,
    ask: bool,
    everything: bool,
    as_json: bool,
) -> None:
    """Explain why connections stop. WHAT is a number (28232), an errno (99, EADDRNOTAVAIL), or lines of a log; - reads
    a log of any length from standard input, until it ends or Ctrl-C. Failures come in the order of time, with the
    likeliest cause first; what this host says now counts only if the text is of here and now.

    Exit code: 0 if a possible cause is known, 1 if not, or if the text reports no failure.

    \b
    fourtuple why 28232
    fourtuple why "dial tcp 10.0.0.9:80: connect: cannot assign requested address"
    journalctl -u proxy --since -1h | fourtuple why -
    """
    from fourtuple.core.snapshot.answers import Recorded
    from fourtuple.faces.text import why as face
    from fourtuple.faces.text.origin import origin_lines
    from fourtuple.verbs.hosts import host_of, pasted_in
    from fourtuple.verbs.why import why as verb

    if what == ("-",) == (file,):
        raise UsageError("why - --from -", "standard input is either the text or the snapshot", "Use a file for one.")
    text = _begun(_standard_input()) if what == ("-",) else " ".join(what).strip()
    pasted = None if file is not None or not isinstance(text, str) else pasted_in(text)
    is_of_paste = pasted is not None and pid is None and netns is None  # then this host is asked only if it must be
    host = None if is_of_paste else host_of(file, at, pid=pid, netns=netns)
    answer = verb(
        text,
        destination=destination,
        first_address=first_address,
        pid=pid,
        everywhere=all_netns or (netns is None and pid is None),
        ask=ask,
        host=host,
    )
    if pasted is not None and not answer.findings:
        record = answer.to_json() | origin_of(Recorded(pasted))
        sys.exit(_diagnosed(pasted, record, everything=everything, as_json=as_json))
    if as_json:
        print_json(answer.to_json() | (origin_of(host) if host else {}))
    else:
        tell(*origin_lines(host.origin if host else None), *face.why_lines(answer, everything=everything), headlines=1)
    sys.exit(EXIT_REACHED if answer.is_known else EXIT_SHORT)


def _diagnosed(pasted: "Snapshot", record: dict[str, Any], *, everything: bool, as_json: bool) -> int:
    """Say what limits the host whose tools printed the text, which reports no failure itself → the exit code."""
    from fourtuple.faces.text import doctor as face
    from fourtuple.verbs.doctor import doctor

    diagnosis = doctor(snapshot=pasted)
    if as_json:
        print_json(record | {"doctor": diagnosis.to_json()})
    else:
        tell(*face.doctor_lines(diagnosis, everything=everything), headlines=1)
    return EXIT_REACHED if diagnosis.limits_now else EXIT_SHORT


def _begun(chunks: Iterator[bytes]) -> Iterator[bytes] | str:
    """The whole text if it begins as output of tools does, which is short; else the chunks, as they arrive."""
    from fourtuple.verbs.hosts import MOST_PASTED_BYTES, pasted_in

    first = next(chunks, b"")
    if pasted_in(first.decode("utf-8", "replace")) is None:
        return chain([first], chunks)
    whole = bytearray(first)
    for chunk in chunks:
        whole += chunk
        if len(whole) > MOST_PASTED_BYTES:  # a log after all
            return chain([bytes(whole)], chunks)
    return whole.decode("utf-8", "replace")


def _standard_input() -> Iterator[bytes]:
    """Yield what arrives, as it arrives."""
    while chunk := os.read(sys.stdin.fileno(), CHUNK_BYTES):
        yield chunk
