"""From texts of any length, logs above all, to findings."""

from fourtuple.core.why.reader.phrases import PHRASES
from fourtuple.core.why.reader.reading import TextRead, read_findings, read_text

__all__ = ["PHRASES", "TextRead", "read_findings", "read_text"]
