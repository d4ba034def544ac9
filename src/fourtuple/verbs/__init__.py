"""The library: one function a command. What takes time is a generator: pull samples, and its value is the record.

for sample in hold(1000, ["127.0.0.1:8000"]): ...          # look at a run while it goes
record = finish(hold(1000, ["127.0.0.1:8000"]))            # or wait for its end

Names are loaded when first used: in an incident `limits` must not wait for what only `hold` needs. For that, no module
here is named like one of the functions.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from fourtuple.engine.loops import LoopName, choose
    from fourtuple.store.exporting import exported
    from fourtuple.verbs.accepting import serve
    from fourtuple.verbs.beginning import start_of
    from fourtuple.verbs.beside import READY, holding, serving, start
    from fourtuple.verbs.counting import census, census_everywhere, censuses, save, states_named
    from fourtuple.verbs.explain import why
    from fourtuple.verbs.exporting import snapshots
    from fourtuple.verbs.keeping import Keeper, Runs, keep
    from fourtuple.verbs.labs import (
        Lab,
        facts,
        lab,
        namespace_refusal,
        port_range_is_quick,
        run_in,
        set_port_range,
        set_reserved_ports,
        set_sysctl,
    )
    from fourtuple.verbs.look import go_into
    from fourtuple.verbs.opening import hold
    from fourtuple.verbs.planning import plan, read_plan, write_plan
    from fourtuple.verbs.pulling import finish, paced, sockets
    from fourtuple.verbs.room import limits
    from fourtuple.verbs.settings import apply, undo
    from fourtuple.verbs.watch import Watch

__all__ = [
    "READY",
    "Keeper",
    "Lab",
    "LoopName",
    "Runs",
    "Watch",
    "apply",
    "census",
    "census_everywhere",
    "censuses",
    "choose",
    "exported",
    "facts",
    "finish",
    "go_into",
    "hold",
    "holding",
    "keep",
    "lab",
    "limits",
    "namespace_refusal",
    "paced",
    "plan",
    "port_range_is_quick",
    "read_plan",
    "run_in",
    "save",
    "serve",
    "serving",
    "set_port_range",
    "set_reserved_ports",
    "set_sysctl",
    "snapshots",
    "sockets",
    "start",
    "start_of",
    "states_named",
    "undo",
    "why",
    "write_plan",
]

_HOME = {
    "fourtuple.store.exporting": ("exported",),
    "fourtuple.engine.loops": ("LoopName", "choose"),
    "fourtuple.verbs.accepting": ("serve",),
    "fourtuple.verbs.beginning": ("start_of",),
    "fourtuple.verbs.beside": ("READY", "holding", "serving", "start"),
    "fourtuple.verbs.counting": ("census", "census_everywhere", "censuses", "save", "states_named"),
    "fourtuple.verbs.explain": ("why",),
    "fourtuple.verbs.exporting": ("snapshots",),
    "fourtuple.verbs.keeping": ("Keeper", "Runs", "keep"),
    "fourtuple.verbs.labs": (
        "Lab",
        "facts",
        "lab",
        "namespace_refusal",
        "port_range_is_quick",
        "run_in",
        "set_port_range",
        "set_reserved_ports",
        "set_sysctl",
    ),
    "fourtuple.verbs.look": ("go_into",),
    "fourtuple.verbs.opening": ("hold",),
    "fourtuple.verbs.planning": ("plan", "read_plan", "write_plan"),
    "fourtuple.verbs.pulling": ("finish", "paced", "sockets"),
    "fourtuple.verbs.room": ("limits",),
    "fourtuple.verbs.settings": ("apply", "undo"),
    "fourtuple.verbs.watch": ("Watch",),
}


def __getattr__(name: str) -> Any:
    for home, names in _HOME.items():
        if name in names:
            return getattr(import_module(home), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
