"""The description of a lab as one line."""

from collections.abc import Sequence

from fourtuple.core.units import format_count


def lab_line(ports: range, hash_entries: int | None, hosts: Sequence[str]) -> str:
    """Port range, hash table and hosts of the lab.

    hash_entries: None: it shares the host's table
    """
    table = (
        f"own TCP hash table of {format_count(hash_entries)} entries" if hash_entries else "the host's TCP hash table"
    )
    names = "".join(f", host{number} {address}" for number, address in enumerate(hosts, 1))
    return f"lab: ports {ports.start}-{ports.stop - 1}, {table}{names}"
