"""A stored run as CSV, JSON or Parquet, for other programs."""

import csv
import io

from fourtuple.core.errors import CannotError
from fourtuple.core.runs.stored import StoredRun
from fourtuple.store.coding import to_text


def exported(run: StoredRun, how: str) -> bytes:
    """The run in another format.

    how: csv, json or parquet

    Raises CannotError if the library for Parquet is not installed.
    """
    return {"csv": _csv, "json": _json, "parquet": _parquet}[how](run)


def _csv(run: StoredRun) -> bytes:
    """RFC 4180, except for line ends. Empty cells: the kernel did not report a value."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    columns = run.columns()
    writer.writerow(columns)
    writer.writerows(zip(*columns.values(), strict=True))
    return text.getvalue().encode()


def _json(run: StoredRun) -> bytes:
    return f"{to_text(run.to_json(samples=True))}\n".encode()


def _parquet(run: StoredRun) -> bytes:
    try:
        import pyarrow
        from pyarrow import parquet
    except ModuleNotFoundError:
        raise CannotError(
            "cannot write Parquet", "pyarrow is not installed", "pip install 'fourtuple[parquet]'"
        ) from None
    table = pyarrow.table(run.columns())
    about = {"fourtuple.run": to_text(run.to_json(samples=False))}
    sink = pyarrow.BufferOutputStream()
    parquet.write_table(table.replace_schema_metadata(about), sink, compression="zstd")
    return bytes(sink.getvalue())
