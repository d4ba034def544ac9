"""What the kernels of the servers' machines list, by the addresses of the machines that opened the connections."""

from bisect import bisect_left
from collections.abc import Mapping, Sequence
from ipaddress import ip_address
from itertools import accumulate

from fourtuple.core.space.endpoints import parse_addresses
from fourtuple.fleet.messages import CountMade


class FarEnds:
    """The connections at the servers, without those that were there before."""

    def __init__(self, counts: Sequence[CountMade], before: Mapping[str, tuple[int, int]]) -> None:
        """counts: of all servers' machines; before: what they listed before the run, by the other end"""
        found: dict[tuple[int, int], tuple[int, int]] = {}
        for count in counts:
            for source, (established, accepted) in count.by_source.items():
                address = ip_address(source)
                key = address.version, int(address)
                was = before.get(source, (0, 0))
                first = found.get(key, (-was[0], -was[1]))
                found[key] = (first[0] + established, first[1] + accepted)
        self._keys = sorted(found)
        self._established, self._accepted = (
            list(accumulate((found[key][place] for key in self._keys), initial=0)) for place in (0, 1)
        )

    def of(self, sources: Sequence[str]) -> tuple[int, int]:
        """(established, accepted) connections from these addresses, or ranges of addresses."""
        established = accepted = 0
        for source in sources:
            version, values = parse_addresses(source)
            first, last = (bisect_left(self._keys, (version, value)) for value in (values.start, values.stop))
            established += self._established[last] - self._established[first]
            accepted += self._accepted[last] - self._accepted[first]
        return established, accepted
