"""From the ends of all machines to the record of a fleet's run. Pure."""

from collections.abc import Generator, Iterable
from dataclasses import replace
from typing import Any, TypeVar

from fourtuple.core.runs.churn_conclude import ChurnEnding, ChurnStory
from fourtuple.core.runs.churn_orders import ChurnOptions, ChurnOrder
from fourtuple.core.runs.churn_record import ChurnRecord
from fourtuple.core.runs.conclude import HoldEnding, HoldStory
from fourtuple.core.runs.orders import ServeOptions, ServeOrder
from fourtuple.core.runs.records import HoldRecord, MachineMoment, MachineResult, Sample, ServeRecord, Witness
from fourtuple.core.runs.run import Run
from fourtuple.core.runs.stored import RunRecord
from fourtuple.core.runs.together import counts, total_of, witnesses
from fourtuple.fleet.messages import Order
from fourtuple.fleet.order import MachinePart
from fourtuple.fleet.seats import FleetEnding, Seat, of_namespaces, with_servers
from fourtuple.verbs.serve import ServeEnding
from fourtuple.verbs.serve import conclude as serve_conclude

R = TypeVar("R", HoldRecord, ChurnRecord, ServeRecord)


def hold_ending(ending: FleetEnding) -> HoldEnding:
    """What is known at the end of a hold, of all machines that ended in order."""
    records = [each.record for each in ending.seats if isinstance(each.record, HoldRecord)]
    network = _of_network(ending, HoldRecord)
    return HoldEnding(
        began_ns=ending.began_ns,
        stopped_by=_first(each.stopped_by for each in records),
        held_until_ns=ending.held_until_ns,
        census_at_end=_at_end(ending),
        closing_s=max((each.closing_s for each in records), default=0.0),
        left=sum(each.left for each in records),
        time_wait_left=sum(each.time_wait_left for each in records),
        sharing=None,
        memory=None,
        workers_killed=sum(each.workers_killed for each in records),
        interrupted=ending.interrupted,
        listen_overflows=total_of(each.listen_overflows for each in network),
        syn_retransmits=total_of(each.syn_retransmits for each in network),
        moved=counts(each.moved for each in network),
    )


def _of_network(ending: FleetEnding, kind: type[R]) -> list[R]:
    """The records that count what happened in each network namespace once."""
    ended = of_namespaces(seat for seat in ending.seats if seat.record)
    return [seat.record for seat in ended if isinstance(seat.record, kind)]


def _at_end(ending: FleetEnding) -> Witness | None:
    """The count of all kernels when closing began, the servers' included."""
    counted = [seat.record.census_at_end for seat in ending.seats if isinstance(seat.record, HoldRecord)]
    total = witnesses(counted) if counted else None
    if total is None or ending.servers_at_end is None:
        return total
    return with_servers(total, ending.servers_at_end)


def churn_ending(ending: FleetEnding) -> ChurnEnding:
    """What is known at the end of a churn, of all machines that ended in order."""
    records = [each.record for each in ending.seats if isinstance(each.record, ChurnRecord)]
    network = _of_network(ending, ChurnRecord)
    return ChurnEnding(
        elapsed_s=max((each.elapsed_s for each in records), default=0.0),
        stopped_by=_first(each.stopped_by for each in records),
        time_wait_left=total_of(each.time_wait_left for each in network),
        workers_killed=sum(each.workers_killed for each in records),
        interrupted=ending.interrupted,
        listen_overflows=total_of(each.listen_overflows for each in network),
        syn_retransmits=total_of(each.syn_retransmits for each in network),
        moved=counts(each.moved for each in network),
    )


def machine_results(ending: FleetEnding, last: Sample) -> tuple[MachineResult, ...]:
    """What became of each machine's share, in the order of the fleet.

    last: the last sample of all
    """
    return tuple(
        _result(seat, moment, ending.began_ns) for seat, moment in zip(ending.seats, last.machines, strict=True)
    )


