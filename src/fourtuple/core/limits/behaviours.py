"""Behaviour that differs between kernels and decides about ports: what is known of this one, and how it is known.

A version alone tells little, because changes are backported. So what can be tried is tried (kernel/trials.py).
"""

from collections.abc import Iterable, Mapping
from types import MappingProxyType

from fourtuple.core.backports import StrEnum
from fourtuple.core.limits import releases
from fourtuple.core.limits.releases import KernelRule
from fourtuple.core.record import dataclass


class KnownBy(StrEnum):
    """How a behaviour is known."""

    PROBE = "probe"  # it was tried on this kernel
    SETTING = "setting"  # a sysctl that came with it exists, or does not
    RELEASE = "release"  # from the version; an older kernel may have the change, too


RANGE_CAN_BE_SET = "range-can-be-set"
RANGE_IN_TURN = "range-in-turn"
BIND_RELEASED = "bind-released"
BOUND_LISTED = "bound-listed"
TW_REUSE_IN_MS = "time-wait-in-ms"
FIN_WAIT2_REUSED = "fin-wait2-reused"
TRIED = (RANGE_CAN_BE_SET, RANGE_IN_TURN, BIND_RELEASED, BOUND_LISTED)  # kernel/trials.py; others tell of themselves

RULE_OF: Mapping[str, KernelRule] = MappingProxyType(
    {
        RANGE_CAN_BE_SET: releases.OWN_RANGE,
        RANGE_IN_TURN: releases.IN_TURN,
        BIND_RELEASED: releases.BIND_RELEASED,
        BOUND_LISTED: releases.BOUND_ARE_LISTED,
        TW_REUSE_IN_MS: releases.TW_REUSE_IN_MS,
        FIN_WAIT2_REUSED: releases.FIN_WAIT2_REUSED,
    }
)


@dataclass(frozen=True, slots=True)
class Behaviour:
    """One behaviour of this kernel.

    name:     a key of RULE_OF, which says what it is
    holds:    the kernel behaves so; None: unknown
    by:       how this is known
    evidence: what was observed, or why nothing could be
    """

    name: str
    holds: bool | None
    by: KnownBy
    evidence: str

    @property
    def rule(self) -> KernelRule:
        return RULE_OF[self.name]


def is_known(behaviours: Iterable[Behaviour], name: str) -> bool:
    """Whether the kernel is known to behave so; False where it is unknown, too."""
    return any(each.name == name and each.holds for each in behaviours)


def is_possible(behaviours: Iterable[Behaviour], name: str) -> bool:
    """Whether the kernel may behave so; True where it is unknown, too."""
    return not any(each.name == name and each.holds is False for each in behaviours)
