"""Open, hold, count and explain TCP connections on Linux.

A connection is identified by four values: source address, source port, destination address and destination port. Two
open connections may share any three of them. Public names are loaded on first use, so that importing this is fast.
"""

TYPE_CHECKING = False  # as typing has it; importing that would take most of the time
if TYPE_CHECKING:
    from fourtuple.client.budget import Budget, budget
    from fourtuple.client.connecting import connect, socket_factory
    from fourtuple.client.exhausted import PortsExhausted
    from fourtuple.client.pace import Pace
    from fourtuple.client.sources import Sources
    from fourtuple.client.streams import connect_async, open_connection
    from fourtuple.core.errors import CannotError, FourtupleError, ShortfallError, UsageError
    from fourtuple.core.space.endpoints import Endpoint, FourTuple
    from fourtuple.core.space.tuples import TupleSpace
    from fourtuple.verbs.census import census
    from fourtuple.verbs.churn import churn
    from fourtuple.verbs.hold import hold
    from fourtuple.verbs.limits import limits
    from fourtuple.verbs.plan import plan
    from fourtuple.verbs.serve import serve
    from fourtuple.verbs.why import why

__version__ = "0.1.0"
__all__ = [
    "Budget",
    "CannotError",
    "Endpoint",
    "FourTuple",
    "FourtupleError",
    "Pace",
    "PortsExhausted",
    "ShortfallError",
    "Sources",
    "TupleSpace",
    "UsageError",
    "budget",
    "census",
    "churn",
    "connect",
    "connect_async",
    "hold",
    "limits",
    "open_connection",
    "plan",
    "serve",
    "socket_factory",
    "why",
]

_HOME = {
    "UsageError": "fourtuple.core.errors",
    "ShortfallError": "fourtuple.core.errors",
    "FourtupleError": "fourtuple.core.errors",
    "CannotError": "fourtuple.core.errors",
    "Budget": "fourtuple.client.budget",
    "Pace": "fourtuple.client.pace",
    "PortsExhausted": "fourtuple.client.exhausted",
    "Sources": "fourtuple.client.sources",
    "budget": "fourtuple.client.budget",
    "connect": "fourtuple.client.connecting",
    "connect_async": "fourtuple.client.streams",
    "open_connection": "fourtuple.client.streams",
    "socket_factory": "fourtuple.client.connecting",
    "Endpoint": "fourtuple.core.space.endpoints",
    "FourTuple": "fourtuple.core.space.endpoints",
    "TupleSpace": "fourtuple.core.space.tuples",
    "census": "fourtuple.verbs.census",
    "churn": "fourtuple.verbs.churn",
    "hold": "fourtuple.verbs.hold",
    "limits": "fourtuple.verbs.limits",
    "plan": "fourtuple.verbs.plan",
    "serve": "fourtuple.verbs.serve",
    "why": "fourtuple.verbs.why",
}


def __getattr__(name: str) -> object:
    if name in _HOME:
        from importlib import import_module

        return getattr(import_module(_HOME[name]), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
