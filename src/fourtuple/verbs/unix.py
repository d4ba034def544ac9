"""What a run over Unix sockets needs of this host: files and memory. No address and no port is asked for."""

import os
import stat
from collections.abc import Iterable
from contextlib import suppress

from fourtuple.core.errors import ShortfallError, UsageError
from fourtuple.core.limits.cost import MEMORY_SHARE, fitting, memory_lacking
from fourtuple.core.limits.facts import World
from fourtuple.core.limits.strategy import Strategy
from fourtuple.core.limits.table import SYSCTLS
from fourtuple.core.limits.verdicts import Case
from fourtuple.core.limits.weigh import weigh
from fourtuple.core.plan.fit import Says, checks
from fourtuple.core.sockets.role import Role
from fourtuple.core.space.endpoints import UNIX, sun_path, unix_names
from fourtuple.core.talk.template import Template
from fourtuple.engine.loops.choose import Choice
from fourtuple.engine.protocols.contract import SessionKind
from fourtuple.kernel.probes import behaviours
from fourtuple.kernel.proc.world import read_world

FILES = ("fs.file-max",)  # limits of the model that count Unix sockets, too; those of a process are the loop's


def sockets_of(destinations: Iterable[str]) -> tuple[str, ...]:
    """The names of the Unix sockets among these destinations, as `unix_names`.

    Raises UsageError also for a path at which there is something else: connect() would only say ECONNREFUSED, as for a
    socket that a server left behind.
    """
    names = unix_names(destinations)
    for name in names:
        with suppress(OSError):  # what is not there yet, or must not be looked at, connect() finds out
            if not name.startswith("@") and not stat.S_ISSOCK(mode := os.stat(sun_path(name)).st_mode):
                what = "a folder" if stat.S_ISDIR(mode) else "a file" if stat.S_ISREG(mode) else "something else"
                do = "Name the socket itself: `ss -xl` lists those at which a program listens."
                raise UsageError(f"destination {UNIX}{name}", f"it is {what}, and no socket", do)
    return names


def read_unix_world() -> World:
    """The host, without its tables of sockets."""
    return read_world(SYSCTLS, known=behaviours(), details=False)


def refuse_over_unix(
    wanted: int,
    world: World,
    choice: Choice,
    what: str,
    do: str,
    *,
    share: float = MEMORY_SHARE,
    anyway: bool = False,
) -> None:
    """Raise ShortfallError if so many connections do not fit; both ends are on this host.

    what, do: the connections in words, and what to do
    anyway:   only memory is asked, whose lack would end other programs
    """
    if lacking := memory_lacking(wanted, world.free_memory, both_ends=True, share=share, unix=True):
        raise ShortfallError(what, lacking, do)
    if anyway:
        return
    if choice.lacks(fitting(wanted, world.free_memory)):
        raise ShortfallError(what, choice.room.because, do)
    case = Case(world, Role.CLIENT, Strategy.UNIX, None, here=True, cpus=world.cpus)
    verdicts = [verdict for verdict in weigh(case) if verdict.limit in FILES]
    for check in checks(verdicts, wanted, uncounted={}):
        if check.says is Says.BLOCKS and check.room:
            raise ShortfallError(what, f"{check.title} ({check.limit}): room for {check.room.most:,}", do)


def refuse_source(kind: SessionKind | None, message: Template | None) -> None:
    """Raise UsageError for {source} and {port}, which a connection to a Unix socket does not have."""
    if (kind and kind.says_source) or (message and message.says_source):
        what = "a connection to a Unix socket has no address and no port"
        raise UsageError("the placeholders {source} and {port}", what, "Use {connection}.")
