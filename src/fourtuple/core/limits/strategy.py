"""Strategies for source ports: what chooses the port, and at which call."""

from fourtuple.core.backports import StrEnum


class Strategy(StrEnum):
    """What chooses the source port, and at which call.

    A port taken by bind() is lost to every kernel-chosen connect() in the namespace, so a plan uses one family only.
    """

    LATE = "late"  # the kernel, at connect(); with IP_LOCAL_PORT_RANGE, which also finds the last port quickly
    PLAIN = "plain"  # the kernel, at connect(); nothing is set
    NOPORT = "noport"  # the kernel, at connect(); bind(address, 0) with IP_BIND_ADDRESS_NO_PORT
    BIND0 = "bind0"  # the kernel, at bind(address, 0), for that source address alone: the cause of early exhaustion
    UNIX = "unix"  # nothing: a Unix socket has no port
    EXPLICIT = "explicit"  # this program: SO_REUSEADDR and SO_REUSEPORT, bind(address, port), connect()
