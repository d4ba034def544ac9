"""Which ports a unit of systemd names: a socket's by ListenStream= and ListenDatagram=, a service's in its command.

A unit is the text of its file, followed by those of its drop-ins; an empty assignment resets a list (systemd.unit(5),
systemd.socket(5), systemd.service(5), systemd 257). A command line has no grammar for ports: an argument counts that is
a number, or ends with `:NUMBER`, unless its option's name says that it is something else, such as `--max-clients`.
"""

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence

from fourtuple.core.late import late_pattern
from fourtuple.core.numbers import number_of

LISTEN = ("ListenStream", "ListenDatagram", "ListenSequentialPacket")
COMMANDS = ("ExecStart", "ExecStartPre", "ExecStartPost")
ALL_PORTS = range(1, 65536)
# Names of options whose numbers are ports, and of those whose numbers are not.
_PORT = late_pattern(r"port|listen|bind|addr|publish|endpoint|socket|url|host", re.IGNORECASE)
_OTHER = late_pattern(
    r"max|(?<!ad)min|limit|size|time|mem|conn|worker|thread|backlog|[ug]id|user|group|file|interval|ttl|\bage|second|count|rate"
    r"|cache|buffer|pid|level|queue|retr|request|quota|delay|heap|stack|step|nice|depth|length|width|height|bytes",
    re.IGNORECASE,
)
_ENDS = late_pattern(r"(?:^|[:=@\]])(\d{1,5})(?:-(\d{1,5}))?(?=$|[:/,;?])")  # 8080, HOST:8080-8090, tcp:8080/udp


def assignments(texts: Iterable[str]) -> Mapping[str, Sequence[str]]:
    """The values of each key of the [Socket] and [Service] sections, in the order of the texts."""
    found: dict[str, list[str]] = {}
    for text in texts:
        section = ""
        for line in text.replace("\\\n", " ").splitlines():
            line = line.strip()
            if line.startswith("[") and line.endswith("]"):
                section = line[1:-1]
            elif section in ("Socket", "Service") and "=" in line and line[0] not in "#;":
                key, _, value = line.partition("=")
                if value.strip():
                    found.setdefault(key.strip(), []).append(value.strip())
                else:
                    found[key.strip()] = []
    return found


def listen_ports(unit: Mapping[str, Sequence[str]], instance: str = "") -> Iterator[range]:
    """The ports of a socket unit. instance: what %i stands for"""
    for value in (value for key in LISTEN for value in unit.get(key, ())):
        if not value.startswith(("/", "@", "vsock:")):
            port = number_of(value.replace("%i", instance).replace("%I", instance).rpartition(":")[2])
            yield from _range(port, port)


def command_ports(unit: Mapping[str, Sequence[str]], more: Iterable[str] = (), instance: str = "") -> Iterator[range]:
    """The ports that a service unit names in its commands and variables. more: texts of its EnvironmentFile="""
    texts = [*(value for key in (*COMMANDS, "Environment") for value in unit.get(key, ())), *more]
    for text in texts:
        lines = [line for line in text.splitlines() if not line.lstrip().startswith(("#", ";"))]
        yield from argument_ports(" ".join(lines).replace("%i", instance).replace("%I", instance).split())


def argument_ports(words: Iterable[str]) -> Iterator[range]:
    """The ports among the arguments of a command line, and among the values of variables."""
    option = ""
    for word in (word.strip("\"'") for word in words):
        name, equals, value = word.partition("=")
        value = value.strip("\"'")
        if equals and value.startswith("-"):  # VARIABLE="--listen=:9100 …", cut at its spaces
            yield from argument_ports([value])
            option = "" if "=" in value else value
        elif equals:
            yield from _of_option(name, value)
            option = ""
        elif word.startswith("-"):
            short = re.fullmatch(r"-[pP](\d{1,5})", word)
            yield from ports_in(short[1]) if short else ()
            option = word
        else:
            yield from _of_option(option, word)
            option = ""


def _of_option(option: str, value: str) -> Iterator[range]:
    if _PORT.search(option) or not _OTHER.search(option):
        yield from ports_in(value)


def ports_in(text: str) -> Iterator[range]:
    """The ports in a value: 8080, 8000-8009, HOST:8080, [::]:8080, 8080:80, tcp://HOST:8080/path, or several."""
    parts = re.split(r"[,\s]+", text)
    if any((number_of(part) or 0) > ALL_PORTS[-1] for part in parts):  # the speeds of a terminal: 115200,38400,9600
        return
    for part in parts:
        for match in _ENDS.finditer(part):
            first, last = number_of(match[1]), number_of(match[2] or match[1])
            yield from _range(first, last)


def _range(first: int | None, last: int | None) -> Iterator[range]:
    """The range with both ends, if both are ports, in ascending order."""
    if first and last and first <= last <= ALL_PORTS[-1]:
        yield range(first, last + 1)
