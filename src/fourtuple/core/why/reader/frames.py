"""What is around the message of a log line: the time, the program and its PID, from the frames that loggers write.

Frames are cut away before a message is read, so that no year, PID, thread or port of a frame is taken for more.
Sources: RFC 3164, RFC 5424, systemd.journal-fields(7), dmesg(1), the log formats of nginx, Apache httpd, HAProxy,
Redis, klog, zap, logrus, bunyan and Docker.
"""

import re
from dataclasses import replace
from datetime import datetime, timedelta, timezone
from enum import Enum

from fourtuple.core.late import late_pattern
from fourtuple.core.numbers import number_of
from fourtuple.core.record import dataclass
from fourtuple.core.why.reader.fold import fold

_MONTHS = "jan|feb|mar|apr|may|jun|jul|aug|sep|oct|nov|dec"
MONTHS = {name: number for number, name in enumerate(_MONTHS.split("|"), 1)}
_MONTH = f"(?P<month>{_MONTHS})"
_CLOCK = r"(?P<clock>\d{1,2}:\d\d:\d\d(?:[.,]\d{1,9})?)"
_ZONE = r"(?P<zone>\s?(?:Z|UTC|GMT|[+-]\d\d:?\d\d)\b)?"
_DAY = r"(?P<day>\d{1,2})"
# Patterns with a time of day are tried around one; a weekday before it belongs to it.
_AROUND = late_pattern(r"\d{1,2}:\d\d:\d\d")
_BEFORE, _AFTER = 32, 48  # characters
_WEEKDAY = late_pattern(r"(?:mon|tue|wed|thu|fri|sat|sun),? \Z")
_TIMES = tuple(
    late_pattern(pattern, re.IGNORECASE)
    for pattern in (
        rf"(?P<year>\d{{4}})[-/](?P<number>\d\d)[-/](?P<day>\d\d)[T _]{_CLOCK}{_ZONE}",
        rf"{_MONTH} {{1,2}}{_DAY} {_CLOCK}(?: [A-Z]{{3,4}})? (?P<year>\d{{4}})",
        rf"{_DAY}[/ -]{_MONTH}[/ -](?P<year>\d{{4}})[: ]{{1,2}}{_CLOCK}{_ZONE}",
        rf"(?P<number>\d{{1,2}})/(?P<day>\d{{1,2}})/(?P<year>\d{{4}}),? {_CLOCK}(?P<noon> [AP]M)?",
        rf"{_MONTH} {{1,2}}{_DAY} {_CLOCK}",
        rf"(?<![a-z])[IWEF](?P<number>\d\d)(?P<day>\d\d) {_CLOCK}",
        rf"(?<![\d:]){_CLOCK}{_ZONE}(?![\d:])",
    )
)
_UPTIME = late_pattern(r"(?<=\[) {0,6}(?P<uptime>\d{1,9}\.\d{6})(?=\])")
_EPOCH = late_pattern(
    r"(?:ts|time|timestamp)\"?[:=] ?\"?(?P<epoch>\d{10}(?:\d{3}|\d{6}|\d{9})?(?:\.\d{1,9})?)\b", re.IGNORECASE
)
FRAME_CHARACTERS = 200  # within which the time of a line is
_PROGRAM = r"(?P<program>[a-z][\w./@+-]{0,60}?)"
_PID = r"(?:\[(?:pid )?(?P<pid>\d{1,7})\]| ?\[?\(?pid[ :=#]{1,2}(?P<pid_said>\d{1,7})[\])]?)"
_CALLED = (  # names of calls and errnos, which are no program's
    r"(?:accept4?|dial|connect|bind|listen|socket|open|read|write|send|recv|fork|clone|epoll_ctl"
    r"|e(?:[mn]file|conn\w+|addr\w+|timedout|pipe|again|nobufs|nomem|nospc|hostunreach|netunreach))"
)
_FRAMES = tuple(
    late_pattern(pattern)
    for pattern in (
        rf"(?:<\d{{1,3}}>)?1 @time (?P<host>\S+) {_PROGRAM} (?P<pid>\d{{1,7}}|-) \S+ (?:\[[^\]]*\] ?|- )?",  # RFC 5424
        rf"(?:<\d{{1,3}}>)?@time (?:(?P<host>[\w.:-]*[\w.-]) )?(?!{_CALLED}:){_PROGRAM}{_PID}?: ",  # RFC 3164
        r"@time \[[a-z]+\] (?P<pid>\d{1,7})#\d+: (?:\*\d+ )?(?P<nginx>)",
        r"\[@time\] \[[\w:-]+\] \[pid (?P<pid>\d+)(?::tid \d+)?\] (?P<apache>)",
        r"\[(?:alert|warning|notice)\] (?:\d+/\d+ )?\((?P<pid>\d+)\) : (?P<haproxy>)",
        r"\[(?:alert|warning|notice)\] \d+/\d+ \((?P<pid>\d+)\) : (?P<haproxy>)",
        r"(?P<pid>\d{1,7}):[mscx] @time [.*#-] (?P<redis>)",
        r"@time \[(?P<pid>\d{1,7})\](?: \S+@\S+)? (?=(?:fatal|error|log|warning|panic):)(?P<postgres>)",
        r"@time +(?P<pid>\d{1,7}) \S+?:\d+\] ",  # klog
        r"\[pid (?P<pid>\d{1,7})\] (?:@time )?(?=\w+\()",  # strace -f
        r"(?:\[@time\]|@time) ",
        r"\[@kernel\] (?P<kernel>)",
        rf"{_PROGRAM}{_PID}: ",
    )
)
_NAMED = ("kernel", "nginx", "apache", "haproxy", "redis", "postgres")
_TOOLS = late_pattern(
    r"(?:^|[\]>:] )(curl|wget|ssh|scp|sftp|rsync|psql|pg_dump|mysql|mysqldump|redis-cli|nginx|haproxy|envoy"
    r"|squid|bash|sh|zsh|nc"
    r"|ncat|telnet|ab|wrk|hey|k6|vegeta|git|docker|dockerd|containerd|kubelet|kube-proxy|systemd|sudo|prlimit|strace|kernel"
    r"|dig|socat|iperf3|memcached|mosquitto|php-fpm|apache2|httpd|unbound|etcd|traefik|caddy)(?:\[\d+\])?: "
)
_FIELDS = late_pattern(
    r"\"?\b(?P<key>syslog_identifier|_comm|process\.name|program|app|service|appname|_pid|pid)\"?[:=]"
    r" ?\"?(?P<value>[\w./@+-]{1,60})\"?"
)
_THROWN = late_pattern(r"(?:error|exception)\Z")  # `java.net.ConnectException: …` is no program
_PID_SAID = late_pattern(r"\bpid[ #](\d{1,7})\b")
_OF_KERNEL = late_pattern(
    r"\[(?: {0,6}\d{1,9}\.\d{6}|(?:mon|tue|wed|thu|fri|sat|sun) \w{3} {1,2}\d{1,2} \d\d:\d\d:\d\d \d{4})\]"
)


