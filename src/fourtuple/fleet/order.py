"""What the machines of a fleet will do together: the order for all, and each machine's part, as records."""

from collections.abc import Mapping

from fourtuple.core.fleet.member import Member
from fourtuple.core.record import dataclass
from fourtuple.core.runs.orders import to_text
from fourtuple.core.runs.start import FleetPart
from fourtuple.fleet.messages import Options, Order, Prepare


@dataclass(frozen=True, slots=True)
class MachinePart:
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
class Brief:
    """What is the same for all machines of a run.

    fleet:   identifies the run on all machines
    kind:    hold, churn or serve
    command: the command line, for the machines' own stores
    store:   the machines keep their own records
    """

    fleet: str
    kind: str
    command: str
    store: bool

    def message(self, share: MachinePart, number: int, instead_of: str = "") -> Prepare:
        """The message that has a machine prepare its share.

        number:     of the machine in the run
        instead_of: the machine whose share it takes over; empty: the share is its own
        """
        part = FleetPart(self.fleet, number, share.member.name, instead_of)
        return Prepare(self.kind, to_text(share.options), part, self.command, self.store)


@dataclass(frozen=True, slots=True)
class FleetOrder:
    """Everything that a fleet will do.

    whole:   the order of all machines together, which no machine runs
    parts:   what each machine does
    counts:  seats on machines that own destinations: their kernels are asked for the other ends
    before:  (established, accepted) connections at the destinations, by their other end, that were there before
    destinations: as ADDRESS:PORT[-PORT]
    """

    brief: Brief
    whole: Order
    parts: tuple[MachinePart, ...]
    counts: tuple[int, ...]
    before: Mapping[str, tuple[int, int]]
    destinations: tuple[str, ...]
