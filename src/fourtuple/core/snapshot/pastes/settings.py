"""Settings, limits and memory: `sysctl`, `ulimit -a`, files of /proc/PID, /proc/meminfo, `free`."""

import re
from collections.abc import Iterator

from fourtuple.core.late import late_pattern
from fourtuple.core.numbers import number_of
from fourtuple.core.snapshot.answers import SHELL
from fourtuple.core.snapshot.pastes.found import FoundParts

PROC_SYS, PID_LIMITS, PID_STATUS, MEMINFO = "/proc/sys/", "/proc/PID/limits", "/proc/PID/status", "/proc/meminfo"
_NAME = r"(?:net[./](?:ipv4|ipv6|core|netfilter|unix|bridge|mptcp|nf_conntrack_max)|fs|kernel|vm)(?:[./][a-z0-9_-]+)*"
# With = a value may be a text; after a colon or a space, as older tools print it, only numbers are taken for one.
_SYSCTL = late_pattern(rf"({_NAME})(?:\s*=\s*([\w.,:/-][\w.,:/ \t-]*|)|:?\s+(-?\d[\d \t,-]*))$")
_PROC_SYS = late_pattern(rf"{PROC_SYS}([\w/.-]+)(?::(.*)|\s*(?:=|→|->|\s)\s*(-?\d[\d\s,-]*))$")
_FILE_HEAD = late_pattern(rf"==> {PROC_SYS}([\w/.-]+) <==$")  # as head and tail print it
# What the kernel, or an older one, also calls a setting.
ALIASES = {
    "net.nf_conntrack_max": "net.netfilter.nf_conntrack_max",
    "net.ipv4.ip_conntrack_max": "net.netfilter.nf_conntrack_max",
    "net.ipv4.netfilter.ip_conntrack_max": "net.netfilter.nf_conntrack_max",
    "net.ipv4.netfilter.ip_conntrack_count": "net.netfilter.nf_conntrack_count",
}
# Commands that print the values of the settings that they name, and nothing else, one a line.
_BARE = frozenset({"cat", "head", "tail", "more", "less", "grep", "sysctl"})
_MAY_BE_EMPTY = frozenset({"net.ipv4.ip_local_reserved_ports"})
_VALUE = late_pattern(r"[\w.,:/-][\w.,:/ \t-]*$")
# The same limits as bash, zsh and dash name them; of a number in kbytes, each says so.
_ULIMITS = (
    (late_pattern(r"open files +\(-n\) +(\w+)$"), "files_soft", 1),
    (late_pattern(r"-n: file descriptors +(\w+)$"), "files_soft", 1),
    (late_pattern(r"max user processes +\(-u\) +(\w+)$"), "processes_soft", 1),
    (late_pattern(r"-u: processes +(\w+)$"), "processes_soft", 1),
    (late_pattern(r"max locked memory +\(kbytes, -l\) +(\w+)$"), "memlock_soft_bytes", 1024),
    (late_pattern(r"-l: locked-in-memory size \(k(?:bytes|b)\) +(\w+)$"), "memlock_soft_bytes", 1024),
)
_DASH_ULIMITS = (
    (late_pattern(r"nofiles +(\w+)$"), "files_soft", 1),
    (late_pattern(r"process +(\w+)$"), "processes_soft", 1),
    (late_pattern(r"locked memory\(kbytes\) +(\w+)$"), "memlock_soft_bytes", 1024),
)
_DASH = late_pattern(r"(?:time\(seconds\)|(?:file|coredump)\(blocks\)|(?:data|stack|memory|vmemory)\(kbytes\)) +\w+$")
# Other lines of ulimit -a, which say nothing about connections.
_OTHER_ULIMIT = late_pattern(r"[\w -]+\((?:[\w -]+, )?-\w\) +\w+$|-\w(?: \d+)?: [\w (),-]+ \w+$|\w[\w ]*\(\w+\) +\w+$")
_LIMIT = late_pattern(r"Max ([a-z ]+?) {2,}(\w+) +(\w+)(?: +\w+)?$")
_LIMITS = {
    "open files": ("files_soft", "files_hard"),
    "processes": ("processes_soft", None),
    "locked memory": ("memlock_soft_bytes", None),
}
_STATUS = late_pattern(r"(Name|Pid|Uid|FDSize|Threads):[ \t]+(\S+)")
_MEMINFO = late_pattern(r"(MemTotal|MemFree|MemAvailable|Cached|Shmem): +(\d+) kB$")
_FREE_HEAD = late_pattern(r"total +used +free +shared +(?:buff/cache|buffers +cached)")
_FREE = late_pattern(r"Mem: +([\d.]+\w*) +([\d.]+\w*) +([\d.]+\w*) +([\d.]+\w*) +([\d.]+\w*)(?: +([\d.]+\w*))?$")
_UNITS = {"": 1024, "B": 1, "K": 2**10, "M": 2**20, "G": 2**30, "T": 2**40}
FREE_OPTIONS = {"-b": 1, "-k": 2**10, "-m": 2**20, "-g": 2**30, "--bytes": 1, "--mebi": 2**20, "--gibi": 2**30}
PID_FILES = "/proc/PID/fd"
UNLIMITED = ("unlimited", "infinity")


