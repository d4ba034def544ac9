"""TCP connections past every limit that is not real: open, hold, count and explain them.

A connection is four values (source address, source port, destination address, destination port), and two live
connections may share any three of them. Public names are loaded when first used, so that importing this is cheap.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from fourtuple.core.endpoints import Endpoint, FourTuple
    from fourtuple.core.tuples import TupleSpace
    from fourtuple.verbs import census, hold, limits, plan, serve, why

__version__ = "0.1.0"
__all__ = ["Endpoint", "FourTuple", "TupleSpace", "census", "hold", "limits", "plan", "serve", "why"]

_HOME = {
    "Endpoint": "fourtuple.core.endpoints",
    "FourTuple": "fourtuple.core.endpoints",
    "TupleSpace": "fourtuple.core.tuples",
    "census": "fourtuple.verbs",
    "hold": "fourtuple.verbs",
    "limits": "fourtuple.verbs",
    "plan": "fourtuple.verbs",
    "serve": "fourtuple.verbs",
    "why": "fourtuple.verbs",
}


def __getattr__(name: str) -> Any:
    if name in _HOME:
        return getattr(import_module(_HOME[name]), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
