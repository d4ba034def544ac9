"""The description of a lab as one sentence."""

from collections.abc import Iterator, Sequence

from fourtuple.core.units import format_things
from fourtuple.faces.text.lines import wrapped


def lab_lines(ports: range, hash_entries: int | None, hosts: Sequence[str], why_shared: str = "") -> Iterator[str]:
    """Port range, hash table and hosts of the lab.

    hash_entries: None: it shares the host's table
    why_shared:   why it has no PID namespace of its own; empty: it has
    """
    table = (
        f"own TCP hash table of {format_things(hash_entries, 'entry')}" if hash_entries else "the host's TCP hash table"
    )
    names = "".join(f", host{number} {address}" for number, address in enumerate(hosts, 1))
    yield from wrapped("lab: ", f"ports {ports.start}-{ports.stop - 1}, {table}{names}")
    if why_shared:
        yield from wrapped("without a PID namespace: ", why_shared)
