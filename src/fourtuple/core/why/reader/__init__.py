"""From texts of any length, logs above all, to findings."""

from fourtuple.core.why.reader.phrases import PHRASES
from fourtuple.core.why.reader.reading import BLOCK, TextRead, read_findings, read_text

__all__ = ["BLOCK", "PHRASES", "TextRead", "read_findings", "read_text"]
