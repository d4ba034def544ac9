"""Counters: `netstat -s`, `nstat`, files of /proc/net, `conntrack -S`, `ethtool -S`, `ip -s link`."""

from fourtuple.core.late import late_pattern
from fourtuple.core.numbers import number_of
from fourtuple.core.snapshot.pastes.found import FoundParts, counted

# What netstat -s of net-tools prints for a counter (statistics.c), and the kernel's name of it.
SENTENCES = {
    "active connection openings": "ActiveOpens",
    "active connections openings": "ActiveOpens",
    "passive connection openings": "PassiveOpens",
    "failed connection attempts": "AttemptFails",
    "connection resets received": "EstabResets",
    "connections established": "CurrEstab",
    "segments received": "InSegs",
    "segments sent out": "OutSegs",
    "segments send out": "OutSegs",
    "segments retransmitted": "RetransSegs",
    "segments retransmited": "RetransSegs",
    "bad segments received": "InErrs",
    "resets sent": "OutRsts",
    "SYN cookies sent": "SyncookiesSent",
    "SYN cookies received": "SyncookiesRecv",
    "invalid SYN cookies received": "SyncookiesFailed",
    "resets received for embryonic SYN_RECV sockets": "EmbryonicRsts",
    "packets pruned from receive queue because of socket buffer overrun": "PruneCalled",
    "TCP sockets finished time wait in fast timer": "TW",
    "TCP sockets finished time wait in slow timer": "TWKilled",
    "time wait sockets recycled by time stamp": "TWRecycled",
    "times the listen queue of a socket overflowed": "ListenOverflows",
    "times the listen queue of a socket overflown": "ListenOverflows",
    "SYNs to LISTEN sockets dropped": "ListenDrops",
    "SYNs to LISTEN sockets ignored": "ListenDrops",
    "other TCP timeouts": "TCPTimeouts",
    "connections reset due to unexpected data": "TCPAbortOnData",
    "connections reset due to early user close": "TCPAbortOnClose",
    "connections aborted due to memory pressure": "TCPAbortOnMemory",
    "connections aborted due to timeout": "TCPAbortOnTimeout",
    "connections aborted after user close in linger timeout": "TCPAbortOnLinger",
    "times unable to send RST due to no memory": "TCPAbortFailed",
    "times unable to send RST": "TCPAbortFailed",
    "packets received": "InDatagrams",
    "packet receive errors": "InErrors",
    "receive buffer errors": "RcvbufErrors",
    "send buffer errors": "SndbufErrors",
}
SECTIONS = ("Ip", "Icmp", "IcmpMsg", "Tcp", "Udp", "UdpLite", "TcpExt", "IpExt", "MPTcpExt", "Ip6", "Icmp6", "Udp6")
LINK_COUNTERS = {
    "RX": {"errors": "rx_errors", "dropped": "rx_dropped", "missed": "rx_missed_errors", "overrun": "rx_over_errors"},
    "TX": {"errors": "tx_errors", "dropped": "tx_dropped", "carrier": "tx_carrier_errors"},
}
CONNTRACK = ("found", "searched", "invalid", "insert", "insert_failed", "drop", "early_drop", "error", "search_restart")
STAT, SOFTNET_STAT, VMSTAT = "/proc/net/stat/", "/proc/net/softnet_stat", "/proc/vmstat"
UNKNOWN_NIC = "nic"
_SECTION = late_pattern(rf"({'|'.join(SECTIONS)}):$")
_SENTENCE = late_pattern(r"(\d+) (\w[\w ]+)$")
_LOW = late_pattern(r"TCP ran low on memory (\d+) times$")
_NAMED = late_pattern(r"(\w+): (\d+)$")
_NSTAT = late_pattern(rf"({'|'.join(sorted(SECTIONS, key=len, reverse=True))})([A-Z]\w*) +(\d+) +[\d.]+$")
_TABLE = late_pattern(rf"({'|'.join(SECTIONS)}):((?: -?\w+)+)$")
_SOCKSTAT = late_pattern(r"(TCP6?|UDP6?|UDPLITE6?|RAW6?|FRAG6?): (inuse \d+(?: \w+ \d+)*)$")
_USED = late_pattern(r"sockets: used (\d+)$")
_TRACKING = late_pattern(r"cpu=\d+\s+((?:\w+=\d+\s*)+)$")
_LINK = late_pattern(r"\d+: ([\w.@-]+): <[\w,-]*>")
_LINK_HEAD = late_pattern(r"(RX|TX):? +bytes +packets +([\w ]+)$")


# A file of /proc/net/stat: its names, then a line for each CPU, in hex; and /proc/net/softnet_stat, without names.
_STAT_HEAD = late_pattern(r"entries[ ,]+(?:[a-z_]+[ ,]+){5,}[a-z_]+$")
_STAT_ROW = late_pattern(r"[\da-f]{8}(?: +[\da-f]{8}){5,}$")
_OOM_KILL = late_pattern(r"oom_kill (\d+)$")  # of /proc/vmstat


