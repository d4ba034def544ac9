"""The outcome of a fleet: a machine that is gone is a reason of its own, and each machine's counts are compared."""

from dataclasses import replace

import pytest

from fourtuple.core.runs.churn_judge import judge_churn
from fourtuple.core.runs.judge import agrees, judge_hold, judge_serve
from fourtuple.core.runs.outcome import Reason
from fourtuple.core.runs.records import Witness
from tests.made import serve_record
from tests.made_churn import churn_record
from tests.made_fleet import WHY, fleet_record, gone_result, machine_result

M1, M2, M3, M4 = map(machine_result, range(1, 5))


def test_the_first_line_names_how_many_machines_held_all() -> None:
    outcome = fleet_record().outcome

    assert (outcome.reached, outcome.because) == (True, ())
    assert outcome.says == "held 1,000 on 4 machines for 5 s, lost 0. Plan, engine and kernel agree."
    assert fleet_record(M1).outcome.says.startswith("held 250 on 1 machine for 5 s")


def test_a_machine_that_is_gone_is_a_reason_with_its_name_why_when_and_its_share() -> None:
    """It is the only one: what was lost with it is neither the peer's doing nor an interruption."""
    outcome = fleet_record(M1, M2, gone_result(3), M4).outcome

    assert (outcome.reached, outcome.because) == (False, (Reason.MACHINE,))
    assert outcome.says.startswith("fell short: held 750 of 1,000 on 4 machines")
    assert f"Machine m3 was gone after 3.5 s: {WHY}; its share was 250 connections." in outcome.says


def test_a_machine_that_took_no_part_is_one_only_if_it_had_a_share() -> None:
    absent = gone_result(3, gone_s=None, why="it has fourtuple 0.1, and not 0.2", lost=0, failed={"ECANCELED": 250})
    without = replace(absent, wanted=0, failed={})
    outcome = fleet_record(M1, M2, absent).outcome

    assert outcome.because == (Reason.MACHINE,)
    assert "Machine m3 took no part: it has fourtuple 0.1, and not 0.2; its share was 250" in outcome.says
    assert fleet_record(M1, M2, without).outcome.reached


def test_of_many_machines_that_are_gone_the_largest_are_named_and_the_others_counted() -> None:
    gone = [gone_result(number, wanted=100 + number) for number in range(2, 9)]
    says = fleet_record(M1, *gone).outcome.says

    assert [f"Machine m{number} " in says for number in (8, 7, 6, 5)] == [True, True, True, False]
    assert "4 more machines were gone, with 414 connections." in says


def test_a_share_that_others_held_is_no_shortfall_and_one_in_part_says_how_much() -> None:
    gone = gone_result(3)
    instead = machine_result(1, wanted=125, held=125, instead_of="m3")
    numbers = {"wanted": 1000, "predicted": 1000, "predicted_least": 1000}
    whole = fleet_record(M1, M2, gone, M4, instead, replace(instead, number=2, name="m2"), **numbers)
    part = fleet_record(M1, M2, gone, M4, instead, **numbers)

    assert (whole.held, whole.outcome.reached, whole.outcome.because) == (1000, True, ())
    assert part.outcome.because == (Reason.MACHINE,)
    assert "250 connections, of which other machines held 125." in part.outcome.says
    assert "on 4 machines" in part.outcome.says


def test_workers_that_died_on_a_machine_that_lives_stay_a_reason_of_their_own() -> None:
    record = fleet_record(M1, M2, gone_result(3), M4, workers_killed=1)

    assert set(record.outcome.because) == {Reason.MACHINE, Reason.WORKERS_KILLED}


def test_an_interruption_is_not_blamed_for_what_went_with_a_machine() -> None:
    late = replace(M4, held=240, failed={"ECANCELED": 10}, census=None, at_servers=None, open_at_end=240)
    says = fleet_record(M1, M2, gone_result(3), late, interrupted=True).outcome.says

    assert "10 were not tried because of the interruption." in says


@pytest.mark.parametrize(
    ("machine", "reason", "said"),
    [
        (replace(M2, at_servers=240), Reason.NOT_AT_SERVER, "m2 counts 250, and the servers list 240 from its"),
        (replace(M2, at_servers=260), Reason.WITNESSES, "m2 counts 250, and the servers list 260 from its"),
        (
            replace(M2, census=Witness(249, None, None, "sock_diag"), at_servers=None),
            Reason.WITNESSES,
            "On m2, the kernel counts 249, and the engine 250.",
        ),
    ],
)
def test_each_machines_counts_are_compared_though_the_sums_agree(machine: object, reason: Reason, said: str) -> None:
    record = fleet_record(M1, machine, M3, M4)  # type: ignore[arg-type]

    assert record.outcome.because == (reason,)
    assert said in record.outcome.says
    assert not agrees(record)


def test_a_contradiction_on_one_machine_is_never_reached_and_fewer_at_the_servers_is_what_is_required() -> None:
    """As for a run of one machine."""
    more, fewer = (fleet_record(M1, replace(M2, at_servers=count)) for count in (260, 240))

    assert not judge_hold(more, ["lost=0"]).reached
    assert judge_hold(fewer, ["lost=0"]).reached


def test_connections_that_come_and_go_while_servers_count_are_no_contradiction() -> None:
    moving = replace(M2, census=Witness(248, None, None, "sock_diag", 245, 250), at_servers=246)

    assert fleet_record(M1, moving).outcome.reached


def test_requirements_are_about_the_sum() -> None:
    record = fleet_record(M1, M2, gone_result(3), M4)

    assert judge_hold(record, ["lost<=200, held>=750"]).reached
    assert judge_hold(record, ["lost=0"]).because == ("lost",)
    assert WHY in judge_hold(record, ["lost<=200"]).says


def test_a_churn_and_a_serve_of_a_fleet_say_the_same() -> None:
    gone = gone_result(3)
    churned = churn_record(
        machines=(M1, M2, gone), failed={"ECANCELED": 50}, lost=200, lost_by={"ECANCELED": 200}, outcome=None
    )
    served = serve_record(machines=(M1, gone))

    assert judge_churn(churned).because == (Reason.MACHINE,)
    assert "on 3 machines in 4 s" in judge_churn(churned).says
    assert judge_churn(churn_record(machines=(M1, M2))).reached
    assert judge_serve(served).because == (Reason.MACHINE,)
    assert "accepted 1,000 on 2 machines, at most 990" in judge_serve(served).says
    assert f"Machine m3 was gone after 3.5 s: {WHY}; it had accepted 250 connections." in judge_serve(served).says
