"""Arguments of adapters: Sources or the library's own option for the source address, not both."""

from fourtuple.client.connecting import checked
from fourtuple.client.sources import Sources
from fourtuple.core.errors import UsageError


def only_one(sources: Sources | None, own: object, name: str) -> None:
    """Raises UsageError if both `sources` and the library's own option are given, TypeError if it is not Sources."""
    if checked(sources) is not None and own is not None:
        raise UsageError(f"sources and {name}", "both set the source address", "Leave out one of them.")
