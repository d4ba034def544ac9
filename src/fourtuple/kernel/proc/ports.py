"""Which source ports this network namespace has: the settings that decide it, read from /proc/sys/net/ipv4."""

from collections.abc import Sequence
from pathlib import Path

from fourtuple.core.errors import CannotError
from fourtuple.core.limits.behaviours import Behaviour
from fourtuple.core.limits.facts import PortFacts
from fourtuple.core.limits.settings import BEFORE, PORT_RANGE, RESERVED_PORTS, port_facts
from fourtuple.kernel.proc.files import PROC


def read_port_facts(known: Sequence[Behaviour], proc: Path = PROC) -> PortFacts:
    """The port settings of this thread's network namespace.

    known: the behaviour of this kernel (kernel/probes.py)

    Raises CannotError if one is unreadable or truncated.
    """
    ipv4 = proc / "sys/net/ipv4"
    defaults = {PORT_RANGE: None, RESERVED_PORTS: "", **{name: str(value) for name, value in BEFORE.items()}}
    try:
        texts = {name: _setting(ipv4 / name.rpartition(".")[2], default) for name, default in defaults.items()}
        return port_facts(texts, known)
    except (OSError, ValueError) as error:
        reason = (
            error.strerror if isinstance(error, OSError) else "not UTF-8" if isinstance(error, UnicodeError) else error
        )
        raise CannotError("the range of source ports", f"{reason} ({ipv4 / 'ip_local_port_range'})") from None


def _setting(file: Path, default: str | None = None) -> str:
    """The text of a setting; default: its value if the file does not exist. Raises OSError; ValueError if truncated."""
    try:
        text = file.read_text(encoding="utf-8")
    except FileNotFoundError:
        if default is None:
            raise
        return default
    if not text.endswith("\n"):
        raise ValueError(f"{file.name} is truncated: {text!r}")
    return text