class SettingLines:
    """The parser of settings and limits: which process the last lines were of, and the memory so far.

    expected: the settings whose values the next lines are, without their names
    """

    def __init__(self) -> None:
        self.pid, self.is_dash = SHELL, False
        self.expected: list[str] = []
        self.status: dict[str, str] = {}
        self.memory: dict[str, int] = {}

    def begin(self, command: tuple[str, ...]) -> None:
        """Output of this command begins."""
        paths = [number_of(part) for word in command for part in word.split("/")]
        self.is_dash = False
        self.pid = next((pid for pid in paths if pid is not None and pid < 2**31), SHELL)
        self.expected = list(_named_in(command))

    def take(self, line: str, found: FoundParts) -> bool:
        """Whether the line is one of these."""
        return (
            self._is_setting(line, found)
            or self._is_limit(line, found)
            or self._is_status(line, found)
            or self._is_memory(line, found)
        )

    def _is_setting(self, line: str, found: FoundParts) -> bool:
        """A line of sysctl, of `grep . /proc/sys/…`, or all that `cat /proc/sys/…` or `conntrack -C` print."""
        if head := _FILE_HEAD.match(line):
            self.expected = [head[1].replace("/", ".")]
            return True
        if row := _SYSCTL.match(line) or _PROC_SYS.match(line):
            name = row[1].replace("/", ".")
            if "." not in name:
                return False
            self.expected = []
            _set(name, next(filter(None, row.groups()[1:]), ""), found)
            return True
        if self.expected and (missing := [name for name in self.expected if name.replace(".", "/") in line]):
            self.expected.remove(missing[0])  # cat: /proc/sys/…: No such file or directory
            return True
        if self.expected and (_VALUE.match(line) or (not line and self.expected[0] in _MAY_BE_EMPTY)):
            _set(self.expected.pop(0), line, found)
            return True
        if self.pid != SHELL and _is_file_count(found.command) and (count := number_of(line)) is not None:
            found.process(self.pid)["files_open"] = count
            found.note(PID_FILES)
            return True
        if found.command == ("conntrack", "-C") and number_of(line.strip()) is not None:
            _set("net.netfilter.nf_conntrack_count", line, found, "conntrack -C")
            return True
        return False

    def _is_limit(self, line: str, found: FoundParts) -> bool:
        """A line of `ulimit -a` of bash, zsh or dash, or of /proc/PID/limits."""
        if _DASH.match(line):
            self.is_dash = True
            return True
        for form, name, unit in _ULIMITS + _DASH_ULIMITS * self.is_dash:
            if row := form.match(line):
                value = number_of(row[1])
                if value is None and row[1] not in UNLIMITED:
                    return False
                found.process(SHELL)[name] = None if value is None else value * unit
                found.process(SHELL)["name"] = "a program of that shell"
                found.note("ulimit -a")
                return True
        if row := _LIMIT.match(line):
            names = _LIMITS.get(row[1], ())
            for field, text in zip(names, row.groups()[1:], strict=False):
                if field and (text in UNLIMITED or number_of(text) is not None):
                    found.process(self.pid)[field] = number_of(text)
            if names:
                found.note(PID_LIMITS)
            return True
        return "ulimit -a" in found.sources and bool(_OTHER_ULIMIT.match(line))

    def _is_status(self, line: str, found: FoundParts) -> bool:
        """A line of /proc/PID/status; Name comes first, Pid before what counts."""
        if not (row := _STATUS.match(line)):
            return False
        name, text = row.groups()
        if name == "Name":
            self.status = {}
        self.status[name] = text
        pid = number_of(self.status.get("Pid", ""))
        if pid is None or pid >= 2**31 or "Name" not in self.status:
            return name == "Name"
        values = found.process(pid)
        values["name"] = self.status["Name"]
        for key, field in (("Uid", "uid"), ("FDSize", "files_most"), ("Threads", "threads")):
            if (value := number_of(self.status.get(key, ""))) is not None:
                values[field] = value
        if pid and self.pid == SHELL and SHELL in found.processes and PID_LIMITS in found.sources:
            values |= {key: value for key, value in found.processes.pop(SHELL).items() if key != "name"}
        self.pid = pid
        found.note(PID_STATUS)
        return True

    def _is_memory(self, line: str, found: FoundParts) -> bool:
        """A line of /proc/meminfo or of `free`; as in kernel/proc/meminfo.py, the page cache counts as free."""
        if row := _MEMINFO.match(line):
            self.memory[row[1]] = (number_of(row[2]) or 0) * 1024
            if "MemTotal" in self.memory:
                found.memory_bytes["total"] = self.memory["MemTotal"]
            if "MemFree" in self.memory:
                cache = max(0, self.memory.get("Cached", 0) - self.memory.get("Shmem", 0))
                found.memory_bytes["free"] = self.memory["MemFree"] + cache
            found.note(MEMINFO)
            return True
        if row := _FREE.match(line):
            unit = next((FREE_OPTIONS[word] for word in found.command if word in FREE_OPTIONS), 2**10)
            sizes = [_size(text, unit) for text in row.groups("0")]
            if None in sizes:
                return False
            total, _, free, shared, cache, _ = (size or 0 for size in sizes)
            found.memory_bytes |= {"total": total, "free": free + max(0, cache - shared)}
            found.note("free")
            return True
        return bool(_FREE_HEAD.match(line))


