"""Random worlds, counted in three ways: `python -m tests.labs.counted 7 1`, inside of a lab, as tests/labs/worlds.py.

A census, what `limits` says of each of its pairs, and /proc/net/tcp line by line have to agree, before some of the
worlds are filled and after. Says a line of JSON for each world where they do not, and a last one with the number of
worlds.
"""

import json
import os
import sys
from collections import Counter

from fourtuple.core.census.records import Census, PairCount
from fourtuple.core.limits.strategy import Strategy
from fourtuple.core.sockets.role import Role
from fourtuple.core.sockets.table import State
from fourtuple.verbs.census import census
from fourtuple.verbs.limits import limits
from tests.labs.known import Key, pair_counts, rows_of_proc, state_counts
from tests.labs.worlds import World, fill, make

AGAIN = 3  # times that what is wrong is looked at again
FILLED = 8  # one world of so many is filled, too
SIMPLE = ("ESTABLISHED", "TIME_WAIT", "CLOSE_WAIT")


def judge(world: World, when: str) -> tuple[list[str], int]:
    """What did not agree, empty where all did, and how many pairs there are.

    The commands look one after the other, and a TIME_WAIT may come of age in between: then they look again.
    """
    wrong, pairs = look(world, when)
    for _ in range(AGAIN):
        if wrong:
            wrong, pairs = look(world, when)
    return wrong, pairs


def look(world: World, when: str) -> tuple[list[str], int]:
    """The same, at one moment."""
    found = census()
    rows = list(rows_of_proc())
    pairs = {(str(row.role), row.source, row.destination): row for row in found.rows if isinstance(row, PairCount)}
    wrong = [f"a pair has several rows: {len(found.rows)}"] * (len(pairs) != len(found.rows))
    for key, counts in (expected := pair_counts(rows)).items():
        wrong += unlike(pairs.get(key), counts, key)
    wrong += [f"nobody has {key}" for key in pairs.keys() - expected.keys()]
    listed = {state: count for state, count in found.sockets.items() if state != State.BOUND_INACTIVE.name}
    if listed != (there := dict(state_counts(rows))):
        wrong.append(f"states: {listed}, there are {there}")
    if found.approximate:
        wrong.append(f"approximate where nothing moves: {found.taken.changed}")
    wrong += unlike_limits([row for row in pairs.values() if row.role is Role.CLIENT])
    wrong += free_ports(world, found)
    return [f"{when}: {each}" for each in wrong], len(expected)


def unlike(row: PairCount | None, counts: Counter[str], key: Key) -> list[str]:
    if row is None:
        return [f"{key} is missing: {counts}"]
    rest = sum(count for state, count in counts.items() if state not in SIMPLE[:2])
    said = (row.established, row.time_wait, row.close_wait, row.other, row.used)
    there = (*(counts[state] for state in SIMPLE), rest, counts.total())
    return [] if said == there else [f"{key}: {said}, there are {there}"]


def unlike_limits(rows: list[PairCount]) -> list[str]:
    """What is left is as much as connect() could still choose, at least and at most."""
    if not rows:
        return []
    asked = {"sources": sorted({row.source for row in rows}), "strategy": Strategy.LATE, "pid": os.getpid()}
    said = limits(sorted({row.destination for row in rows}), **asked)  # type: ignore[arg-type]
    routes = {(route.source, str(route.destination)): route for route in said.routes}
    wrong = []
    for row in rows:
        route = routes[row.source, row.destination]
        if row.left != route.room:
            room = f"room {route.room}"
            wrong.append(f"{row.source} → {row.destination}: left {row.left}, {room}")
    return wrong


def free_ports(world: World, found: Census) -> list[str]:
    usable = len(world.range) - found.reserved - (found.blocked or 0)
    same = found.usable == usable and found.range == (world.range.start, world.range.stop - 1)
    return [] if same else [f"usable {found.usable} of {found.range}, expected {usable} of {world.range}"]


def main(first: int, count: int) -> None:
    failed = pairs = 0
    for seed in range(first, first + count):
        world = make(seed)
        try:
            wrong, seen = judge(world, "made")
            if seed % FILLED == 0:
                fill(world)
                filled, seen = judge(world, "filled")
                wrong += filled
            pairs += seen
        finally:
            for sock in world.sockets:
                sock.close()
        failed += bool(wrong)
        if wrong:
            print(json.dumps({"seed": seed, "wrong": wrong, "made": world.told}, ensure_ascii=False), flush=True)
    print(json.dumps({"worlds": count, "failed": failed, "pairs": pairs}), flush=True)


if __name__ == "__main__":
    main(int(sys.argv[1]), int(sys.argv[2]))
