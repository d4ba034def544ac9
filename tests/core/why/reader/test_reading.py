"""Texts of any length: read as a stream, in bounded memory, however they are cut; counted, and put in order."""

import tracemalloc
from collections.abc import Iterator

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fourtuple.core.why.reader import read_findings, read_text
from fourtuple.core.why.reader.groups import MOST_GROUPS
from fourtuple.core.why.reader.reading import BLOCK
from fourtuple.core.why.reader.repeats import MOST_TEXT
from tests.core.why.reader.test_texts import TEXTS
from tests.core.why.reader.unrelated import lines

FULL = "dial tcp 10.0.0.9:80: connect: cannot assign requested address"
REFUSED = "dial tcp 10.0.0.9:80: connect: connection refused"
SYSLOG = "\n".join(
    [
        f"Mar  1 12:00:05 h app[77]: {REFUSED}",
        f"Mar  1 12:00:01 h app[77]: {REFUSED}",
        f"Mar  1 12:00:09 h app[78]: {REFUSED}",
        "Mar  1 12:00:00 h kernel: nf_conntrack: nf_conntrack: table full, dropping packet",
    ]
)
PIECES = st.sampled_from(
    [*(row["text"] for row in TEXTS), "\n", "\x1b[31m", "\\", "28232", "(99: ", "[Errno", "->", "é"]
)


def cut(data: bytes, sizes: list[int]) -> Iterator[bytes]:
    """The data in pieces of these sizes, over and over."""
    at = 0
    while at < len(data):
        for size in sizes:
            yield data[at : at + size]
            at += size


def test_the_same_failure_is_counted_with_its_first_and_last_time() -> None:
    """Its times are the earliest and the latest, in whichever order the log has them; two processes have no one PID."""
    _, found = read_findings([SYSLOG])

    assert (found.count, found.first, found.last, found.where) == (3, "Mar  1 12:00:01", "Mar  1 12:00:09", 1)
    assert (found.program, found.pid) == ("app", None)


def test_what_came_first_in_time_is_told_first() -> None:
    assert [finding.where for finding in read_findings([SYSLOG])] == [4, 1]


def test_without_times_the_text_gives_the_order() -> None:
    found = read_findings([f"{FULL}\n{REFUSED}\n{FULL}\n"])

    assert [(finding.error, finding.count, finding.where) for finding in found] == [
        ("EADDRNOTAVAIL", 2, 1),
        ("ECONNREFUSED", 1, 2),
    ]


def test_lines_of_an_indented_log_are_failures_of_their_own() -> None:
    """Indentation joins a line to one before that is not indented, and never hides a destination."""
    log = "".join(f"    dial tcp 10.0.0.{n}:80: connect: connection refused\n" for n in (8, 9, 9))

    assert [(found.destination, found.count) for found in read_findings([log])] == [
        ("10.0.0.8:80", 1),
        ("10.0.0.9:80", 2),
    ]
    assert [found.destination for found in read_findings([f"This is it:\n{log}"])] == ["10.0.0.8:80", "10.0.0.9:80"]


def test_ports_of_the_source_do_not_make_a_failure_another_one() -> None:
    text = "\n".join(
        f"dial tcp 10.0.0.4:{port}->10.0.0.9:80: connect: connection refused" for port in range(40000, 40009)
    )

    (found,) = read_findings([text])

    assert (found.count, found.source, found.destination) == (9, "10.0.0.4", "10.0.0.9:80")


def test_too_many_different_failures_are_counted_only() -> None:
    text = "\n".join(
        f"dial tcp 10.0.{n // 250}.{n % 250}:80: connect: connection refused" for n in range(MOST_GROUPS + 23)
    )

    reading = read_text([text])

    assert (len(reading.findings), reading.dropped, reading.lines) == (MOST_GROUPS, 23, MOST_GROUPS + 23)


@settings(deadline=None, max_examples=50)
@given(st.lists(PIECES, max_size=12), st.lists(st.integers(1, 400), min_size=1, max_size=5))
def test_the_findings_are_the_same_however_the_text_is_cut(pieces: list[str], sizes: list[int]) -> None:
    text = "\n".join(pieces)

    assert read_text(cut(text.encode(), sizes)) == read_text([text])


@pytest.mark.parametrize("size", [1 << 12, BLOCK - 1, BLOCK, BLOCK + 1, 1 << 20])
def test_cuts_and_blocks_do_not_matter_in_a_long_text(size: int) -> None:
    """Every text of the table, between unrelated lines, over several blocks."""
    text = "\n".join(line for row in TEXTS for line in [*list(lines())[:40], row["text"], ""])
    whole = read_text([text])

    assert len(text) > 2 * BLOCK
    assert read_text(cut(text.encode(), [size])) == whole
    assert len(whole.findings) > 50


@settings(deadline=None)
@given(st.one_of(st.binary(), st.lists(PIECES, max_size=6).map(lambda pieces: "".join(pieces).encode()[3:])))
def test_no_bytes_are_too_strange(data: bytes) -> None:
    reading = read_text([data])

    assert reading.dropped == 0


def test_a_line_without_end_is_cut() -> None:
    """Ten million characters in one line: the beginning is read, the line after it too, and the text kept is short."""
    found = read_findings([*([f"{FULL} "] + ["x" * 100_000] * 100), "\n", REFUSED])

    assert [(finding.error, finding.where) for finding in found] == [("EADDRNOTAVAIL", 1), ("ECONNREFUSED", 2)]
    assert len(found[0].text) == MOST_TEXT


def test_an_error_deep_in_a_long_line_is_found() -> None:
    (found,) = read_findings(["x " * 50_000 + FULL + " y" * 50_000])

    assert (found.error, found.destination) == ("EADDRNOTAVAIL", "10.0.0.9:80")


def test_memory_does_not_grow_with_the_text() -> None:
    part = "\n".join([*lines(), FULL, ""]).encode()
    read_findings([part])
    tracemalloc.start()
    try:
        read_findings(part for _ in range(40))
        few = tracemalloc.get_traced_memory()[1]
        tracemalloc.reset_peak()
        (found,) = read_findings(part for _ in range(160))
        many = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()

    assert found.count == 160
    assert many < 1.2 * few


def test_the_trace_of_an_exception_is_one_failure() -> None:
    """Its call is in a frame above, its destination in the exception that was raised from it."""
    text = """\
2026-03-01 12:00:00,123 ERROR app: request failed
Traceback (most recent call last):
  File "/srv/app.py", line 99, in get
    sock.connect(sa)
OSError: [Errno 99] Cannot assign requested address

During handling of the above exception, another exception occurred:

Traceback (most recent call last):
  File "/srv/app.py", line 110, in get
    raise MaxRetryError(...)
requests.ConnectionError: HTTPConnectionPool(host='10.0.0.9', port=80): [Errno 99] Cannot assign requested address
2026-03-01 12:00:01,123 INFO app: connection refused by policy was not seen
"""

    first, _ = read_findings([text])

    assert (first.error, first.call, first.destination, first.count) == ("EADDRNOTAVAIL", "connect", "10.0.0.9:80", 1)
    assert (first.first, first.where) == ("2026-03-01T12:00:00.123", 5)


def test_a_phrase_over_two_lines_is_found_but_not_over_two_entries() -> None:
    """Mail wraps at 80 columns; two entries of a log are not one sentence."""
    assert [finding.error for finding in read_findings(["it says: cannot assign\nrequested address\nso what"])] == [
        "EADDRNOTAVAIL"
    ]
    assert read_findings(["2026-03-01 12:00:00 cannot assign\n2026-03-01 12:00:00 requested address\n"]) == ()
