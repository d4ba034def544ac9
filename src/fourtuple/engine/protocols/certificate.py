"""A certificate made on the spot, for a server that nobody has given one.

The program `openssl` makes it. OpenSSL's library is here in any case, but Python's `ssl` makes no keys, and a package
that does (cryptography) is a large dependency for a server in tests.
"""

import ipaddress
import subprocess
from collections.abc import Sequence

from fourtuple.core.errors import CannotError

DAYS = 30
PATIENCE_S = 60


def make_certificate(names: Sequence[str]) -> bytes:
    """A key (ECDSA P-256) and a self-signed certificate for these names and addresses, both in PEM.

    Raises CannotError without the program `openssl`.
    """
    alternatives = ",".join(f"{'IP' if _is_address(name) else 'DNS'}:{name}" for name in names)
    command = [
        "openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", str(DAYS),
        "-subj", "/CN=fourtuple", "-addext", f"subjectAltName={alternatives}", "-keyout", "-", "-out", "-",
    ]  # fmt: skip
    wanted, do = "a certificate made on the spot", "Install openssl, or name a certificate and its key."
    try:
        made = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, timeout=PATIENCE_S, check=False)
    except (OSError, subprocess.TimeoutExpired) as error:
        raise CannotError(wanted, f"the program openssl does not run ({error})", do) from None
    if made.returncode:
        last = made.stderr.decode(errors="replace").strip().rpartition("\n")[2]
        raise CannotError(wanted, f"openssl failed: {last}", do)
    return made.stdout


def _is_address(name: str) -> bool:
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return False
    return True