class Clock(Enum):
    """What a time is counted from; times of different clocks cannot be compared."""

    DATE = "a complete date"
    YEARLESS = "a date without a year"
    UPTIME = "the seconds since boot"
    OF_DAY = "a time of day"


@dataclass(frozen=True, slots=True)
class Stamp:
    """When a line was logged.

    text:  as the text writes it; ISO 8601 where the date is complete
    clock: what `at_s` is counted from
    at_s:  seconds
    """

    text: str
    clock: Clock
    at_s: float


@dataclass(frozen=True, slots=True)
class Framed:
    """A line, cut into its frame and its message.

    message: the folded line without its frame
    """

    message: str
    stamp: Stamp | None = None
    program: str = ""
    pid: int | None = None
    host: str = ""


def message_of(line: str) -> str:
    """The message of a line as it is written, without time, program and other parts of its frame."""
    line = " ".join(line.split())
    message = framed(line, fold(line)).message
    written = line[max(0, len(line) - len(message)) :]
    return written if message and fold(written) == message else line


def framed(line: str, folded: str) -> Framed:
    """Cut the frames off a line, which is given as it is and folded: the one of the program, and one around it."""
    stamp, folded = _timed(line, folded)
    outer = _cut(Framed(folded, stamp))
    inner_stamp, message = _timed(outer.message, outer.message)
    inner = _cut(Framed(message, inner_stamp))
    if not inner.program and inner.message == message:  # no frame within
        inner = Framed(outer.message if message.startswith("@") else message)
    if stamp is None or (inner_stamp is not None and inner_stamp.clock is Clock.DATE):
        stamp = inner_stamp or stamp
    found = Framed(inner.message, stamp, inner.program or outer.program, outer.pid if inner.pid is None else inner.pid)
    found = replace(found, host=outer.host or inner.host)
    return _by_fields(_by_tool(found), folded)


def _cut(line: Framed) -> Framed:
    for pattern in _FRAMES:
        if match := pattern.match(line.message):
            groups = match.groupdict()
            program = next((name for name in _NAMED if groups.get(name) is not None), groups.get("program") or "")
            pid = number_of(groups.get("pid") or groups.get("pid_said") or "")
            host = _known(groups.get("host") or "").removeprefix("-")
            return Framed(line.message[match.end() :], line.stamp, _known(program), pid, host)
    return line


