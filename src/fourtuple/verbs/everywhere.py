"""`census --all-netns`: the use of source ports in every network namespace, each counted by a process inside."""

from collections.abc import Generator, Mapping
from concurrent.futures import ProcessPoolExecutor
from dataclasses import replace
from multiprocessing import get_context
from typing import Any

from fourtuple.core.census.records import Census
from fourtuple.core.errors import CannotError, FourtupleError
from fourtuple.core.limits.table import SYSCTLS
from fourtuple.core.runs.run import Run
from fourtuple.kernel.netns import Place, own_netns, places
from fourtuple.kernel.proc.sysctl import host_sysctls
from fourtuple.verbs.census import census
from fourtuple.verbs.hosts import here


def census_everywhere(**options: object) -> Run[tuple[Place, Census | FourtupleError], int]:
    """Take a `census` with these options in each network namespace visible to this user, this process's own first.

    The result of the run is the number of namespaces that this user cannot see.
    """
    return Run(_everywhere(options))


def _everywhere(options: dict[str, object]) -> Generator[tuple[Place, Census | FourtupleError], None, int]:
    outside = host_sysctls(SYSCTLS)
    found, closed = places()
    for place in found:
        with ProcessPoolExecutor(1, mp_context=get_context("fork")) as other:
            try:
                counted = other.submit(_census_in, place, options | {"host": here(outside)}).result()
            except FourtupleError as error:
                yield place, error
                continue
        if counted is not None:
            yield place, replace(counted, taken=replace(counted.taken, name=place.name))
    return closed


def _census_in(place: Place, options: Mapping[str, Any]) -> Census | None:
    """Count in that namespace; None: it no longer exists.

    This runs in a process of its own, because a process may be unable to return from the namespace that it entered.
    """
    if place.netns != own_netns():
        try:
            place.enter()
        except PermissionError as error:
            raise CannotError(
                f"the network namespace {place.name}", f"{error.strerror}: entering it needs root"
            ) from None
        except OSError:
            return None
    counted: Census = census(**options)
    return counted
