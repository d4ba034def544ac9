"""The process that does a machine's part in the run of a fleet: `python -m fourtuple.fleet.engine NAME WORKER`.

It answers questions, prepares an order, begins at the agreed moment, sends samples, and at its end its record. Where
its standard input ends, because the coordinator is gone, it closes in order and keeps its own record.
"""

import os
import signal
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any, cast

from fourtuple.core.errors import CannotError, FourtupleError
from fourtuple.core.limits.strategy import Strategy
from fourtuple.core.runs.loop_name import LoopName
from fourtuple.core.runs.orders import ServeOptions, from_text
from fourtuple.core.runs.records import HoldRecord, Sample
from fourtuple.core.runs.run import Run
from fourtuple.core.runs.stored import RunRecord
from fourtuple.engine.control import Control, now_ns
from fourtuple.fleet.channel import Channel, own_pipes
from fourtuple.fleet.counted import counted
from fourtuple.fleet.kept import stored_parts
from fourtuple.fleet.messages import (
    OPTIONS,
    AskCount,
    AskOffer,
    AskParts,
    Begin,
    CountMade,
    Finished,
    FromMachine,
    HoldOver,
    Interrupt,
    Joined,
    Moment,
    OfferMade,
    Order,
    PartsMade,
    Prepare,
    Prepared,
    Refused,
    ToMachine,
    for_machine,
    order_text,
    packed,
    sample_bytes,
)
from fourtuple.fleet.offer import member_of, offer_of, own_sources
from fourtuple.store.coding import to_text
from fourtuple.verbs import churn, hold, serve
from fourtuple.verbs.runs import Keeper, keep

SAMPLE_S = 0.25  # between two samples that are sent
LAST_WORDS_S = 10.0  # how long to wait until the record has been taken

Starter = Callable[[Any, Callable[[Control], object]], Run[Sample, RunRecord]]
PREPARE: Mapping[str, Callable[[Any], Order]] = {"hold": hold.prepare, "churn": churn.prepare, "serve": serve.prepare}
START: Mapping[str, Starter] = {"hold": hold.start_hold, "churn": churn.start_churn, "serve": serve.start_serve}


def main() -> None:
    """Do what the messages say until they end."""
    name, worker = sys.argv[1:]
    for number in (signal.SIGINT, signal.SIGHUP):  # of a terminal in which a worker was started: the worker decides
        signal.signal(number, signal.SIG_IGN)
    channel = Channel(*own_pipes())
    channel.send(packed(Joined(member_of(name, worker))))
    Part(name, channel).serve()
    channel.flush(LAST_WORDS_S)
    os._exit(0)  # a thread that waits for standard input would keep the interpreter


class Part:
    """A machine's part: at most one order, prepared, begun and ended."""

    def __init__(self, name: str, channel: Channel) -> None:
        self._name, self._channel = name, channel
        self._prepared: tuple[Prepare, Order] | None = None
        self._listening: tuple[Run[Sample, RunRecord], list[Control]] | None = None
        self._ended = False  # the messages have

    def serve(self) -> None:
        """Answer messages until they end."""
        while not self._ended and (data := self._channel.received(None)) is not None:
            try:
                self._answer(for_machine(data))
            except FourtupleError as error:
                self._say(Refused.of(error))
            except Exception as error:  # a fault of the program is this machine's alone, and is told
                what = CannotError("this machine cannot do its part", f"{type(error).__name__}: {error}")
                self._say(Refused.of(what))

    def _say(self, message: FromMachine) -> None:
        self._channel.send(packed(message))

    def _answer(self, message: ToMachine) -> None:
        match message:
            case AskOffer(destinations, sources, strategy, first_address, wanted, loop, workers):
                offer = offer_of(
                    self._name,
                    destinations,
                    sources=sources,
                    strategy=Strategy(strategy) if strategy else None,
                    first_address=first_address,
                    wanted=wanted,
                    loop=LoopName(loop),
                    workers=workers,
                )
                self._say(OfferMade(offer))
            case AskCount(number, destinations):
                self._say(CountMade(number, counted(destinations)))
            case AskParts(fleet):
                self._say(PartsMade(stored_parts(fleet)))
            case Prepare() as asked:
                options = from_text(asked.options, OPTIONS[asked.kind])
                if not isinstance(options, ServeOptions):
                    options = replace(options, sources=own_sources(options.sources))
                order = PREPARE[asked.kind](options)
                order = replace(order, start=replace(order.start, part=asked.part))
                self._prepared = asked, order
                if asked.kind == "serve":  # where it cannot listen is known now, and not when all have begun
                    self._listening = self._started(asked, order)
                self._say(Prepared(order_text(order)))
            case Begin(at_ns) if self._prepared:
                asked, order = self._prepared
                order = replace(order, start=replace(order.start, at_ns=at_ns))
                self._run(asked, self._listening or self._started(asked, order), at_ns)

    def _started(self, asked: Prepare, order: Order) -> tuple[Run[Sample, RunRecord], list[Control]]:
        """The run, which begins with its first sample, and its control, once it has begun."""
        controls: list[Control] = []
        return START[asked.kind](order, controls.append), controls

    def _run(self, asked: Prepare, started: tuple[Run[Sample, RunRecord], list[Control]], at_ns: int) -> None:
        """Run the order from this moment to its end."""
        run, controls = started
        keeper, not_stored = _keeper(asked)
        time.sleep(max(0, at_ns - now_ns()) / 1e9)
        due_ns = 0
        kept: Run[Sample, Any] = keeper.run(cast("Run[Sample, HoldRecord]", run)) if keeper else run
        for sample in kept:
            if sample.at_ns >= due_ns:
                due_ns = max(due_ns + int(SAMPLE_S * 1e9), sample.at_ns)
                self._channel.send_latest(packed(Moment(sample_bytes(sample))))
            last = sample
            self._heed(controls[0])
        self._say(Moment(sample_bytes(last)))
        number = keeper.id if keeper else None
        self._say(Finished(to_text(kept.record).encode(), number, (keeper and keeper.why_not) or not_stored))

    def _heed(self, control: Control) -> None:
        """Do what has been said meanwhile."""
        while not self._ended and (data := self._channel.received()) != b"":
            match for_machine(data) if data else None:
                case AskCount(number, destinations):
                    self._say(CountMade(number, counted(destinations)))
                case HoldOver():
                    control.ended = True
                case Interrupt() | None:
                    self._ended = data is None
                    control.interrupted = True
                    control.stop()


def _keeper(asked: Prepare) -> tuple[Keeper | None, str]:
    """(what keeps the machine's own record, or None, why not)"""
    if not asked.store:
        return None, "--no-store"
    try:
        return keep(None, asked.command), ""
    except FourtupleError as error:
        return None, f"{error.wanted} ({error.stopped_by})"


if __name__ == "__main__":
    main()
