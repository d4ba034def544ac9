"""Whether a text is of here and now."""

from datetime import datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fourtuple.core.why.findings import Finding, System
from fourtuple.core.why.scene import Bearing
from fourtuple.core.why.when import bearing_of, written_at

NOW = datetime(2026, 11, 29, 10, 32, 5, tzinfo=timezone(timedelta(hours=1)))
LINE = "dial tcp 10.0.0.9:80: connect: cannot assign requested address"


@pytest.mark.parametrize(
    "written",
    [
        "2026-11-29T10:32:04+01:00",
        "2026-11-29T09:32:04Z",
        "2026-11-29T09:32:04.123456789Z",
        "2026-11-29 10:32:04",
        "2026-11-29 10:32:04,123",
        "2026/11/29 10:32:04",
        "29/Nov/2026:10:32:04 +0100",
        "Sun Nov 29 10:32:04 2026",
        "Nov 29 10:32:04",
        "Nov 29 09:32:04",
        "10:32:04",
        "10:32:04.123",
    ],
)
def test_a_time_of_just_now_is_now_however_it_is_written(written: str) -> None:
    """Without a time zone it is local time or UTC."""
    assert bearing_of(Finding(first=written, text=LINE), NOW) is Bearing.NOW


@pytest.mark.parametrize(
    "written",
    ["2026-11-29T10:31:02+01:00", "2025-11-29T10:32:04", "Nov 28 10:32:04", "10:30:04", "Wed Mar 11 03:22:10 2020"],
)
def test_an_earlier_time_is_then(written: str) -> None:
    """The same line 63 s later: what this host says now says nothing about it."""
    assert bearing_of(Finding(first=written, text=LINE), NOW) is Bearing.THEN


def test_of_a_failure_that_goes_on_the_last_time_counts() -> None:
    goes_on = Finding(first="2026-11-29T09:00:00+01:00", last="2026-11-29T10:32:04+01:00", text=LINE)

    assert bearing_of(goes_on, NOW) is Bearing.NOW


@pytest.mark.parametrize("text", ["28232", "EADDRNOTAVAIL", "99", "-99", "28,232"])
def test_what_a_user_types_is_of_now(text: str) -> None:
    assert bearing_of(Finding(text=text), NOW) is Bearing.NOW


@pytest.mark.parametrize("written", ["", "12345.678", "yesterday"])
def test_a_line_without_a_time_that_can_be_placed_may_be_of_now(written: str) -> None:
    assert bearing_of(Finding(first=written, text=LINE), NOW) is Bearing.PERHAPS


@pytest.mark.parametrize("system", [System.WINDOWS, System.MACOS, System.FREEBSD])
def test_another_system_is_another_host(system: System) -> None:
    assert bearing_of(Finding(text="10055", system=system), NOW) is Bearing.THEN
    assert bearing_of(Finding(text="99"), NOW, elsewhere=True) is Bearing.THEN


@given(st.text(max_size=40))
def test_no_time_is_too_strange(text: str) -> None:
    written = written_at(text, NOW.astimezone(timezone.utc))

    assert written is None or isinstance(written, datetime)
    assert bearing_of(Finding(first=text, text=LINE), NOW) in Bearing
