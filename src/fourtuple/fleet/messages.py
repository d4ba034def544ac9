"""What the coordinator of a fleet and its machines say to each other: frozen records, as MessagePack.

Orders travel as options, which are data; no code is sent. Both sides are of the same version, which is compared first.
"""

from collections.abc import Mapping
from dataclasses import fields, replace
from typing import Any, get_type_hints

import msgspec
import numpy as np

from fourtuple.core.errors import CannotError, FourtupleError, ShortfallError, UsageError
from fourtuple.core.fleet.member import Member, Offer
from fourtuple.core.runs.churn_orders import ChurnOptions, ChurnOrder
from fourtuple.core.runs.counters import GROWTHS
from fourtuple.core.runs.orders import HoldOptions, HoldOrder, ServeOptions, ServeOrder, from_text, to_text
from fourtuple.core.runs.records import Sample
from fourtuple.core.runs.start import FleetPart
from fourtuple.store.growth import grown, grown_bytes

Options = HoldOptions | ChurnOptions | ServeOptions
Order = HoldOrder | ChurnOrder | ServeOrder
OPTIONS: Mapping[str, type[Any]] = {"hold": HoldOptions, "churn": ChurnOptions, "serve": ServeOptions}
ORDERS: Mapping[str, type[Any]] = {"hold": HoldOrder, "churn": ChurnOrder, "serve": ServeOrder}
ERRORS: Mapping[str, type[FourtupleError]] = {each.__name__: each for each in (UsageError, ShortfallError, CannotError)}


class ToMachine(msgspec.Struct, frozen=True, tag=True, array_like=True):
    """What the coordinator says."""


class AskOffer(ToMachine, frozen=True):
    """What could you do? As the arguments of offer_of (fleet/offer.py). → OfferMade, Refused"""

    destinations: tuple[str, ...]
    sources: tuple[str, ...]
    strategy: str | None
    first_address: bool
    wanted: int
    loop: str
    workers: int | None


class AskCount(ToMachine, frozen=True):
    """How many connections at these destinations does your kernel list, by their other end? → CountMade

    number: of the question, which its answer repeats: an answer that is late is not one to the next question
    """

    number: int
    destinations: tuple[str, ...]


class AskParts(ToMachine, frozen=True):
    """Which parts of this run of a fleet does your own store have? → PartsMade"""

    fleet: str


class Prepare(ToMachine, frozen=True):
    """Make every decision before the first connection. → Prepared, Refused

    kind:    hold, churn or serve
    options: as JSON
    command: the command line, for the machine's own store
    store:   the machine keeps its own record
    """

    kind: str
    options: bytes
    part: FleetPart
    command: str
    store: bool


class Begin(ToMachine, frozen=True):
    """Begin at this moment of your CLOCK_MONOTONIC. → Moment again and again, Finished, Refused"""

    at_ns: int


class HoldOver(ToMachine, frozen=True):
    """The time to hold is over: count, and close."""


class Interrupt(ToMachine, frozen=True):
    """Ctrl-C was pressed: close in order."""


class FromMachine(msgspec.Struct, frozen=True, tag=True, array_like=True):
    """What a machine says."""


class Joined(FromMachine, frozen=True):
    member: Member


class OfferMade(FromMachine, frozen=True):
    offer: Offer


class CountMade(FromMachine, frozen=True):
    """The answer to AskCount of this number.

    by_source: (connections established, of these accepted by the server) by the address of the other end
    """

    number: int
    by_source: dict[str, tuple[int, int]]


class StoredPart(msgspec.Struct, frozen=True, array_like=True):
    """A machine's part in a run, from its own store.

    run:     its number there
    outcome: how it ended, if it has no record
    record:  as JSON; empty: it has none
    samples: in their order, on the machine's clock
    """

    part: FleetPart
    run: int
    outcome: str
    record: bytes
    samples: list[bytes]


class PartsMade(FromMachine, frozen=True):
    parts: list[StoredPart]


class Prepared(FromMachine, frozen=True):
    """order: as JSON, without keys of certificates"""

    order: bytes


class Moment(FromMachine, frozen=True):
    sample: bytes


