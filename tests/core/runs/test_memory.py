"""What a connection takes: the parts, their sum, and what is said where the kernel does not tell."""

from typing import Any

from fourtuple.core.limits.cost import CLIENT_END_BYTES, SERVER_END_BYTES
from fourtuple.core.runs.memory import (
    BUCKETS_BYTES,
    PARTS,
    MemoryUse,
    Slabs,
    agreed,
    end_bytes,
    growth_bytes,
    memory_use,
    watch_bytes,
)

ROWS = {
    "TCP": "TCP", "sock_inode_cache": "sock_inode_cache", "filp": "filp", "dentry": "dentry",
    "tcp_bind_bucket": "eventpoll_epi", "tcp_bind2_bucket": "eventpoll_epi", "eventpoll_epi": "eventpoll_epi",
    "io_kiocb": "io_kiocb",
}  # fmt: skip
BEFORE = dict.fromkeys(ROWS.values(), 1_000_000)


def use(connections: int = 10_000, **other: Any) -> MemoryUse | None:
    said: dict[str, Any] = {
        "here": True, "ports": 5000, "polled": True, "taken_bytes": 82_000_000, "user_bytes": 30_000_000,
        "hash_entries": 262_144, "model_bytes": 8000.0, "before": Slabs(ROWS, BEFORE),
        "after": Slabs(ROWS, BEFORE | {"TCP": 51_400_000, "eventpoll_epi": 2_280_000, "io_kiocb": 3_560_000}),
    }  # fmt: skip
    return memory_use(connections, **(said | other))


def part(found: MemoryUse | None, name: str) -> Any:
    assert found is not None
    return next(each for each in found.parts if each.name == name)


def test_each_part_is_what_its_slabs_have_grown_by() -> None:
    """A slab that two parts share counts for the first of them, and is named."""
    found = use()

    assert part(found, "socket").measured_bytes == 5040
    assert part(found, "bind buckets").measured_bytes == 128
    assert part(found, "bind buckets").model_bytes == BUCKETS_BYTES * 5000 / 10_000
    assert part(found, "bind buckets").beside == ("eventpoll_epi",)
    assert part(found, "polls").measured_bytes == 256
    assert part(found, "request").measured_bytes is None
    assert part(found, "user space").measured_bytes == 3000
    assert part(found, "hash table").model_bytes == 8 * 262_144 / 10_000
    assert found is not None
    assert found.measured_bytes == 8200
    assert found.each_bytes == 5040 + 128 + 256


def test_one_end_alone_takes_the_clients_part() -> None:
    both, one = part(use(), "socket"), part(use(here=False), "socket")

    assert both.model_bytes == 2 * one.model_bytes


def test_without_slabinfo_the_model_is_all_there_is() -> None:
    found = use(before=None)

    assert found is not None
    assert "/proc/slabinfo" in found.why_not
    assert found.each_bytes == 8200
    assert part(found, "socket").measured_bytes is None
    assert part(found, "socket").model_bytes == 5040


def test_slabs_that_shrank_meanwhile_are_nothing_and_not_less() -> None:
    assert part(use(after=Slabs(ROWS, dict.fromkeys(ROWS.values(), 0))), "socket").measured_bytes == 0
    assert use(taken_bytes=-5).measured_bytes == 0  # type: ignore[union-attr]


def test_of_few_connections_nothing_is_said() -> None:
    assert use(999) is None
    assert use(1000) is not None


def test_the_parts_of_the_model_come_to_what_plans_count_with() -> None:
    """Within five percent: bind buckets of a port of its own for each, and no poll."""
    client = sum(part.client_bytes for part in PARTS) + BUCKETS_BYTES
    server = sum(part.server_bytes for part in PARTS)

    assert abs(client / CLIENT_END_BYTES - 1) < 0.05
    assert abs(server / SERVER_END_BYTES - 1) < 0.05


def test_an_end_is_the_sum_of_its_objects_as_this_kernel_reports_them() -> None:
    """What it does not report is taken from the model, and named."""
    objects = {"TCP": 2000.0, "TCPv6": 9999.0, "sock_inode_cache": 700.0, "filp": 200.0, "dentry": 190.0}
    modelled = sum(part.server_bytes for part in PARTS)

    assert end_bytes(objects) == (3090.0, ())
    assert end_bytes({}) == (modelled, ("socket", "inode", "file"))
    assert end_bytes({"TCP": 2000.0})[1] == ("inode", "file")
    assert watch_bytes(objects | {"io_kiocb": 224.0}, polled=True) == 224.0
    assert watch_bytes({"eventpoll_epi": 128.0, "eventpoll_pwq": 64.0}, polled=False) == 192.0
    assert 0 < watch_bytes({}, polled=False) <= watch_bytes({}, polled=True)


def test_a_growth_counts_only_where_nothing_else_changes_it() -> None:
    assert growth_bytes(1000, [2000, 2040, 2010]) == 1010
    assert growth_bytes(1000, [2000, 2500]) is None
    assert growth_bytes(1000, [900]) is None
    assert growth_bytes(None, [2000]) is None
    assert growth_bytes(1000, [None]) is None


def test_two_observations_must_agree() -> None:
    assert agreed([8000, 20_000, 8200]) == 8100
    assert agreed([8000, None, 8000]) == 8000
    assert agreed([8000, 12_000, 20_000]) is None
    assert agreed([8000, None, None]) is None
    assert agreed([]) is None
