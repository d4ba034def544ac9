"""A pasted text as a snapshot: which lines are output of which tool, told apart by what they look like.

Shell prompts between the outputs help, and are not needed. A text may be quoted with `> `, indented, or in the fences
of Markdown. Lines that belong to no tool are left out.
"""

import re
from collections.abc import Iterator

from fourtuple.core.late import late_pattern
from fourtuple.core.snapshot.pastes.counters import CounterLines
from fourtuple.core.snapshot.pastes.found import FoundParts, snapshot_of
from fourtuple.core.snapshot.pastes.settings import SettingLines
from fourtuple.core.snapshot.pastes.sockets import take_socket, take_summary
from fourtuple.core.snapshot.pastes.system import SystemLines
from fourtuple.core.snapshot.records import Snapshot
from fourtuple.core.units import quoted

MOST_CHARACTERS = 10_000  # of a line
TOOLS = {"ss", "netstat", "nstat", "sysctl", "conntrack", "ethtool", "ip", "arp", "free", "dmesg", "journalctl"}
TOOLS |= {"cat", "head", "tail", "more", "less", "grep", "ls", "ulimit", "uname", "date", "hostname"}
_PROMPT = late_pattern(
    r"(?:\[?[\w.-]+@(?P<host>[\w.-]+)(?::\S*| [~/]\S*| \w+(?=\]))?\]? ?|(?:sh|bash)-[\d.]+|\S{1,40}(?=%))?"
    r"[#$%>] ?(?:sudo )?(?P<command>\w.*)?$"
)
# A command without its prompt: what has an option or a file begins no line of any output.
_COMMAND = late_pattern(r"(?:sudo )?(?P<command>[a-z]+(?: [\w./:=,|-]+)*)$")
_OF_FILE = late_pattern(r"(?:/proc/)(?!sys/|\d)[^\s:]+: *(?=\S)")  # as grep prints it before each line
_COLOUR = late_pattern(r"\x1b\[[0-9;?]*[A-Za-z]")
_FENCE = late_pattern(r"(?:```|~~~)[\w-]*$")
_QUOTE = late_pattern(r"(?:[>|] ?)+")


def paste(text: str) -> Snapshot | None:
    """The snapshot that the text tells of; None: it has no output of a tool that is known.

    Outputs of several hosts are told apart by their prompts only; those of the first host count.
    """
    found, counters, settings, system = FoundParts(), CounterLines(), SettingLines(), SystemLines()
    takers = (take_socket, take_summary, system.take, counters.take, settings.take)
    host, other = "", ""
    for line in _lines(text):
        if prompt := _prompt(line):
            counters.begin()
            found.tables += 1
            found.command = tuple((prompt["command"] or "").split())
            settings.begin(found.command)
            here = prompt.groupdict().get("host") or ""
            host = host or here
            other = here if here and here != host else "" if here else other
            if other:
                sentence = f"outputs of {quoted(other)} are left out: a paste is taken for one host, the first"
                if sentence not in found.unseen:
                    found.unseen.append(sentence)
            continue
        if other:
            continue
        for take in takers:
            if take(line, found):
                break
    if not found.sources:
        return None
    found.host = host or found.host
    return snapshot_of(found)


def _lines(text: str) -> Iterator[str]:
    """Yield the lines without colours, marks of quotation, fences, and white space around them."""
    lines = _COLOUR.sub("", text).splitlines()
    filled = [line for line in lines if line.strip()]
    is_quoted = bool(filled) and all(line.lstrip().startswith((">", "|")) for line in filled)
    for line in lines:
        plain = line.strip()
        if is_quoted:
            plain = _QUOTE.sub("", plain, count=1).strip()
        if not _FENCE.match(plain):
            yield _OF_FILE.sub("", plain[:MOST_CHARACTERS], count=1)


def _prompt(line: str) -> "re.Match[str] | None":
    """The prompt that the line is, with the command typed there; or the command alone."""
    if prompt := _PROMPT.match(line):
        command = (prompt["command"] or "").split()
        if prompt["host"] or (command and command[0].rpartition("/")[2] in TOOLS):
            return prompt
    if alone := _COMMAND.match(line):
        tool, *words = alone["command"].split()
        if tool in TOOLS and any(word.startswith(("-", "/")) for word in words):
            return alone
    return None
