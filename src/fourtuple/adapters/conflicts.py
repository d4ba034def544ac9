"""Two options that say the same."""

from fourtuple.client.sources import Sources
from fourtuple.core.errors import UsageError


def only_one(sources: Sources | None, own: object, name: str) -> None:
    """Raises UsageError where `sources` is given beside what the library has for it."""
    if sources is not None and own is not None:
        raise UsageError(f"sources beside {name}", "both say where to come from", "Leave one of them out.")