class Finished(FromMachine, frozen=True):
    """record: as JSON; run: its number in the machine's own store; not_stored: why it has none"""

    record: bytes
    run: int | None
    not_stored: str


class Refused(FromMachine, frozen=True):
    """An error instead of an answer. kind: the name of its class"""

    kind: str
    wanted: str
    stopped_by: str
    do: str

    @classmethod
    def of(cls, error: FourtupleError) -> "Refused":
        kind = next((name for name, each in ERRORS.items() if isinstance(error, each)), "CannotError")
        return cls(kind, error.wanted, error.stopped_by, error.do)

    def error(self, machine: str) -> FourtupleError:
        """The error, with the name of the machine. machine: empty: its name does not matter"""
        wanted = f"{machine}: {self.wanted}" if machine else self.wanted
        return ERRORS.get(self.kind, CannotError)(wanted, self.stopped_by, self.do)


class Gone(FromMachine, frozen=True):
    """The machine takes part no more; the link says this itself."""

    why: str


_Orders = msgspec.msgpack.Decoder(AskOffer | AskCount | AskParts | Prepare | Begin | HoldOver | Interrupt)
_Answers = msgspec.msgpack.Decoder(
    Joined | OfferMade | CountMade | PartsMade | Prepared | Moment | Finished | Refused | Gone
)
_encode = msgspec.msgpack.Encoder().encode


def packed(message: ToMachine | FromMachine) -> bytes:
    """The message as bytes."""
    return _encode(message)


def for_machine(data: bytes) -> ToMachine:
    """What the coordinator said. Raises msgspec.DecodeError for any other bytes."""
    message: ToMachine = _Orders.decode(data)
    return message


def from_machine(data: bytes) -> FromMachine:
    """What a machine said. Raises msgspec.DecodeError for any other bytes."""
    message: FromMachine = _Answers.decode(data)
    return message


def order_text(order: Order) -> bytes:
    """The order as JSON; the private key of a server stays where it is."""
    return to_text(replace(order, certificate=b"") if isinstance(order, ServeOrder) else order)


def order_from(kind: str, text: bytes) -> Order:
    order: Order = from_text(text, ORDERS[kind])
    return order


# A sample: its values in the order of these names, and of each histogram the buckets that are not empty.
_GROWN = tuple(each.field for each in GROWTHS)
_KINDS = get_type_hints(Sample)
_NAMES = tuple(each.name for each in fields(Sample) if each.name not in {"events", "start", "machines", *_GROWN})
_TIMES = ("at_ns", "first_start_ns", "last_open_ns")
_SIZES = {each.field: each.size for each in GROWTHS}
_Values: Any = msgspec.defstruct(
    "_Values",
    [*((name, _KINDS[name]) for name in _NAMES), *((name, bytes) for name in _GROWN)],
    array_like=True,
    forbid_unknown_fields=True,
)
_VALUES = msgspec.msgpack.Decoder(_Values)
_EMPTY = {size: np.zeros(size, np.int64) for size in {each.size for each in GROWTHS}}


def sample_bytes(sample: Sample) -> bytes:
    """The sample as bytes, without events."""
    plain = [getattr(sample, name) for name in _NAMES]
    return _encode([*plain, *(grown_bytes(None, getattr(sample, name)) for name in _GROWN)])


def sample_from(data: bytes, offset_ns: int = 0) -> Sample:
    """The sample that `sample_bytes` made, with its moments on the clock of this machine.

    offset_ns: the clock of the sample's machine minus this one's

    Raises ValueError (msgspec.DecodeError) for any other bytes.
    """
    values: dict[str, Any] = msgspec.structs.asdict(_VALUES.decode(data))
    for name in _TIMES:
        if values[name]:
            values[name] -= offset_ns
    for name in _GROWN:
        values[name] = _histogram(values[name], _SIZES[name])
    return Sample(**values)


def _histogram(blob: bytes, size: int) -> Any:
    if not blob:
        return _EMPTY[size]
    found, change = np.zeros(size, np.int64), grown(blob, size)
    found[change["bucket"]] = change["count"]
    return found
