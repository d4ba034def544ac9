"""Machines of a fleet that open nothing: what the coordinator and Dask's scheduler cost, without what they coordinate.

`Simulated` takes the place of fleet/relay.py's Relay. It answers every message as a machine does, and sends a sample
four times per second until it is told to end. Many of them live in one Dask worker.
"""

import threading
import time
from dataclasses import replace
from typing import Any

import numpy as np
from distributed import get_worker

from fourtuple import __version__
from fourtuple.core.fleet.member import Member, Offer
from fourtuple.core.runs.conclude import HoldEnding, HoldStory
from fourtuple.core.runs.counters import COUNTERS, Phase
from fourtuple.core.runs.histogram import add_values
from fourtuple.core.runs.orders import HoldOptions, HoldOrder, from_text
from fourtuple.core.runs.records import Sample, Seen, Witness
from fourtuple.core.space.interval import Interval
from fourtuple.fleet.engine import SAMPLE_S
from fourtuple.fleet.messages import (
    AskOffer,
    Begin,
    Finished,
    FromMachine,
    HoldOver,
    Interrupt,
    Joined,
    Moment,
    OfferMade,
    Prepare,
    Prepared,
    for_machine,
    order_text,
    packed,
    sample_bytes,
)
from fourtuple.store.coding import to_text
from fourtuple.verbs import hold

ROOM = 1_000_000
OPENING_S = 2.0  # how long a simulated machine takes to open its share
LATENCIES = 2000  # in the histogram of each machine
_PREPARED: dict[str, HoldOrder] = {}  # one survey of this host is enough for all of them


class Simulated:
    """A machine that says what a machine says; the arguments are those of Relay."""

    def __init__(self, topic: str, seat: int, name: str, address: str) -> None:
        self._worker: Any = get_worker()
        self._topic, self._seat, self._name = topic, seat, name
        self._over = threading.Event()
        self._say(Joined(_member(name, address, seat)))

    def write(self, message: bytes) -> None:
        """What the coordinator says."""
        match for_machine(message):
            case AskOffer():
                room = Interval.of(ROOM)
                self._say(
                    OfferMade(Offer(self._name, (f"10.0.{self._seat // 250}.{self._seat % 250 + 1}",), (), room, ()))
                )
            case Prepare() as asked:
                self._order = _order(from_text(asked.options, HoldOptions))
                self._say(Prepared(order_text(self._order)))
            case Begin(at_ns):
                threading.Thread(target=self._run, args=(at_ns,), daemon=True).start()
            case HoldOver() | Interrupt():
                self._over.set()

    def clock_ns(self) -> int:
        return time.clock_gettime_ns(time.CLOCK_MONOTONIC)

    def _say(self, message: FromMachine) -> None:
        self._worker.log_event(self._topic, (self._seat, packed(message)))

    def _run(self, at_ns: int) -> None:
        wanted = self._order.options.wanted
        story = HoldStory(self._order)
        time.sleep(max(0, at_ns - self.clock_ns()) / 1e9)
        while not self._over.wait(SAMPLE_S):
            last = _sample(wanted, self.clock_ns(), at_ns)
            story.add(last)
            self._say(Moment(sample_bytes(last)))
        last = replace(last, phase=Phase.CLOSED, open=0, closed=wanted, open_at_end=wanted)
        story.add(last)
        self._say(Moment(sample_bytes(last)))
        self._say(Finished(to_text(story.conclude(_ending(at_ns, wanted, self.clock_ns()))).encode(), None, ""))


def _member(name: str, address: str, seat: int) -> Member:
    boot = f"boot-{seat}"
    return Member(name, address, name, f"{boot} {seat}", (), 8, 2**36, 2**35, 2**20, "6.18", "3.11", __version__)


def _order(options: HoldOptions) -> HoldOrder:
    """The order of this host for these destinations, as if N fitted."""
    key = " ".join(options.destinations)
    if key not in _PREPARED:
        _PREPARED[key] = hold.prepare(replace(options, wanted=1, sources=()))
    order = _PREPARED[key]
    plan = replace(order.plan, wanted=options.wanted, room=Interval.of(ROOM))
    return replace(order, options=options, plan=plan, here=False)


def _sample(wanted: int, at_ns: int, began_ns: int) -> Sample:
    rows = np.zeros(1, COUNTERS)
    row = rows[0]
    opened = min(wanted, int(wanted * (at_ns - began_ns) / 1e9 / OPENING_S))
    row["wanted"] = row["capacity"] = wanted
    row["open"] = row["opened"] = row["started"] = opened
    row["phase"] = Phase.HOLDING if opened == wanted else Phase.OPENING
    row["first_start_ns"], row["last_open_ns"] = began_ns, at_ns
    add_values(row["connect_us"], np.random.default_rng(opened).lognormal(5, 1, LATENCIES))
    row["pairs"][:20] = opened // 20
    sample = replace(Sample.of(rows, at_ns), seen=Seen(opened, opened * 3000, {"TcpActiveOpens": opened}, 0))
    census = Witness(wanted, None, None, "sock_diag", wanted, wanted)
    return replace(sample, census=census) if opened == wanted else sample


def _ending(began_ns: int, wanted: int, now_ns: int) -> HoldEnding:
    return HoldEnding(
        began_ns=began_ns,
        stopped_by=None,
        held_until_ns=now_ns,
        census_at_end=Witness(wanted, None, None, "sock_diag", wanted, wanted),
        closing_s=0.1,
        left=0,
        listen_overflows=None,
        syn_retransmits=0,
        moved={},
        time_wait_left=0,
        sharing=None,
        memory=None,
        interrupted=False,
        workers_killed=0,
    )
