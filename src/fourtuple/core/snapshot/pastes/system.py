"""What a host is: `uname -a`, `date`, `ip addr`, `ip route`, and its kernel's log."""

import ipaddress
import itertools
from datetime import datetime, timezone

from fourtuple.core.backports import parse_iso
from fourtuple.core.late import late_pattern
from fourtuple.core.numbers import number_of
from fourtuple.core.snapshot.pastes.found import FoundParts
from fourtuple.core.snapshot.records import HostAddress, HostRoute

LOADAVG = "/proc/loadavg"
MOST_LINES = 100_000  # of a log that are kept: the last ones
_UNAME = late_pattern(r"Linux (\S+) (\d+\.\d+\S*) #\d+\S* ")
_DATE = late_pattern(r"\w{3} (\w{3}) {1,2}(\d{1,2}) (\d\d:\d\d:\d\d)(?: [AP]M)? (UTC|GMT) (\d{4})$")
_ISO = late_pattern(r"\d{4}-\d\d-\d\d[T ]\d\d:\d\d:\d\d(?:\.\d+)?(?:Z|[+-]\d\d:?\d\d)$")
_RFC = late_pattern(r"\w{3}, (\d{1,2} \w{3} \d{4} \d\d:\d\d:\d\d [+-]\d{4})$")
_INTERFACE = late_pattern(r"\d+: ([\w.@-]+): <[\w,-]*>")
_ADDRESS = late_pattern(r"inet6? ([\da-fA-F.:]+)(?: peer [\da-fA-F.:]+)?/(\d{1,3})((?: [\w.:@-]+)*)$")
# The words of a route that have a value (ip-route(8)); a route begins with one of them after its destination.
_ROUTE_WORDS = frozenset(("via", "dev", "proto", "scope", "src", "metric", "pref", "mtu", "advmss", "expires", "nhid"))
_LOADAVG = late_pattern(r"\d+\.\d\d \d+\.\d\d \d+\.\d\d \d+/(\d+) \d+$")
# A neighbour as `ip neigh`, /proc/net/arp and `arp -an` print it; entries that an administrator made have other words.
_NEIGHBOURS = (
    late_pattern(
        r"([\da-f.:]+) dev \S+ (?:lladdr \S+ )?(?:[a-z]+ )*(?:REACHABLE|STALE|DELAY|PROBE|FAILED|INCOMPLETE|NOARP)$"
    ),
    late_pattern(r"([\d.]+) +0x\w+ +0x[0-3] +[\da-f:]+ +\S+ +\S+$"),
    late_pattern(r"\S+ \(([\d.]+)\) at (?:[\da-f:]+|<incomplete>)(?: \[\w+\])? on \S+$"),
)
_PERMANENT = late_pattern(r"[\da-f.:]+ dev \S+ (?:lladdr \S+ )?(?:[a-z]+ )*PERMANENT$|IP address +HW type +Flags")
_DMESG = late_pattern(
    r"(?:<\d+>|[a-z]+ *:[a-z]+ *: )?\[ {0,6}\d+\.\d{6}\] "
    r"|(?:[a-z]+ *:[a-z]+ *: )?\[\w{3} \w{3} {1,2}\d{1,2} \d\d:\d\d:\d\d \d{4}\] "
    r"|(?:\w{3} {1,2}\d{1,2} \d\d:\d\d:\d\d|\d{4}-\d\d-\d\dT\S+) \S+ kernel: "
    r"|\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d,\d{6}[+-]\d\d:\d\d "
    # Failures without a time, as `dmesg -t` prints them.
    r"|(?:(?:nf|ip)_conntrack|TCP|VFS|IPv6|neighbour|cgroup|Out of memory|Route cache|Memory cgroup)\b.*?(?:table full"
    r"|of memory|orphaned|overflow|SYN flooding|limit \d+ reached|is full|fork rejected|Kill|duplicate address)"
)


class SystemLines:
    """The parser of these: which interface the last lines were of."""

    def __init__(self) -> None:
        self.interface = ""

    def take(self, line: str, found: FoundParts) -> bool:
        """Whether the line is one of these."""
        return (
            _is_host(line, found)
            or self._is_address(line, found)
            or _is_neighbour(line, found)
            or _is_route(line, found)
            or _is_log(line, found)
        )

    def _is_address(self, line: str, found: FoundParts) -> bool:
        if interface := _INTERFACE.match(line):  # which `ip -s link` prints, too
            self.interface = interface[1].partition("@")[0]
            return False
        if not (row := _ADDRESS.match(line)):
            return False
        address, prefix, words = row[1], int(row[2]), row[3].split()
        if _network(f"{address}/{prefix}") is None:
            return False
        interface_name = self.interface or (words[-1].partition(":")[0] if words else "")
        found.addresses.append(
            HostAddress(address, prefix, interface_name, tentative="tentative" in words, duplicate="dadfailed" in words)
        )
        found.note("ip addr")
        return True


def _is_host(line: str, found: FoundParts) -> bool:
    """A line of uname, date or /proc/loadavg. A time without a zone could be that of any."""
    if row := _UNAME.match(line):
        found.host, found.kernel = found.host or row[1], row[2]
        found.note("uname")
        return True
    if row := _LOADAVG.match(line):
        found.threads = number_of(row[1])
        found.note(LOADAVG)
        return True
    text, form = "", ""
    if row := _DATE.match(line):
        text, form = f"{row[2]} {row[1]} {row[5]} {row[3]} +0000", "%d %b %Y %H:%M:%S %z"
    elif row := _RFC.match(line):
        text, form = row[1], "%d %b %Y %H:%M:%S %z"
    elif not _ISO.match(line):
        return False
    try:
        moment = datetime.strptime(text, form) if form else parse_iso(line)
        found.at_s = moment.astimezone(timezone.utc).timestamp()
    except (ValueError, OverflowError):
        return False
    return True


def _is_neighbour(line: str, found: FoundParts) -> bool:
    """A line of a neighbour table, which is counted unless it is permanent."""
    address = next((row[1] for form in _NEIGHBOURS if (row := form.match(line))), None)
    if address is None:
        return bool(_PERMANENT.match(line))
    if ":" in address:
        found.neighbours6 = (found.neighbours6 or 0) + 1
    else:
        found.neighbours = (found.neighbours or 0) + 1
    found.note("ip neigh")
    return True


def _is_route(line: str, found: FoundParts) -> bool:
    destination, _, rest = line.removeprefix("unicast ").partition(" ")
    words = rest.split()
    if not words or words[0] not in ("via", "dev", "proto", "nhid"):
        return False
    values = {word: value for word, value in itertools.pairwise(words) if word in _ROUTE_WORDS}
    is_ipv6 = ":" in destination or ":" in values.get("via", "")
    everything = "::/0" if is_ipv6 else "0.0.0.0/0"
    network = _network(everything if destination == "default" else destination)
    source, metric = values.get("src", ""), number_of(values.get("metric", ""))
    if network is None or "dev" not in values or (source and _network(source) is None):
        return False
    found.routes.append(HostRoute(str(network), values["dev"], source, metric or 0))
    found.note("ip route")
    return True


def _is_log(line: str, found: FoundParts) -> bool:
    if not _DMESG.match(line):
        return False
    found.log.append(line)
    if len(found.log) > 2 * MOST_LINES:
        del found.log[:MOST_LINES]
    found.note("dmesg")
    return True


def _network(text: str) -> ipaddress.IPv4Network | ipaddress.IPv6Network | None:
    try:
        return ipaddress.ip_network(text, strict=False)
    except ValueError:
        return None
