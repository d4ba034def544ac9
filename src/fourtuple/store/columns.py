"""The columns of both tables of samples, as the table of counters has them."""

from fourtuple.core.runs.counters import COLUMN, GROWTHS, MAPS

NUMBERS = COLUMN.names or ()
OTHERS = (*(each.column for each in MAPS), "moved", "census", *(each.column for each in GROWTHS))
