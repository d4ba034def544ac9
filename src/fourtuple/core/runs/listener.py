"""What the process that listens at the other end, as far as it is visible, has to do with losses, or with a queue.

A limit of connections is named only where it can be the cause. A server at its limit closes at once what it accepts
beyond, and keeps what it has; or it stops accepting, and the others wait. What is closed after a message, or after a
while in which nothing happened, is closed for another reason.
"""

import errno
from collections.abc import Iterator, Mapping, Sequence

from fourtuple.core.runs.reasons import KEEPS_NONE
from fourtuple.core.runs.records import AcceptQueue, HoldRecord
from fourtuple.core.runs.servers import SERVERS, Settings

SOON_S = 1.0  # a limit closes sooner than this, and a timeout for idle connections later
CLOSED = frozenset({"FIN", *(errno.errorcode[number] for number in (errno.ECONNRESET, errno.EPIPE))})
PROTOCOL = errno.errorcode[errno.EPROTO]
LOG = "its log may say why"


def about_losses(record: HoldRecord, lost: Mapping[str, int], queues: Sequence[AcceptQueue]) -> Iterator[str]:
    """Who listens, and which of its settings ends connections in the way that was seen; else where to look.

    lost: by errno, without those of a worker's death
    """
    total = sum(lost.values())
    keeps_none = sum(count for reason, count in record.reasons.items() if reason.endswith(KEEPS_NONE)) >= total
    explained = sum(record.reasons.values()) - record.unexpected >= total  # which says more than who listens
    if (explained and not keeps_none) or set(lost) == {PROTOCOL}:
        return
    for each in _visible(queues):
        settings = SERVERS.get(each.name)
        if keeps_none:  # after an answer with an error, no setting is to blame
            by = settings.answered if settings and not record.unexpected else ""
            yield f"{_listens(each)}: it ends connections after an answer by {by}." if by else f"{_listens(each)}."
        else:
            does = _does(record, settings, each) if set(lost) <= CLOSED else ""
            yield f"{_listens(each)}{does or f': {LOG}'}."


def about_queue(queues: Sequence[AcceptQueue], accepted: int) -> Iterator[str]:
    """Who listens, and its limit where it accepts no more beyond it. accepted: how many connections it has accepted"""
    for each in _visible(queues):
        settings = SERVERS.get(each.name)
        yield f"{_listens(each)}{_limits(settings if settings and settings.waits and accepted else None, each)}."


def gone(queues: Sequence[AcceptQueue]) -> str:
    """The server that listened when opening had ended, and does not listen now."""
    names = [f"{each.name} ({each.pid})" for each in _visible(queues)]
    return f"{names[0] if names else 'The server'} listened there when opening had ended, and does not any more."


def _does(record: HoldRecord, settings: Settings | None, queue: AcceptQueue) -> str:
    """What ends connections in the way that was seen; empty: that is not clear."""
    if record.requests >= record.lost and not record.answers:
        answer = "and an answer that was not as expected" if record.unexpected else "without an answer"
        return f": it ended them after a message, {answer}; {LOG}"
    waits, idle = settings is not None and settings.waits, settings.idle if settings else ""
    limits = _limits(settings, queue) if _can_be_limit(record) and not waits else ""
    if not idle or not _can_be_idle(record):
        return limits
    return f"{limits}{';' if limits else ':'} it ends idle connections by {idle}"


def _can_be_limit(record: HoldRecord) -> bool:
    """Whether it closed some at once, and the others stayed."""
    at_once = record.lost_between_s is not None and record.lost_between_s[1] <= record.elapsed_s + SOON_S
    some_stayed = record.lost - record.reconnected < record.held + record.lost_while_opening
    return record.held > 0 and some_stayed and (at_once or record.lost == record.lost_while_opening)


def _can_be_idle(record: HoldRecord) -> bool:
    """Whether nothing happened on connections for a while; and if some were held longer, these were closed, too."""
    if record.every_s is not None and record.every_s < SOON_S:
        return False
    first_s = record.lost_between_s[0] if record.lost_between_s else SOON_S
    stayed = record.held and record.lost == record.lost_while_opening and record.held_s >= first_s
    return first_s >= SOON_S and not stayed


def _limits(settings: Settings | None, queue: AcceptQueue) -> str:
    see = f"see `fourtuple limits --pid {queue.pid}`"
    if settings is None:
        return f"; for its limits, {see}"
    return f": its own limit is {settings.most}; for those of the process, {see}"


def _listens(queue: AcceptQueue) -> str:
    return f"{queue.name} ({queue.pid}) listens there"


def _visible(queues: Sequence[AcceptQueue]) -> Sequence[AcceptQueue]:
    """The first listener whose process is visible, if there is one."""
    return [each for each in queues if each.pid is not None][:1]
