"""How many connections a program may still open, and what limits it, in one call."""

import os
from collections.abc import Sequence
from dataclasses import dataclass

from fourtuple.client.sources import Sources


@dataclass(frozen=True, slots=True)
class Budget:
    """n: so many more are surely possible; n_max: … perhaps; limited_by: the limit's name; None: none is in sight"""

    n: int | None
    n_max: int | None
    limited_by: str | None


def budget(sources: Sources | Sequence[str], destinations: str | Sequence[str]) -> Budget:
    """What this process may still open from these sources, none: as the route gives it, to these destinations.

    A single one may be given as text.

    destinations: `10.0.0.9:8080`, `10.0.0.9:8080-8083`

    It is what `fourtuple limits` says, with its rules. Raises UsageError, ShortfallError, CannotError.
    """
    from fourtuple.core.sockets.role import Role
    from fourtuple.verbs.limits import limits

    names = sources.names if isinstance(sources, Sources) else _several(sources)
    found = limits(_several(destinations), sources=names, pid=os.getpid(), role=Role.CLIENT)
    return Budget(found.room, found.room_max, found.binding)


def _several(texts: str | Sequence[str]) -> Sequence[str]:
    return [texts] if isinstance(texts, str) else texts
