"""What the sockets of a block have in common: their family, and the options that are set before they connect."""

import socket

from fourtuple.core.space.unix import UnixBlock
from fourtuple.engine.loops.contract import How, Targets
from fourtuple.kernel import sockopts


def family_of(block: Targets) -> socket.AddressFamily:
    if isinstance(block, UnixBlock):
        return socket.AF_UNIX
    return socket.AF_INET if block.destination.shape[1] == 4 else socket.AF_INET6


def options_of(block: Targets, how: How) -> list[sockopts.Option]:
    """The options to set, all of which are of TCP."""
    if isinstance(block, UnixBlock):
        return []
    return sockopts.before_connect(how.timeout_s, how.port_range, bind=how.bind, explicit=block.is_explicit)