class CounterLines:
    """The parser of counters: which section, table or interface the last lines were of."""

    def __init__(self) -> None:
        self.section = ""
        self.names: dict[str, list[str]] = {}
        self.nic = ""
        self.interface = ""
        self.link: tuple[str, list[str]] | None = None
        self.stat: tuple[str, list[str]] = ("", [])

    def begin(self) -> None:
        """Other output begins."""
        self.section, self.names, self.nic, self.link, self.stat = "", {}, "", None, ("", [])

    def take(self, line: str, found: FoundParts) -> bool:
        """Whether the line is one of these."""
        return (
            self._of_netstat(line, found)
            or self._of_files(line, found)
            or self._of_tracking(line, found)
            or self._of_links(line, found)
            or self._of_cpus(line, found)
        )

    def _of_netstat(self, line: str, found: FoundParts) -> bool:
        if section := _SECTION.match(line):
            self.begin()
            self.section = section[1]
            return True
        if nstat := _NSTAT.match(line):
            found.counters[nstat[2]] = number_of(nstat[3]) or 0
            found.note("nstat")
            return True
        if line == "#kernel":
            return True
        if not self.section:
            return False
        for form in (_SENTENCE, _LOW, _NAMED):
            if row := form.match(line):
                break
        else:
            return False
        if form is _LOW:
            name, value = "TCPMemoryPressures", row[1]
        elif form is _SENTENCE:
            name, value = SENTENCES.get(row[2], ""), row[1]
        else:
            name, value = row.groups()
        if name and (self.section in ("Tcp", "TcpExt") or name.endswith(("Errors", "Datagrams"))):
            found.counters[name] = number_of(value) or 0
        found.note("netstat -s")
        return True

    def _of_files(self, line: str, found: FoundParts) -> bool:
        """/proc/net/snmp and netstat: a line of names, then one of values; /proc/net/sockstat and sockstat6."""
        if table := _TABLE.match(line):
            section, words = table[1], table[2].split()
            names = self.names.pop(section, None)
            if names is None or not all(number_of(word.removeprefix("-")) is not None for word in words):
                self.names[section] = words
                return number_of(words[0]) is None
            values = {name: number_of(word) for name, word in zip(names, words, strict=False)}
            found.counters |= {name: value for name, value in values.items() if value is not None}
            found.note("/proc/net/netstat" if section.endswith("Ext") else "/proc/net/snmp")
            return True
        if sockstat := _SOCKSTAT.match(line):
            words = sockstat[2].split()
            values = {
                f"{sockstat[1]}.{name}": number_of(word) for name, word in zip(words[::2], words[1::2], strict=False)
            }
            found.sockstat |= {name: value for name, value in values.items() if value is not None}
            found.note("/proc/net/sockstat6" if "6" in sockstat[1] else "/proc/net/sockstat")
            return True
        return bool(_USED.match(line))

    def _of_tracking(self, line: str, found: FoundParts) -> bool:
        if not (row := _TRACKING.match(line)):
            return False
        values = (pair.partition("=") for pair in row[1].split())
        counts = {f"nf_conntrack.{name}": number_of(text) or 0 for name, _, text in values if name in CONNTRACK}
        counted(counts, found.counters)
        found.note("conntrack -S")
        return True

    def _of_cpus(self, line: str, found: FoundParts) -> bool:
        """A line of a file that has one for each CPU, or of /proc/vmstat."""
        if oom := _OOM_KILL.match(line):
            found.counters["vmstat.oom_kill"] = number_of(oom[1]) or 0
            found.note(VMSTAT)
            return True
        if _STAT_HEAD.match(line):
            self.begin()
            names = line.replace(",", " ").split()
            is_ipv6 = any(word.endswith("ndisc_cache") for word in found.command)
            table = "nf_conntrack" if "insert_failed" in names else "ndisc_cache" if is_ipv6 else "arp_cache"
            self.stat = table, names
            return True
        if not _STAT_ROW.match(line):
            return False
        table, names = self.stat
        values = dict(zip(names or ["processed", "dropped"], (int(word, 16) for word in line.split()), strict=False))
        if table == "nf_conntrack":  # each CPU reports the entries of all
            found.settings["net.netfilter.nf_conntrack_count"] = str(values["entries"])
        wanted = CONNTRACK if table == "nf_conntrack" else ("table_fulls",) if table else ("dropped",)
        counts = {f"{table or 'softnet_stat'}.{name}": values[name] for name in wanted if name in values}
        counted(counts, found.counters)
        found.note(f"{STAT}{table}" if table else SOFTNET_STAT)
        return True

    def _of_links(self, line: str, found: FoundParts) -> bool:
        """The statistics of an interface, by ethtool or by ip."""
        if line == "NIC statistics:":
            self.begin()
            words = [word for word in found.command[1:] if not word.startswith("-")]
            self.nic = words[0] if words and found.command[0] == "ethtool" else UNKNOWN_NIC
            found.note("ethtool -S")
            return True
        name, colon, text = line.rpartition(": ")
        if self.nic and colon and (value := number_of(text)) is not None:
            found.counters[f"{self.nic}.{name.strip()}"] = value
            return True
        if link := _LINK.match(line):
            self.begin()
            self.interface = link[1].partition("@")[0]
            return True
        if self.interface and (head := _LINK_HEAD.match(line)):
            self.link = head[1], ["bytes", "packets", *head[2].split()]
            return True
        if self.link is None:
            return False
        (way, columns), self.link = self.link, None
        for column, text in zip(columns, line.split(), strict=False):
            if (counter := LINK_COUNTERS[way].get(column)) and (value := number_of(text)) is not None:
                found.counters[f"{self.interface}.{counter}"] = value
        found.note("ip -s link")
        return True
