"""/proc/sys: reading and writing sysctls by name. The holder of a namespace uses it too; it must not import NumPy."""

from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from types import MappingProxyType

from fourtuple.kernel.proc.files import PROC, text_of

# Only the host's own network namespace has these.
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
    """Set a sysctl, such as `net.ipv4.ip_local_port_range` to `40000 40099`. Raises OSError, which names the file."""
    file = _file(name, proc)
    try:
        file.write_text(f"{value}\n")  # of an empty value nothing would be written
    except OSError as error:
        raise OSError(error.errno, f"{error.strerror} for {value!r}", str(file)) from None


def read_sysctl(name: str, proc: Path = PROC) -> str:
    """The value of a sysctl as text; empty if it does not exist or cannot be read."""
    return text_of(_file(name, proc)).strip()


def host_sysctls(names: Iterable[str], proc: Path = PROC) -> dict[str, str]:
    """The sysctls readable in this thread's network namespace, for use as `outside` after entering another one."""
    return dict(read_sysctls(names, proc, {}, NOTHING))


def read_sysctls(
    names: Iterable[str], proc: Path, why_not: dict[str, str], outside: Mapping[str, str]
) -> Iterator[tuple[str, str]]:
    """The sysctls that exist, as (name, text).

    why_not: receives the reason for each sysctl that cannot be read
    outside: sysctls of the host, read before this thread entered another namespace
    """
    for name in names:
        file = _file(name, proc)
        try:
            text = file.read_text(encoding="utf-8")
        except FileNotFoundError:  # an older kernel, or a module that is not loaded
            if name in OF_THE_HOST and name not in outside:
                why_not[name] = "only the host's own network namespace has it"
        except OSError as error:
            why_not[name] = f"{file}: {error.strerror}"
        except UnicodeDecodeError:
            why_not[name] = f"{file} is not UTF-8"
        else:
            if text.endswith("\n"):
                yield name, text.strip()
            else:
                why_not[name] = f"{file} is truncated: {text!r}"


def _file(name: str, proc: Path) -> Path:
    return proc / "sys" / name.replace(".", "/")
