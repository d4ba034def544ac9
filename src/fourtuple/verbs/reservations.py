"""Which ports to reserve if this network namespace's port range becomes wider: what listens, and what files name."""

import socket
from collections.abc import Iterable, Iterator

import numpy as np

from fourtuple.core.errors import CannotError
from fourtuple.core.limits.facts import PortFacts
from fourtuple.core.plan.claims import Claim, Reservation
from fourtuple.core.plan.fit import WIDEST
from fourtuple.core.sockets.table import SOCKET, Chosen, Sockets, State
from fourtuple.kernel.netlink.reading import NoSuchDumpError
from fourtuple.kernel.netlink.sockdiag import Asked, fold_sockets
from fourtuple.kernel.services import read_claims

UDP_STATES = (State.ESTABLISHED, State.CLOSE)  # connected, or not (net/ipv4/udp.c)


def reservation_for(facts: PortFacts, also: Iterable[Claim] = (), wide: range = WIDEST) -> Reservation:
    """The reservation that a wider port range needs in this thread's network namespace.

    facts: the present settings of that namespace
    also:  further ports that must stay available, such as those of a server that is going to be started here
    wide:  the range that would be set; it never starts below ip_unprivileged_port_start

    `fit.widening(reservation, facts)` are the settings to change, each with its command and its undo.
    """
    listening, why_not = listening_claims()
    named, unread = read_claims()
    start = max(wide.start, facts.unprivileged_start)
    return Reservation.of(facts, range(start, wide.stop), [*also, *listening, *named], [*why_not, *unread])


def listening_claims() -> tuple[list[Claim], list[str]]:
    """The ports on which TCP sockets listen, and which UDP sockets named in bind(); and what cannot be read."""
    found: list[Claim] = []
    why_not: list[str] = []
    try:
        tables, _ = fold_sockets(_joined, (State.LISTEN,))
        found += _claims(tables["local_port"], "TCP listener")
    except (OSError, CannotError) as error:
        why_not.append(f"the TCP listeners ({error})")
    try:
        asked = Asked(automatic=range(65536), protocol=socket.IPPROTO_UDP)
        tables, _ = fold_sockets(_joined, UDP_STATES, asked)
        found += _claims(tables["local_port"][tables["chosen"] == Chosen.BOUND], "UDP socket")
    except (OSError, CannotError, NoSuchDumpError) as error:
        why_not.append(f"the UDP sockets ({error})")
    return found, why_not


def _joined(tables: Iterable[Sockets]) -> Sockets:
    return np.concatenate([np.zeros(0, SOCKET), *tables])


def _claims(ports: "np.ndarray[tuple[int], np.dtype[np.uint16]]", by: str) -> Iterator[Claim]:
    return (Claim(port, port, by) for port in np.unique(ports).tolist())
