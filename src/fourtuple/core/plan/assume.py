"""Values that the user assumes in place of what this host says, or does not say: `--assume NAME=VALUE`."""

from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import replace
from types import MappingProxyType

from fourtuple.core.errors import UsageError
from fourtuple.core.limits.facts import Memory, PortFacts, World
from fourtuple.core.limits.settings import BEFORE, PORT_RANGE, RESERVED_PORTS, port_facts
from fourtuple.core.limits.table import SYSCTLS
from fourtuple.core.plan.nat import KEPT, PORTS
from fourtuple.core.plan.settings import takes
from fourtuple.core.units import parse_count, parse_duration, parse_size

FILES, MEMORY, CGROUP_MEMORY, NEIGHBOURS = "fs.file-nr", "memory", "memory.max", "neighbours"
OWN_FILES = "RLIMIT_NOFILE"
COUNTS = (FILES, OWN_FILES, NEIGHBOURS, PORTS)  # of these a number is assumed
SIZES = (MEMORY, CGROUP_MEMORY)  # free memory, in bytes
RANGE = "the range of source ports"  # why it is unknown (kernel/proc/ports.py)
OF_PORTS = frozenset({PORT_RANGE, RESERVED_PORTS, *BEFORE})
NOTHING: Mapping[str, str] = MappingProxyType({})  # is assumed
NAMES = (*COUNTS, *SIZES, KEPT)


def parse_assumptions(texts: Iterable[str]) -> dict[str, str]:
    """NAME=VALUE as {name: value}, numbers and sizes as digits. Raises UsageError."""
    found: dict[str, str] = {}
    for text in texts:
        name, equals, value = (part.strip() for part in text.partition("="))
        value = " ".join(value.strip("\"'").split())
        what = f"--assume {text}"
        if not equals:
            raise UsageError(what, "it is not NAME=VALUE", 'Write --assume net.ipv4.ip_local_port_range="1024 65535".')
        if name in COUNTS:
            value = str(parse_count(value))
        elif name in SIZES:
            value = str(parse_size(value))
        elif name == KEPT:
            value = str(round(parse_duration(value if value[-1:].isalpha() else f"{value}s")))
        elif name not in SYSCTLS:
            raise UsageError(what, f"plan does not read it; it reads sysctls of `fourtuple limits`, {', '.join(NAMES)}")
        elif not takes(name, value):
            with suppress(UsageError):
                value = str(parse_count(value))  # 100k, of settings that take one number
            if not takes(name, value):
                raise UsageError(what, f"{name} does not take this value")
        found[name] = value
    return found


def assumed_world(world: World, assumed: Mapping[str, str]) -> World:
    """The world in which this is so."""
    if not assumed:
        return world
    number = {name: int(value) for name, value in assumed.items() if name in NAMES}
    if FILES in number:
        world = replace(world, files_in_use=number[FILES])
    if OWN_FILES in number:
        world = replace(world, process=replace(world.process, files_soft=number[OWN_FILES], files_open=0))
    if NEIGHBOURS in number:
        world = replace(world, neighbours=number[NEIGHBOURS])
    if MEMORY in number:
        world = replace(world, memory=Memory(number[MEMORY], "as assumed"))
    if CGROUP_MEMORY in number:
        world = replace(world, cgroup=Memory(number[CGROUP_MEMORY], "as assumed"))
    sysctls = {name: value for name, value in assumed.items() if name in SYSCTLS}
    why_not = {name: why for name, why in world.why_not.items() if name not in assumed}
    world = replace(world, sysctls={**world.sysctls, **sysctls}, why_not=why_not)
    if not sysctls.keys() & OF_PORTS:
        return world
    ports = _ports(world)
    return replace(
        world, ports=ports, why_not={name: why for name, why in why_not.items() if name != RANGE or not ports}
    )


def _ports(world: World) -> PortFacts | None:
    """The port settings that follow from the sysctls; None: one of them exists, but is neither readable nor assumed."""
    if world.why_not.keys() & OF_PORTS:
        return None
    try:
        return port_facts(world.sysctls, world.behaviours)
    except ValueError:  # the range is neither there nor assumed
        return None
