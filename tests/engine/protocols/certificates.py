"""An authority of the tests, and the certificates that it issues."""

import datetime
import functools
from pathlib import Path

import trustme

HOST = "localhost"
OURS = "ours"
_DAY = datetime.timedelta(days=1)


@functools.cache
def authority(name: str) -> trustme.CA:
    """One for each name."""
    return trustme.CA(organization_name=name)


def trusted(folder: Path) -> str:
    """A file with the authority that a client may trust."""
    file = folder / "authority.pem"
    authority(OURS).cert_pem.write_to_path(str(file))
    return str(file)


@functools.cache
def certificate(*names: str, issuer: str = OURS, until_days: int = 7, from_days: int = -7) -> bytes:
    """A certificate for these names, and its key. It is valid for so many days from now."""
    now = datetime.datetime.now(datetime.timezone.utc)
    issued = authority(issuer).issue_cert(
        *(names or (HOST, "127.0.0.1")), not_before=now + from_days * _DAY, not_after=now + until_days * _DAY
    )
    return issued.private_key_and_cert_chain_pem.bytes()
