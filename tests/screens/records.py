"""The shape of every record that --json prints: its keys, with the types of what stands there. Scripts rely on it.

A key of its own line for each: `losses[].by str`. Where the keys are data (errnos, names of counters), they are `*`.
"""

import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, replace
from functools import partial
from typing import Any

from fourtuple.core.census.records import By
from fourtuple.core.check.judge import judge
from fourtuple.core.fleet.answers import limits_of, plan_of
from fourtuple.core.runs.proof import Ground, Proof
from fourtuple.core.runs.records import Loss, Witness
from fourtuple.core.runs.spread import PairUse
from tests.core.check.test_judge import ONE_EACH, SEEN
from tests.core.check.test_judge import PORTS as SOURCE_PORTS
from tests.faces.text.test_runs import kept
from tests.made import RESOLVED, ground, hold_record, result, serve_record
from tests.made_churn import churn_record
from tests.screens import census, fleet, limits, plan, why
from tests.screens.churn import FOUND
from tests.screens.churn import TROUBLED as TROUBLED_CHURN
from tests.screens.compare import other_machine, same_machine
from tests.screens.hold import AWAY, CLOSED, FAILED, FLEET_GONE, LOST, NOTHING, STOPPED, TALKED
from tests.screens.runs import ENTRIES
from tests.screens.serve import TROUBLED

# Keys below these are data, not names that a script knows beforehand.
DATA = {
    "failed", "lost", "lost_by", "reconnect_failed", "moved", "carrying", "sockets", "counters", "unknown", "numbers",
    "sysctls", "predicted", "observed", "evidence", "tightest",
}  # fmt: skip


def _walk(value: Any, path: str) -> Iterator[tuple[str, str]]:
    if isinstance(value, Mapping):
        is_data = path.rpartition(".")[2].removesuffix("[]") in DATA
        if path and not is_data:
            yield path, "object"
        for key, inner in value.items():
            yield from _walk(inner, f"{path}.{'*' if is_data else key}".lstrip("."))
    elif isinstance(value, list):
        yield path, "array"
        for inner in value:
            yield from _walk(inner, f"{path}[]")
    else:
        yield path, {"NoneType": "null", "str": "string", "bool": "boolean"}.get(type(value).__name__, "number")


def shape(*records: Mapping[str, Any]) -> str:
    """Of all of them together, as JSON has them."""
    found: dict[str, set[str]] = {}
    for record in records:
        for path, kind in _walk(json.loads(json.dumps(record, default=str)), ""):
            found.setdefault(path, set()).add(kind)
    return "\n".join(f"{path} {'|'.join(sorted(kinds))}" for path, kinds in sorted(found.items()))


HOLDS = (
    hold_record(),
    NOTHING,
    FAILED,
    LOST,
    CLOSED,
    TALKED,
    AWAY,
    STOPPED,
    hold_record(resolved=(RESOLVED,)),
    FLEET_GONE,
    hold_record(
        losses=(Loss(1, "FIN", 1),),
        listen_overflows=None,
        sharing=replace(hold_record().sharing, pairs=(PairUse(None, "127.0.0.1:80", 1, 2),)),  # type: ignore[type-var]
        census=Witness(1, None, None, "sock_diag"),
    ),
)
FLEET_CHURN, FLEET_SERVE = churn_record(machines=FLEET_GONE.machines), serve_record(machines=FLEET_GONE.machines)
LISTENER = frozenset({32_900})
CHECKS = (
    judge(SEEN),
    judge(replace(SEEN, most=ONE_EACH, opened=64, kept=SOURCE_PORTS, errno="EADDRNOTAVAIL", call="bind", exit=None)),
    judge(replace(SEEN, kept=LISTENER, named=LISTENER, listened=LISTENER)),
)


def _proof() -> str:
    proof = Proof(ground(), (result(), result("one-wall", "fails")), 12.34)
    return shape(
        proof.to_json(), replace(proof, ground=Ground("unshare: Operation not permitted", ground().start)).to_json()
    )


def _census(by: By) -> str:
    return shape(*(found.to_json() for found in (census.counted(by), census.moving(by), census.from_proc(by))))


def _stored() -> Iterator[Mapping[str, Any]]:
    for kind, record, wanted in (
        ("hold", hold_record(), 1000),
        ("hold", None, 1000),
        ("churn", churn_record(), None),
        ("serve", serve_record(), None),
        ("prove", object(), None),
    ):
        options: dict[str, Any] = {} if kind == "prove" else {"wanted": wanted}
        yield kept(kind, record, **options).to_json(samples=False)


SCREENS: Mapping[str, Callable[[], str]] = {
    "hold": lambda: shape(*(record.to_json() for record in HOLDS)),
    "churn": lambda: shape(churn_record().to_json(), TROUBLED_CHURN.to_json(), FOUND.to_json(), FLEET_CHURN.to_json()),
    "serve": lambda: shape(
        serve_record().to_json(),
        TROUBLED.to_json(),
        serve_record(listen_overflows=None).to_json(),
        FLEET_SERVE.to_json(),
    ),
    "limits": lambda: shape(
        *(
            limits.answer(question).to_json()
            for question in (limits.DEFAULT, limits.SEVERAL, limits.SERVER, limits.UNKNOWN, limits.TUNED)
        ),
        limits.answer(limits.UNSURE, probed=300, because=["a reason"], full=["0.0.0.0:80"]).to_json(),
        replace(limits.answer(limits.PORTS), resolved=(RESOLVED,)).to_json(),
    ),
    "plan": lambda: shape(
        plan.answer(limits.PORTS, 1000).to_json(),
        plan.answer(limits.PORTS, 100_000, machines=2, churn_per_s=10.0, nat="aws", absent=["192.0.2.5"]).to_json(),
        plan.answer(limits.PORTS, 1_000_000_000, machines=1, nat="gcp").to_json(),
        plan.answer(limits.UNSURE, 27_950).to_json(),
        replace(plan.answer(limits.PORTS, 1000), resolved=(RESOLVED,)).to_json(),
    ),
    "why": lambda: shape(
        *(why.answer(text, ports=why.PORTS).to_json() for text in ("28232", "KeyError: 1", why.NGINX)),
        why.answer("EADDRNOTAVAIL", **why.TIME_WAIT).to_json(),
        replace(why.answer("99"), resolved=(RESOLVED,)).to_json(),
        why.answer("listen tcp :8080: bind: address already in use").to_json(),
    ),
    **{f"census-by-{by}": partial(_census, by) for by in By},
    "fleet-hosts": lambda: shape(fleet.hosts([*fleet.HOSTS, *fleet.OTHERS]).to_json()),
    "fleet-limits": lambda: shape(limits_of(fleet.DESTINATION, [*fleet.FEW, fleet.server_of(60_000)]).to_json()),
    "fleet-plan": lambda: shape(
        plan_of(200_000, fleet.DESTINATION, [*fleet.FEW, fleet.server_of(60_000)]).to_json(),
        plan_of(1000, fleet.DESTINATION, fleet.FEW, 100.0).to_json(),
    ),
    "check": lambda: shape(*(found.to_json() for found in CHECKS)),
    "compare": lambda: shape(same_machine().to_json(), other_machine().to_json()),
    "runs": lambda: shape(*map(asdict, ENTRIES)),
    "runs-show": lambda: shape(*_stored()),
    "prove": _proof,
}
