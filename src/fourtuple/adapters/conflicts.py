"""What an adapter is given: Sources, or the library's own word for where to come from, and not both."""

from fourtuple.client.connecting import checked
from fourtuple.client.sources import Sources
from fourtuple.core.errors import UsageError


def only_one(sources: Sources | None, own: object, name: str) -> None:
    """Raises UsageError where `sources` is given beside what the library has for it, TypeError where it is none."""
    if checked(sources) is not None and own is not None:
        raise UsageError(f"sources beside {name}", "both say where to come from", "Leave one of them out.")
