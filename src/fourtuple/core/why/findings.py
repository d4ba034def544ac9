"""What texts say about failures: one frozen record for each, and the phrases by which they are recognised.

The reader (core/why/reader) takes a text of any length, matches `Phrase`s and yields `Finding`s; the judge
(core/why/judge.py) weighs the causes that a `Finding` leads to.
"""

from collections.abc import Sequence

import msgspec

from fourtuple.core.backports import StrEnum
from fourtuple.core.record import dataclass


class System(StrEnum):
    """The system whose text it is; the meaning of a number and the cure depend on it."""

    LINUX = "Linux"
    WINDOWS = "Windows"
    MACOS = "macOS"
    FREEBSD = "FreeBSD"


class Phrase(msgspec.Struct, frozen=True, gc=False):
    """A text that a kernel, a library or a program logs; each start makes 3,000, which takes a dataclass 5 ms.

    text:    in the form to which the reader folds every line: lower case, single spaces, straight quotes, no colours,
             no escapes. `*` stands for any characters, `#` for a number (digits, or such as `28k`)
    error:   the name of the errno that the text stands for, such as `EADDRNOTAVAIL`; empty: none
    call:    the system call that the text implies; empty: none
    causes:  keys of CAUSES (core/why/causes.py) that the text itself suggests, the likeliest first
    limit:   the key of the row of the catalogue (core/why/catalogue) whose limit the text reports; empty: none
    program: the program that logs it, in lower case; empty: many do
    system:  the system that logs it; None: any
    """

    text: str
    error: str = ""
    call: str = ""
    causes: Sequence[str] = ()
    limit: str = ""
    program: str = ""
    system: System | None = None


@dataclass(frozen=True, slots=True)
class Finding:
    """One failure that a text reports, perhaps several times.

    error:       the name of its errno, or of another system's code, such as `EADDRNOTAVAIL`, `WSAENOBUFS`
    errno:       the number of that errno on Linux; 0: it gives none, or Linux has none
    call:        the call that failed, in lower case, such as `connect`, `pthread_create`; empty: unknown
    source:      ADDRESS:PORT or ADDRESS; empty: unknown
    destination: HOST:PORT, ADDRESS:PORT, ADDRESS, or the path of a Unix socket; empty: unknown
    protocol:    `tcp`, `udp` or `unix`; empty: unknown
    program:     the program that reports it, in lower case; empty: unknown
    pid:         the PID of that program, if the frame of the log gives it; None: unknown
    host:        the host that logs it, if the frame of the log gives it; empty: unknown
    port:        the local port that bind() or listen() asked for; None: it names none
    number:      the number of connections at which they stop, or of what is used up; None: it gives none
    causes:      keys of CAUSES that its words suggest, in addition to those of the errno and the number
    limit:       the key of a row of the catalogue whose limit it reports; empty: none
    system:      the system that it comes from, where the text tells; None: unknown
    count:       how many times the text reports it
    first, last: when it was reported first and last, as the text writes it, or in ISO 8601 where the date is complete;
                 empty: unknown
    where:       the number of the line that reports it first, from 1
    text:        that line, as it stands in the text, cut to 500 characters
    """

    error: str = ""
    errno: int = 0
    call: str = ""
    source: str = ""
    destination: str = ""
    protocol: str = ""
    program: str = ""
    pid: int | None = None
    host: str = ""
    port: int | None = None
    number: int | None = None
    causes: tuple[str, ...] = ()
    limit: str = ""
    system: System | None = None
    count: int = 1
    first: str = ""
    last: str = ""
    where: int = 1
    text: str = ""
