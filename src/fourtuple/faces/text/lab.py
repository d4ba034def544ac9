"""What a lab is, in a line."""

from collections.abc import Sequence

from fourtuple.core.units import format_count


def lab_line(ports: range, hash_entries: int | None, hosts: Sequence[str]) -> str:
    table = f"a TCP hash table of {format_count(hash_entries)}" if hash_entries else "the host's TCP hash table"
    names = "".join(f", host{number} {address}" for number, address in enumerate(hosts, 1))
    return f"lab: ports {ports.start}-{ports.stop - 1}, {table}{names}"
