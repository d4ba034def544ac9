"""A stored run as CSV, JSON or Parquet, for other programs."""

from fourtuple.core.errors import no_extra
from fourtuple.core.runs.stored import StoredRun
from fourtuple.core.visible import csv_lines, visible_json
from fourtuple.store.coding import to_text


def exported(run: StoredRun, how: str) -> bytes:
    """The run in another format.

    how: csv, json or parquet

    Raises CannotError if the library for Parquet is not installed.
    """
    return {"csv": _csv, "json": _json, "parquet": _parquet}[how](run)


def _csv(run: StoredRun) -> bytes:
    """RFC 4180, except for line ends. Empty cells: the kernel did not report a value."""
    columns = run.columns()
    lines = csv_lines(list(columns), zip(*columns.values(), strict=True))
    return "".join(f"{line}\n" for line in lines).encode()


def _json(run: StoredRun) -> bytes:
    return f"{visible_json(to_text(run.to_json(samples=True)))}\n".encode()


def _parquet(run: StoredRun) -> bytes:
    try:
        import pyarrow
        from pyarrow import parquet
    except ModuleNotFoundError:
        raise no_extra("cannot write Parquet", "pyarrow is not installed", "parquet") from None
    table = pyarrow.table(run.columns())
    about = {"fourtuple.run": to_text(run.to_json(samples=False))}
    sink = pyarrow.BufferOutputStream()
    parquet.write_table(table.replace_schema_metadata(about), sink, compression="zstd")
    return bytes(sink.getvalue())
