"""What is asked of a run, in values that can be sent to another process or machine."""

from enum import StrEnum


class LoopName(StrEnum):
    AUTO = "auto"
    RING = "ring"
    EPOLL = "epoll"


class Watch(StrEnum):
    POLL = "poll"  # each is polled: at once
    CENSUS = "census"  # the kernel's table is counted now and then; where some are missing, all are looked at
    OFF = "off"  # not at all, until they are closed
