"""What stands before a message is cut off: a time in it once, and no other."""

import pytest

from fourtuple.core.why.reader.fold import fold
from fourtuple.core.why.reader.frames import framed


@pytest.mark.parametrize(
    ("line", "message", "stamp"),
    [
        ('{"ts":1700000000.5,"msg":"dial tcp"}', '{"ts":1700000000.5,"msg":"dial tcp"}', "2023-11-14T22:13:20.500000Z"),
        ("10:32:01 dial tcp", "dial tcp", "10:32:01"),
    ],
)
def test_seconds_since_1970_stay_where_they_are(line: str, message: str, stamp: str) -> None:
    """They are a field of JSON, whose other fields are read with it; a clock is a frame."""
    found = framed(line, fold(line))

    assert found.message == message
    assert found.stamp is not None
    assert found.stamp.text == stamp
