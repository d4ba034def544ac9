"""How many more connections this program can open, and which limit decides."""

import os
from collections.abc import Sequence

from fourtuple.client.sources import Sources
from fourtuple.core.record import dataclass


@dataclass(frozen=True, slots=True)
class Budget:
    """How many more connections are possible.

    n:          at least; None: no limit is known
    n_max:      at most; None: no limit is known
    limited_by: the name of the limit that decides; None: no limit is known
    """

    n: int | None
    n_max: int | None
    limited_by: str | None


def budget(sources: Sources | str | Sequence[str], destinations: str | Sequence[str]) -> Budget:
    """How many more connections this process can open from these sources to these destinations.

    sources:      addresses; empty: as the route determines
    destinations: such as `10.0.0.9:8080`, `10.0.0.9:8080-8083`

    The answer is that of `fourtuple limits`. Raises UsageError, ShortfallError, CannotError.
    """
    from fourtuple.core.sockets.role import Role
    from fourtuple.verbs.limits import limits

    names = sources.names if isinstance(sources, Sources) else sources
    found = limits(destinations, sources=names, pid=os.getpid(), role=Role.CLIENT)
    room = found.room
    return Budget(room.least if room else None, room.most if room else None, found.binding)
