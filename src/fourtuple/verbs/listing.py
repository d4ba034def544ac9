"""The list of stored runs, and what needs no samples of them: it imports no NumPy."""

from collections.abc import Sequence
from pathlib import Path

from fourtuple.core.backports import Self
from fourtuple.core.runs.entry import Entry
from fourtuple.kernel.proc.alive import living
from fourtuple.store import listing
from fourtuple.store.file import default_file, open_store
from fourtuple.store.listing import Which


class RunList:
    """The runs in a file without their samples: `with RunList(file) as runs`.

    Raises UsageError if the file is missing or not a run database.
    """

    def __init__(self, file: Path | None = None) -> None:
        """Open the file.

        file: None: default_file()
        """
        self.file = file or default_file()
        self._base = open_store(self.file, new=False)

    @staticmethod
    def are_there() -> bool:
        """Whether default_file() exists."""
        try:
            return default_file().exists()
        except OSError:  # no permission to look: opening the file will give the reason
            return True

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._base.close()

    def entries(self) -> list[Entry]:
        """All runs, newest first."""
        return listing.entries(self._base, living())

    def entry(self, run: Which = None) -> Entry:
        """The entry of a run. run: None: the newest. Raises UsageError if there is none, or several have the name."""
        return listing.entry(self._base, run, living())

    def remove(self, runs: Sequence[int | str]) -> list[int]:
        """Remove these runs or none → their numbers. Raises UsageError as `entry`, or if one is still running."""
        return listing.remove(self._base, runs, living())
