"""Lines that say the same as earlier ones: counted as if each were read closely."""

import random

import pytest

from fourtuple.core.why.findings import Finding
from fourtuple.core.why.reader import read_findings, repeats
from tests.core.why.reader.test_texts import TEXTS

NGINX = (
    "2026/11/29 10:00:{:02} [error] 1871#1871: *{} connect() failed (111: Connection refused) while connecting to"
    ' upstream, client: 10.0.3.{}, server: s, upstream: "http://10.0.0.{}:80/"'
)
GO = "2026-11-29T10:00:{:02}.{:03}Z dial tcp 10.0.0.4:{}->10.0.0.{}:6379: connect: cannot assign requested address"
SYSLOG = "Nov 29 10:00:{:02} web app[{}]: accept4: too many open files"


def closely(text: str, monkeypatch: pytest.MonkeyPatch) -> tuple[Finding, ...]:
    """What is found if every line is read closely."""
    with monkeypatch.context() as patched:
        patched.setattr(repeats, "MOST_SHAPES", 0)
        return read_findings([text])


def test_a_storm_is_counted_by_destination() -> None:
    lines = [NGINX.format(number % 60, number, number % 250, number % 3) for number in range(9_000)]

    found = read_findings(["\n".join(lines)])

    assert [(each.destination, each.count, each.error, each.pid) for each in found] == [
        (f"10.0.0.{last}:80", 3_000, "ECONNREFUSED", 1871) for last in range(3)
    ]
    assert [each.where for each in found] == [1, 2, 3]


def test_what_differs_between_lines_is_told_apart(monkeypatch: pytest.MonkeyPatch) -> None:
    """Source ports, PIDs, destinations, and errnos in the same words."""
    dice = random.Random(7)  # noqa: S311  (no secret)
    lines = []
    for number in range(3_000):
        second = number // 50
        lines += [
            GO.format(second, number % 1000, dice.randrange(32768, 61000), dice.randrange(4)),
            SYSLOG.format(second, dice.choice([4121, 4122])),
            f"2026-11-29T10:00:{second:02}Z connect to 10.0.0.9 port 80 failed: errno {dice.choice([99, 111])}",
            f"2026-11-29T10:00:{second:02}Z SocketException ({dice.choice([10048, 10055])}) connect 10.0.0.9:443",
        ]
    text = "\n".join(lines)

    assert read_findings([text]) == closely(text, monkeypatch)


def test_every_text_that_is_known_says_the_same_the_second_time(monkeypatch: pytest.MonkeyPatch) -> None:
    lines = [row["text"] for row in TEXTS if "\n" not in row["text"] and len(row["text"]) > 20]
    text = "\n".join(
        f"2026-11-29T10:{number // 60:02}:{number % 60:02}Z {line}" for number, line in enumerate(lines * 3)
    )

    assert read_findings([text]) == closely(text, monkeypatch)


def test_a_line_of_a_traceback_is_not_taken_for_the_same_line_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    alone = "OSError: [Errno 99] Cannot assign requested address\n"
    frames = 'Traceback (most recent call last):\n  File "a.py", line 3, in f\n    sock.connect(("10.0.0.9", 80))\n'
    text = (alone + frames + alone) * 50

    assert read_findings([text]) == closely(text, monkeypatch)