def _named_in(command: tuple[str, ...]) -> Iterator[str]:
    """The settings whose values a command prints without their names."""
    if command[:1] == ("sysctl",):
        if not any(word.startswith("-") and "n" in word for word in command[1:]):
            return  # it prints the names
        yield from (word for word in command[1:] if "." in word and not word.startswith("-"))
    elif command and command[0] in _BARE:
        for word in command[1:]:
            if word.startswith(PROC_SYS):
                yield word.removeprefix(PROC_SYS).replace("/", ".")


def _is_file_count(command: tuple[str, ...]) -> bool:
    """Whether it is `ls /proc/PID/fd | wc -l`; ls -l prints one line more."""
    return (
        command[:1] == ("ls",)
        and command[-2:] == ("wc", "-l")
        and not any("l" in word for word in command[1:-2] if word.startswith("-"))
    )


def _set(name: str, text: str, found: FoundParts, source: str = "sysctl") -> None:
    found.settings[ALIASES.get(name, name)] = text.strip()
    found.note(source)


def _size(text: str, unit: int) -> int | None:
    """The bytes of `9197588` in this unit, or of `8.8Gi`; None: it is no size."""
    row = re.fullmatch(r"(\d{1,15})(?:\.(\d))?(?:([BKMGT])i?)?", text)
    if not row:
        return None
    each = _UNITS[row[3]] if row[3] else unit
    return int(row[1]) * each + int(row[2] or 0) * each // 10
