"""`check` before and after the program runs: what the observer is told, and what follows from what it saw."""

from dataclasses import replace

import pytest

from fourtuple.core.check.judge import Ended, Kind, Observation
from fourtuple.core.errors import ShortfallError, UsageError
from fourtuple.verbs.check.check import GIVE_DESTINATION, CheckOptions, conclude
from fourtuple.verbs.check.servers import Answer

OPTIONS = CheckOptions(("app", "--to", "{dest1}"))
ENDS = ("10.77.1.1:8001", "10.77.1.1:8002")
NOTHING = Observation(
    ports=64,
    destinations=ENDS,
    most=(),
    opened=0,
    refused=0,
    closed_first=0,
    asked=frozenset(),
    kept_own=frozenset(),
    kept=frozenset(),
    kept_after=frozenset(),
    named=frozenset(),
    listened=frozenset(),
    time_wait=0,
    close_wait=0,
    left=0,
    errno="",
    call="",
    exit=1,
    ended=Ended.ITSELF,
    lost=0,
    driven=None,
)


def test_a_program_that_shares_its_ports_is_judged() -> None:
    most = tuple((1, 40_000 + port, number) for number in (0, 1) for port in range(64))
    seen = replace(NOTHING, most=most, opened=128, asked=frozenset(range(40_000, 40_064)), exit=0)

    assert conclude(OPTIONS, ENDS, seen).verdict is Kind.SHARED


@pytest.mark.parametrize(("opened", "kind"), [(1, Kind.UNSEEN), (2, Kind.SHARED)])
def test_one_connection_does_not_show_that_ports_are_shared(opened: int, kind: Kind) -> None:
    """Nothing speaks against it; what one connection does show, that it was bound, is said as ever."""
    seen = replace(NOTHING, most=((1, 40_000, 0),), opened=opened, asked=frozenset({40_000}), exit=0)
    bound = conclude(OPTIONS, ENDS, replace(seen, kept_own=frozenset({40_000})))

    assert conclude(OPTIONS, ENDS, seen).verdict is kind
    assert bound.verdict is Kind.BOUND


@pytest.mark.parametrize("code", [1, 3, 255, 137])
def test_a_program_that_failed_is_never_as_expected(code: int) -> None:
    """It opened every connection that is possible, and more than were expected."""
    most = tuple((1, 40_000 + port, number) for number in (0, 1) for port in range(64))
    said = conclude(OPTIONS, ENDS, replace(NOTHING, most=most, opened=128, exit=code))

    assert (said.verdict, said.exit, said.shared) == (Kind.FAILED, code, False)
    assert not [expected for expected in (*Kind, 1, 128) if said.is_expected(expected)]
    assert said.found(Kind.SHARED) is None


@pytest.mark.parametrize("ended", [Ended.SETTLED, Ended.TIME, Ended.ASKED])
def test_a_program_that_check_ended_has_not_failed(ended: Ended) -> None:
    seen = replace(NOTHING, most=((1, 40_000, 0),), opened=2, asked=frozenset({40_000}), exit=None, ended=ended)

    assert conclude(OPTIONS, ENDS, seen).verdict is Kind.SHARED


def test_the_fix_names_the_option_of_the_program_that_was_run() -> None:
    seen = replace(NOTHING, most=((1, 40_000, 0),), opened=1, kept_own=frozenset({40_000}), exit=0)
    said = conclude(CheckOptions(("sh", "-c", "exec /usr/bin/wget --bind-address={source} {url}")), ENDS, seen)

    assert "wget calls bind() because of --bind-address" in said.findings[0].fix


@pytest.mark.parametrize(
    ("seen", "named"),
    [
        (replace(NOTHING, errno="ECONNREFUSED", refused=3), ["ECONNREFUSED", "3", ENDS[0]]),
        (replace(NOTHING, exit=7), ["7"]),
        (replace(NOTHING, exit=1, errno="ECONNREFUSED"), ["1", "ECONNREFUSED"]),
        (replace(NOTHING, exit=None, ended=Ended.TIME), []),
    ],
)
def test_a_program_that_opened_nothing_has_no_verdict_but_a_reason(seen: Observation, named: list[str]) -> None:
    with pytest.raises(ShortfallError) as refused:
        conclude(OPTIONS, ENDS, seen)
    assert "app" in refused.value.wanted
    assert [name for name in named if name not in refused.value.stopped_by] == []
    assert GIVE_DESTINATION in refused.value.do


def test_a_proxy_that_never_listened_is_named() -> None:
    with pytest.raises(ShortfallError) as refused:
        conclude(replace(OPTIONS, through="127.0.0.1:9000"), ENDS, replace(NOTHING, driven=False))
    assert "127.0.0.1:9000" in refused.value.wanted


def test_an_interrupt_before_the_first_connection_is_passed_on() -> None:
    with pytest.raises(KeyboardInterrupt):
        conclude(OPTIONS, ENDS, replace(NOTHING, ended=Ended.ASKED, exit=None))


@pytest.mark.parametrize(
    "options",
    [
        CheckOptions(()),
        CheckOptions(("",)),
        CheckOptions(("app",), serve="dance"),
        CheckOptions(("app",), through="[::1]:9000"),
    ],
)
def test_options_that_cannot_be_meant_are_refused(options: CheckOptions) -> None:
    with pytest.raises(UsageError):
        options.check()


def test_servers_answer_http_unless_a_proxy_is_driven() -> None:
    assert OPTIONS.answer is Answer.HTTP
    assert replace(OPTIONS, through="127.0.0.1:9000").answer is Answer.HOLD
    assert replace(OPTIONS, serve="echo").answer is Answer.ECHO
