"""Why TLS failed, in OpenSSL's own words, but for what differs between connections."""

import ssl

from fourtuple.engine.protocols.foreign import foreign

# The verdicts on a certificate whose text names the host (X509_V_ERR_*, OpenSSL's x509_vfy.h).
_MISMATCHES = {62: "hostname mismatch", 64: "IP address mismatch"}
_ALERT, _HANDSHAKE = 21, 22  # the types of the records that may come first (RFC 8446, 5.1)


def reason_of(error: ssl.SSLError, first: bytes) -> str:
    """Why it failed: `certificate has expired`, `tlsv1 alert protocol version`, `not TLS: "SSH-2.0-OpenSSH"`.

    first: the first bytes that the peer sent
    """
    if said := not_tls(first):
        return said
    if isinstance(error, ssl.SSLCertVerificationError):
        return _MISMATCHES.get(error.verify_code, error.verify_message)
    return error.reason.replace("_", " ").lower() if error.reason else "unknown error of OpenSSL"


def not_tls(first: bytes) -> str:
    """That the peer does not speak TLS; empty: it may."""
    return foreign("TLS", first) if first and first[0] not in (_ALERT, _HANDSHAKE) else ""
