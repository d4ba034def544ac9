"""What the machines of a fleet will do together: the order for all, and each machine's part, as records."""

from collections.abc import Mapping

from fourtuple.core.fleet.member import Member
from fourtuple.core.record import dataclass
from fourtuple.fleet.messages import Options, Order


@dataclass(frozen=True, slots=True)
class Share:
    """A machine's part of an order.

    seat:       of the process that does it
    wanted:     connections that it opens; of a serve 0
    sources:    the addresses that its connections come from
    instead_of: the seat whose share it takes over; 0: the share is its own
    """

    seat: int
    member: Member
    options: Options
    wanted: int
    sources: tuple[str, ...]
    instead_of: int = 0


@dataclass(frozen=True, slots=True)
class FleetOrder:
    """Everything that a fleet will do.

    fleet:   identifies the run on all machines
    kind:    hold, churn or serve
    whole:   the order of all machines together, which no machine runs
    parts:   what each machine does
    command: the command line, for the machines' own stores
    store:   the machines keep their own records
    counts:  seats on machines that own destinations: their kernels are asked for the other ends
    before:  the connections at the destinations, by their other end, that were there before
    destinations: as ADDRESS:PORT[-PORT]
    """

    fleet: str
    kind: str
    whole: Order
    parts: tuple[Share, ...]
    command: str
    store: bool
    counts: tuple[int, ...] = ()
    before: Mapping[str, int] = {}
    destinations: tuple[str, ...] = ()
