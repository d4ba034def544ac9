"""Whether a text is of here and now: when it was written, and how far the host's state of now bears on it.

The rule: what the user types himself, a bare number or errno, is of now. A text with a time is of now if that time is
within the last seconds, else of then. A text without a time may be of now. What comes from another system is of
elsewhere.
"""

import re
from datetime import datetime, timezone

from fourtuple.core.backports import parse_iso
from fourtuple.core.late import late_pattern
from fourtuple.core.why.findings import Finding, System
from fourtuple.core.why.scene import Bearing

LATELY_S = 15.0  # for the log to be read and pasted
EARLY_S = 2.0  # clocks of two programs
_BARE = late_pattern(r"-?[\w.,' ]{1,24}", re.ASCII)
_FORMS = (  # as logs write times, where they are not in ISO 8601
    "%Y/%m/%d %H:%M:%S",
    "%d/%b/%Y:%H:%M:%S %z",
    "%d/%b/%Y:%H:%M:%S",
    "%a %b %d %H:%M:%S %Y",
    "%a %b %d %H:%M:%S.%f %Y",
    "%Y-%m-%d %H:%M:%S,%f",
    "%d %b %Y %H:%M:%S",
)
_FORMS_THIS_YEAR = ("%b %d %H:%M:%S", "%m%d %H:%M:%S", "%m%d %H:%M:%S.%f")
_FORMS_TODAY = ("%H:%M:%S", "%H:%M:%S.%f", "%H:%M:%S,%f", "%H:%M:%S%z", "%H:%M:%S.%f%z")


def bearing_of(finding: Finding, now: datetime, *, elsewhere: bool = False) -> Bearing:
    """How far the state of this host, read at `now` (with a time zone), bears on the finding.

    elsewhere: the text is known to be of another host
    """
    if elsewhere or finding.system not in (None, System.LINUX):
        return Bearing.THEN
    if not (times := finding.last or finding.first):
        return Bearing.NOW if is_typed(finding) else Bearing.PERHAPS
    written = written_at(times, now)
    if written is None:
        return Bearing.PERHAPS  # such as seconds since the host started
    # A time without a zone is local or UTC: containers mostly have UTC.
    zones = [written] if written.tzinfo else [written.replace(tzinfo=zone) for zone in (now.tzinfo, timezone.utc)]
    ages_s = [(now - each).total_seconds() for each in zones]
    return Bearing.NOW if any(-EARLY_S <= age_s <= LATELY_S for age_s in ages_s) else Bearing.THEN


def is_typed(finding: Finding) -> bool:
    """Whether the whole text is a number or an errno, which a user types about what happens now."""
    return len(finding.text.split()) <= 1 and bool(_BARE.fullmatch(finding.text.strip()))


def written_at(text: str, now: datetime) -> datetime | None:
    """The moment that a log writes, with its time zone if it gives one; None: not understood."""
    text = " ".join(text.split()).replace("Z", "+00:00")
    try:
        return parse_iso(re.sub(r"([.,]\d{6})\d+", r"\1", text))
    except ValueError:
        pass
    for form in (*_FORMS, *_FORMS_THIS_YEAR, *_FORMS_TODAY):
        try:
            if form in _FORMS:
                return datetime.strptime(text, form)
            # A year that leaps, so that 29 February is read where the text gives no year.
            read = datetime.strptime(f"2024 {text}", f"%Y {form}").replace(year=now.year)
        except ValueError:
            continue
        return read if form in _FORMS_THIS_YEAR else read.replace(month=now.month, day=now.day)
    return None
