"""Errors that a text only mentions are no failures; those that it reports are, in the same words."""

from pathlib import Path

import pytest

from fourtuple.core.why.catalogue.rows import phrases
from fourtuple.core.why.reader import PHRASES, read_findings
from fourtuple.core.why.reader.mentions import without_targets

LINES = (Path(__file__).parent / "data" / "mentions.txt").read_text().splitlines()


@pytest.mark.parametrize("line", LINES)
def test_what_a_line_only_mentions_is_no_failure(line: str) -> None:
    """Requests, settings, comments, commits, tests, counters at zero, ordinary closes; alone or in a log."""

    assert read_findings([line], (*PHRASES, *phrases())) == ()


def test_what_lines_only_mention_is_no_failure_in_a_log() -> None:
    assert read_findings(["\n".join(LINES)], (*PHRASES, *phrases())) == ()


@pytest.mark.parametrize(
    ("line", "error"),
    [
        ("[INFO] connection reset by peer, retrying", "ECONNRESET"),
        ("INFO: dial tcp 10.0.0.9:80: connect: connection refused, retrying in 5s", "ECONNREFUSED"),
        ("could not handle request: dial tcp 10.0.0.9:80: connect: connection refused", "ECONNREFUSED"),
        ("GET /api?errno=99: connect to 10.0.0.9:80 failed: Connection refused", "ECONNREFUSED"),
        ('Get "http://10.0.0.9/EADDRNOTAVAIL": dial tcp 10.0.0.9:80: connect: connection refused', "ECONNREFUSED"),
        ("test failed: connect ECONNREFUSED 10.0.0.9:80", "ECONNREFUSED"),
        ("health check failed: connect: connection refused", "ECONNREFUSED"),
        ("fsockopen(): unable to connect to 10.0.0.9:80 (Connection refused)", "ECONNREFUSED"),
        ("accept4: too many open files; retrying in 5ms", "EMFILE"),
        ("errno=99", "EADDRNOTAVAIL"),
        (
            "2026/03/01 12:00:00 [error] 8#8: *4 recv() failed (104: Connection reset by peer) while reading response"
            ' header from upstream, client: 10.0.0.1, server: app, upstream: "http://10.0.0.9:80/"',
            "ECONNRESET",
        ),
        (
            "2026/03/01 12:00:00 [info] 8#8: *4 recv() failed (104: Connection reset by peer) while proxying upgraded"
            ' connection, client: 10.0.0.1, server: app, upstream: "http://10.0.0.9:80/"',
            "ECONNRESET",
        ),
        ("2026/03/01 12:00:00 [info] 8#8: accept4() failed (24: Too many open files), client: 10.0.0.1", "EMFILE"),
        ("[2026-03-01 12:00:00.000][12][debug][client] [C5] upstream reset: connection refused", "ECONNREFUSED"),
        ("http://unix:/run/app.sock:/x: connect: connection refused", "ECONNREFUSED"),
    ],
)
def test_what_a_line_reports_is_a_failure(line: str, error: str) -> None:

    assert [finding.error for finding in read_findings([line], (*PHRASES, *phrases()))] == [error]


def test_only_paths_and_queries_are_blanked_and_nothing_moves() -> None:
    line = 'get "http://10.0.0.9:80/a?b=econnreset": eof'

    assert without_targets(line) == 'get "http://10.0.0.9:80               ": eof'