def _known(program: str) -> str:
    is_none = program in ("error", "warning", "warn", "info", "fatal", "debug", "main") or _THROWN.search(program)
    return "" if is_none else program


def _by_tool(found: Framed) -> Framed:
    match = None if found.program else _TOOLS.search(found.message[:FRAME_CHARACTERS])
    return replace(found, program=match[1]) if match else found


def _by_fields(found: Framed, folded: str) -> Framed:
    """Take program and PID from the fields of JSON or logfmt, if the line has no other frame."""
    if found.program and found.pid is not None:
        return found
    program, pid = found.program, found.pid
    for match in _FIELDS.finditer(folded):
        if match["key"] in ("pid", "_pid"):
            pid = int(match["value"]) if pid is None and match["value"].isdecimal() else pid
        elif not match["value"].isdecimal():
            program = program or match["value"]
    if pid is None and (said := _PID_SAID.search(folded)):
        pid = int(said[1])
    return replace(found, program=program, pid=pid)


def _timed(line: str, folded: str) -> tuple[Stamp | None, str]:
    """The first time in a line, and the folded line with `@time` in its place if that is near its beginning.

    The kernel's own times, in brackets, become `[@kernel]`.
    """
    within = len(line) if line.lstrip().startswith("{") else FRAME_CHARACTERS
    if not (match := _time(line, within)):
        return None, folded
    try:
        stamp = _stamp(match)
    except (ValueError, OverflowError, OSError):
        return None, folded
    if kernel := _OF_KERNEL.match(folded):
        return stamp, f"[@kernel]{folded[kernel.end() :]}"
    here = None if "epoch" in match.re.groupindex else _time(folded, FRAME_CHARACTERS)
    if here and here.start() <= FRAME_CHARACTERS // 2:
        before = _WEEKDAY.sub("", folded[: here.start()])
        folded = f"{before}@time{folded[here.end() :]}"
    return stamp, folded


def _time(line: str, within: int) -> re.Match[str] | None:
    """The first time within so many characters of a line, in the first of the formats that fits."""
    found = _UPTIME.search(line, 0, min(within, FRAME_CHARACTERS))
    if around := _AROUND.search(line, 0, within):
        start, end = max(0, around.start() - _BEFORE), min(len(line), around.end() + _AFTER)
        clock = next((match for pattern in _TIMES if (match := pattern.search(line, start, end))), None)
        found = clock if clock and (found is None or clock.start() < found.start()) else found
    return found or _EPOCH.search(line, 0, within)


def _stamp(match: re.Match[str]) -> Stamp:
    groups = match.groupdict()
    if epoch := groups.get("epoch"):
        whole = epoch.partition(".")[0]
        at_s = float(epoch) / 10 ** (len(whole) - 10)
        return Stamp(datetime.fromtimestamp(at_s, timezone.utc).isoformat().replace("+00:00", "Z"), Clock.DATE, at_s)
    if uptime := groups.get("uptime"):
        return Stamp(uptime, Clock.UPTIME, float(uptime))
    clock = groups["clock"].replace(",", ".")
    hours, minutes, seconds = clock.split(":")
    time_of_day = timedelta(hours=_hour(int(hours), groups.get("noon")), minutes=int(minutes), seconds=float(seconds))
    if not groups.get("day"):
        return Stamp(match[0], Clock.OF_DAY, time_of_day.total_seconds())
    month = int(groups["number"]) if groups.get("number") else MONTHS[groups["month"].lower()]
    year = groups.get("year")
    zone = (groups.get("zone") or "").strip()
    moment = datetime(int(year or 2000), month, int(groups["day"]), tzinfo=_zone(zone)) + time_of_day
    if not year:
        return Stamp(match[0].lstrip("IWEF"), Clock.YEARLESS, moment.timestamp())
    suffix = "" if not zone else moment.isoformat()[-6:].replace("+00:00", "Z")
    fraction = clock.partition(".")[2]
    text = moment.replace(tzinfo=None, microsecond=0).isoformat() + (f".{fraction}" if fraction else "") + suffix
    return Stamp(text, Clock.DATE, moment.timestamp())


def _hour(hour: int, noon: str | None) -> int:
    return hour if noon is None else hour % 12 + 12 * (noon.strip().lower() == "pm")


def _zone(text: str) -> timezone:
    """The time zone; UTC if the text names none."""
    if not text or text[0] not in "+-":
        return timezone.utc
    digits = text[1:].replace(":", "")
    size = timedelta(hours=int(digits[:2]), minutes=int(digits[2:]))
    return timezone(-size if text[0] == "-" else size)
