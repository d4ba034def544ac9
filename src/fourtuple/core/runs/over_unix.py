"""Options of a run that Unix sockets do not have, refused with the reason."""

from collections.abc import Sequence
from typing import Protocol

from fourtuple.core.errors import UsageError
from fourtuple.core.limits.strategy import Strategy


class Addressed(Protocol):
    """Options of a command that connects, as far as only TCP has what they are about."""

    @property
    def sources(self) -> Sequence[str]: ...
    @property
    def strategy(self) -> Strategy | None: ...
    @property
    def first_address(self) -> bool: ...
    @property
    def log(self) -> bool: ...


def check_over_unix(options: Addressed) -> None:
    """Raise UsageError for the first option that is about addresses and ports."""
    asked = (
        (options.sources, "--from", "a connection to one comes from no address"),
        (options.strategy, "--strategy", "it has no source port"),
        (options.first_address, "--first-address", "it has no address"),
        (options.log, "--log", "its lines begin with a 4-tuple, and nothing tells these connections apart"),
    )
    for is_given, flag, why in asked:
        if is_given:
            raise UsageError(f"{flag} with a Unix socket", why, "Leave it out.")