def _result(seat: Seat, moment: MachineMoment, began_ns: int) -> MachineResult:
    member, record, sample = seat.share.member, seat.record, moment.sample
    wanted, held, open_at_end = _numbers(record, seat.share) if record else _of_gone(sample, seat)
    return MachineResult(
        number=moment.number,
        name=member.name,
        host=member.host,
        sources=seat.share.sources,
        wanted=wanted,
        held=held,
        open_at_end=open_at_end,
        census=record.census if isinstance(record, HoldRecord) else None,
        lost=sample.lost,
        failed=dict(sample.failed),
        at_servers=seat.counted[0] if seat.counted else None,
        elapsed_s=round(sample.elapsed_s, 6),
        rate_per_s=round(sample.rate_per_s, 1),
        connect_us=sample.connect_us,
        workers=sample.workers,
        rss_bytes=sample.rss_bytes,
        cpu_user_s=round(sample.cpu_user_s, 3),
        cpu_system_s=round(sample.cpu_system_s, 3),
        offset_us=member.offset_ns / 1e3,
        error_us=member.error_ns / 1e3,
        gone_s=round(max(0, seat.gone_ns - began_ns) / 1e9, 3) if seat.gone else None,
        why=seat.gone,
        instead_of=moment.instead_of,
        run=seat.run,
    )


def _numbers(record: RunRecord, share: MachinePart) -> tuple[int, int, int]:
    """(wanted, held, open_at_end) as MachineResult has them."""
    match record:
        case HoldRecord():
            return share.wanted, record.held, record.open_at_end
        case ChurnRecord():
            return record.arrivals, record.completed, record.open_at_end
    return record.accepted, record.most_open, record.open


def _of_gone(sample: Sample, seat: Seat) -> tuple[int, int, int]:
    """The same of a machine that is gone, by its last sample."""
    match seat.share.options:
        case ChurnOptions():
            return sample.arrivals, sample.closed, 0
        case ServeOptions():
            return sample.opened, sample.lost, 0
    return seat.share.wanted, seat.held, 0


def _first(several: Iterable[str | None]) -> str | None:
    return next((each for each in several if each), None)


def serve_ending(ending: FleetEnding, last: Sample, most_open: int) -> ServeEnding:
    """What is known at the end of a serve, of all machines that ended in order."""
    records = [each.record for each in ending.seats if isinstance(each.record, ServeRecord)]
    network = _of_network(ending, ServeRecord)
    return ServeEnding(
        last=last,
        most_open=most_open,
        waiting=total_of(each.waiting for each in records),
        moved=counts(each.moved for each in network),
        listen_overflows=total_of(each.listen_overflows for each in network),
        interrupted=ending.interrupted,
        workers_killed=sum(each.workers_killed for each in records),
    )


def _story(whole: Order) -> HoldStory | ChurnStory | None:
    """What collects the samples; a serve needs only the last one."""
    if isinstance(whole, ChurnOrder):
        return ChurnStory(whole)
    return None if isinstance(whole, ServeOrder) else HoldStory(whole)


def _as_recorded(last: Sample, machines: Iterable[MachineResult]) -> Sample:
    """The last sample, with what each machine held and counted by itself: for a run that ended before all had.

    What a machine held that is gone has been lost.
    """
    ended = [each for each in machines if each.gone_s is None]
    census = witnesses([each.census for each in ended]) if ended else None
    return replace(last, open=sum(each.held for each in ended), census=census)


def concluded(whole: Order, run: Run[Sample, FleetEnding]) -> Run[Sample, Any]:
    """The run of a coordinator with the record of its kind. whole: the order of all machines together"""

    def steps() -> Generator[Sample, None, RunRecord]:
        story = _story(whole)
        most_open = 0
        for sample in run:
            if story:
                story.add(sample)
            most_open = max(most_open, sample.open)
            last = sample
            yield sample
        ending, machines = run.record, machine_results(run.record, last)
        match story:
            case HoldStory():
                if last.census is None:
                    story.add(_as_recorded(last, machines))
                return story.conclude(hold_ending(ending), machines)
            case ChurnStory():
                return story.conclude(churn_ending(ending), machines)
        assert isinstance(whole, ServeOrder)  # noqa: S101  (for the type checker)
        return serve_conclude(whole, serve_ending(ending, last, most_open), machines)

    return Run(steps())
