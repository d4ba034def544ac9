"""The library: one function a command. What takes time is a generator: pull samples, and its value is the record.

for sample in hold(1000, ["127.0.0.1:8000"]): ...          # look at a run while it goes
record = finish(hold(1000, ["127.0.0.1:8000"]))            # or wait for its end
"""

from collections.abc import Callable, Generator, Iterable
from typing import Any, TypeVar

from fourtuple.core.census import Sockets, State
from fourtuple.engine.loops import LoopName, choose
from fourtuple.kernel.sockdiag import fold_sockets
from fourtuple.verbs.beside import READY, holding, serving, start
from fourtuple.verbs.explain import why
from fourtuple.verbs.hold import hold
from fourtuple.verbs.lab import (
    Lab,
    facts,
    lab,
    namespace_refusal,
    port_range_is_quick,
    run_in,
    set_port_range,
    set_reserved_ports,
)
from fourtuple.verbs.limits import limits
from fourtuple.verbs.look import go_into
from fourtuple.verbs.plan import plan, read_plan, write_plan
from fourtuple.verbs.serve import serve
from fourtuple.verbs.settings import apply, undo
from fourtuple.verbs.watch import Watch

__all__ = [
    "READY",
    "Lab",
    "LoopName",
    "Watch",
    "apply",
    "census",
    "choose",
    "facts",
    "finish",
    "go_into",
    "hold",
    "holding",
    "lab",
    "limits",
    "namespace_refusal",
    "plan",
    "port_range_is_quick",
    "read_plan",
    "run_in",
    "serve",
    "serving",
    "set_port_range",
    "set_reserved_ports",
    "start",
    "undo",
    "why",
    "write_plan",
]

T = TypeVar("T")


def finish(run: Generator[Any, None, T]) -> T:
    """Pull a run to its end → its record."""
    while True:
        try:
            next(run)
        except StopIteration as end:
            result: T = end.value
            return result


def census(fold: Callable[[Iterable[Sockets]], T], states: Iterable[State] = (State.ESTABLISHED,)) -> tuple[T, str]:
    """`fold` over the TCP sockets of this network namespace in these states, and where they were read.

    Tables have dtype fourtuple.core.census.SOCKET. Raises OSError, or DumpInterruptedError after several tries.
    """
    return fold_sockets(fold, states)
