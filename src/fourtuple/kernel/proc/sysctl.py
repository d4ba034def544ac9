"""/proc/sys: sysctls read and written, by name. A namespace's holder does that, too, and must not import NumPy."""

from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from types import MappingProxyType

from fourtuple.kernel.proc.files import PROC as PROC
from fourtuple.kernel.proc.files import text_of

# Network namespaces but the host's own do not have these.
OF_THE_HOST = frozenset(
    {
        "net.ipv4.tcp_mem",
        "net.ipv4.tcp_max_orphans",
        "net.ipv4.neigh.default.gc_thresh3",
        "net.core.netdev_max_backlog",
    }
)
NOTHING: Mapping[str, str] = MappingProxyType({})


def write_sysctl(name: str, value: str, proc: Path = PROC) -> None:
    """`net.ipv4.ip_local_port_range`, `40000 40099`. Raises OSError, which names the file."""
    file = _file(name, proc)
    try:
        file.write_text(value)
    except OSError as error:
        raise OSError(error.errno, f"{error.strerror} for {value!r}", str(file)) from None


def read_sysctl(name: str, proc: Path = PROC) -> str:
    """Empty where it is not there."""
    return text_of(_file(name, proc)).strip()


def host_sysctls(names: Iterable[str], proc: Path = PROC) -> dict[str, str]:
    """Those of the sysctls that are there in this thread's network namespace, to be taken along into another."""
    return dict(read_sysctls(names, proc, {}, NOTHING))


def read_sysctls(
    names: Iterable[str], proc: Path, why_not: dict[str, str], outside: Mapping[str, str]
) -> Iterator[tuple[str, str]]:
    """(name, text) of each that is there.

    why_not: gets the reason for those that cannot be read
    outside: those of the host that were read before this thread entered another namespace
    """
    for name in names:
        file = _file(name, proc)
        try:
            text = file.read_text()
        except FileNotFoundError:  # older kernels lack some, and what a module brings
            if name in OF_THE_HOST and name not in outside:
                why_not[name] = "only the host's own network namespace has it"
        except (OSError, UnicodeDecodeError) as error:
            why_not[name] = f"{file}: {getattr(error, 'strerror', None) or error}"
        else:
            if text.endswith("\n"):
                yield name, text.strip()
            else:
                why_not[name] = f"{file} is cut short: {text!r}"


def _file(name: str, proc: Path) -> Path:
    return proc / "sys" / name.replace(".", "/")
