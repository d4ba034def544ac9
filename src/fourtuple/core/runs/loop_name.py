"""Which I/O engine makes the connections, by name: all of orders that `plan` needs."""

from fourtuple.core.backports import StrEnum


class LoopName(StrEnum):
    """The I/O engine that makes the connections."""

    AUTO = "auto"
    RING = "ring"
    EPOLL = "epoll"
