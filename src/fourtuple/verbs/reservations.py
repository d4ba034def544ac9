"""Which ports to reserve if a network namespace's port range becomes wider: what listens, and what files name."""

from collections.abc import Iterable

from fourtuple.core.limits.facts import PortFacts
from fourtuple.core.plan.claims import Claim, Reservation
from fourtuple.core.plan.fit import WIDEST
from fourtuple.core.snapshot.host import Host
from fourtuple.verbs.hosts import here


def reservation_for(
    facts: PortFacts, also: Iterable[Claim] = (), wide: range = WIDEST, host: Host | None = None
) -> Reservation:
    """The reservation that a wider port range needs in the host's network namespace.

    facts: the present settings of that namespace
    also:  further ports that must stay available, such as those of a server that is going to be started here
    wide:  the range that would be set; it never starts below ip_unprivileged_port_start
    host:  None: this one, in this thread's namespace

    `fit.widening(reservation, facts)` are the settings to change, each with its command and its undo.
    """
    claims, why_not = (host or here()).claims()
    start = max(wide.start, facts.unprivileged_start)
    return Reservation.of(facts, range(start, wide.stop), [*also, *claims], why_not)
