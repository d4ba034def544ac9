"""What `limits`, `census`, `plan` and `why` ask a host: one contract, for the live host and for a snapshot of one."""

from collections.abc import Callable, Iterable
from typing import Any, Protocol, TypeVar

import numpy as np
from numpy.typing import NDArray

from fourtuple.core.limits.facts import Motion, PortFacts, World
from fourtuple.core.plan.claims import Claim
from fourtuple.core.record import dataclass
from fourtuple.core.sockets.columns import Mask
from fourtuple.core.sockets.filter import EVERYWHERE, Where
from fourtuple.core.sockets.owners import Holders
from fourtuple.core.sockets.table import Sockets, State
from fourtuple.core.space.endpoints import Address, Endpoint, EndpointSpec

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Origin:
    """Whose and of when an answer is that a snapshot gave.

    source: what the snapshot was read from: a file's name, or the names of pasted outputs
    time:   ISO 8601, UTC; empty: unknown, as of a paste
    uid:    the user who made it; None: unknown
    netns:  the namespace that the answer is about, with its name if it has one
    """

    source: str
    host: str
    time: str
    kernel: str
    uid: int | None
    netns: str

    def to_json(self) -> dict[str, Any]:
        """The value of `from` in a JSON answer."""
        return {name: getattr(self, name) for name in self.__slots__}


class Host(Protocol):
    """One network namespace of a host, as a process there sees it.

    origin: where the answers come from; None: this host, now
    """

    @property
    def origin(self) -> Origin | None: ...

    @property
    def can_test(self) -> bool:
        """Whether ports can be tested (`tested`)."""
        ...

    def taken(self) -> tuple[str, str]:
        """(the name of the host, the time in ISO 8601)."""
        ...

    def world(self, pid: int | None = None, *, details: bool = True) -> World:
        """The inputs of the limit model, as kernel/proc/world.py describes them.

        pid:     a process; None: a program that is started there
        details: also what takes a read per process

        Raises UsageError if there is no such process, CannotError if the host does not tell.
        """
        ...

    def sysctl(self, name: str) -> str:
        """The value of a setting now; empty: there is none."""
        ...

    def motion(self) -> Motion:
        """How much its connections change."""
        ...

    def listeners(self) -> Sockets:
        """The listening TCP sockets, dtype LISTENER. Raises OSError."""
        ...

    def fold(
        self,
        fold: Callable[[Iterable[Sockets]], T],
        states: Iterable[State],
        *,
        where: Where = EVERYWHERE,
        automatic: range | None = None,
        others: bool = True,
    ) -> tuple[T, str]:
        """(the result of `fold` over tables of the TCP sockets in these states, the source of the listing).

        where, automatic, others: as in kernel.netlink.sockdiag.Asked; the tables may have more than that

        Raises OSError.
        """
        ...

    def holders(self, inodes: NDArray[np.uint32], *, rings: bool = False) -> Holders:
        """The processes that have the sockets with these inodes."""
        ...

    def resolve(self, spec: EndpointSpec) -> list[Address]:
        """The addresses of a name. Raises UsageError."""
        ...

    def is_local(self, address: Address) -> bool:
        """Whether a connection to the address stays in this namespace."""
        ...

    def is_source(self, address: Address) -> bool:
        """Whether connections can come from the address."""
        ...

    def source_towards(self, destination: Endpoint) -> Address:
        """The source address that the route selects. Raises OSError without a route."""
        ...

    def addresses(self) -> list[Address]:
        """Every address of every interface."""
        ...

    def claims(self) -> tuple[list[Claim], list[str]]:
        """(ports that a wider range must leave alone, sentences about what cannot be known)."""
        ...

    def tested(self, unsure: Mask, connected: Mask, facts: PortFacts) -> tuple[Mask, Mask]:
        """(the ports that were tested, those of them that connect() cannot choose).

        unsure, connected: the ports in question, and those that connected sockets have

        Raises UsageError where nothing can be tested.
        """
        ...
