"""What OpenSSL is told before a TLS handshake: whom to trust, whom to be, which versions and protocols.

What is wrong with the options is an error of ours before any connection is opened.
"""

import errno
import os
import re
import ssl
import stat
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from fourtuple.core.errors import CannotError, FourtupleError, UsageError
from fourtuple.core.talk.session import TlsOptions

VERSIONS = {"1.2": ssl.TLSVersion.TLSv1_2, "1.3": ssl.TLSVersion.TLSv1_3}
NOT_PERMITTED = (errno.EACCES, errno.EPERM)
_HASHED = re.compile(r"[0-9a-f]{8}\.\d+")  # how OpenSSL looks a certificate up in a folder (openssl-rehash(1))

_NO_PEM = "pem lib"  # what OpenSSL says in several words
_NOT_ITS_KEY, _NOT_THERE = "the key does not belong to the certificate", "it is not in PEM format"
_WORDS = {
    "key values mismatch": _NOT_ITS_KEY,
    "key type mismatch": _NOT_ITS_KEY,
    "no certificate assigned": _NOT_ITS_KEY,  # a key of another type
    "no start line": _NOT_THERE,
    "no certificate or crl found": _NOT_THERE,
    _NO_PEM: _NOT_THERE,
}


def client_context(options: TlsOptions, alpn: Sequence[str]) -> ssl.SSLContext:
    """What a client does. Raises UsageError, or CannotError for a file that this user may not read."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.options |= ssl.OP_NO_RENEGOTIATION  # in TLS 1.2 a write would have to wait for it
    if options.insecure:
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    elif options.ca:
        _trust(context, options.ca)
    else:
        context.load_default_certs()
    if options.certificate:
        _be(context, options.certificate, options.key)
    elif options.key:
        raise UsageError(f"the key {options.key}", "there is no certificate that it belongs to", "Name it by --cert.")
    _restrict(context, options.version)
    _offer(context, alpn)
    return context


def server_context(certificate: bytes, alpn: Sequence[str]) -> ssl.SSLContext:
    """What a server does. Raises UsageError.

    certificate: PEM, with its key
    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.options |= ssl.OP_NO_RENEGOTIATION
    with tempfile.NamedTemporaryFile(suffix=".pem") as file:  # OpenSSL reads certificates from files (mode 0600)
        file.write(certificate)
        file.flush()
        _be(context, file.name, "")
    _offer(context, alpn)
    return context


def _trust(context: ssl.SSLContext, ca: str) -> None:
    what = f"the certificates in {ca}"
    with _reading(what, "Name a file in PEM format, or a folder that `openssl rehash` has prepared, by --ca."):
        if stat.S_ISDIR(os.stat(ca).st_mode):
            if not any(_HASHED.fullmatch(entry.name) for entry in os.scandir(ca)):
                raise UsageError(
                    what, "the folder has none by the names that OpenSSL looks for", f"Run: openssl rehash {ca}"
                )
            context.load_verify_locations(capath=ca)
        else:
            context.load_verify_locations(cafile=_regular(ca, what))


def _be(context: ssl.SSLContext, certificate: str, key: str) -> None:
    what = f"the certificate {certificate}" + (f" with the key {key}" if key else "")

    def password() -> str:
        raise UsageError(what, "the key is encrypted", "Decrypt it: openssl pkey -in KEY -out DECRYPTED")

    with _reading(what, "Name a certificate and its key in PEM format by --cert and --key."):
        context.load_cert_chain(_regular(certificate, what), _regular(key, what) if key else None, password)


def _restrict(context: ssl.SSLContext, version: str) -> None:
    if not version:
        return
    if version not in VERSIONS:
        raise UsageError(f"TLS {version}", f"it is {' or '.join(VERSIONS)}")
    try:
        context.minimum_version = context.maximum_version = VERSIONS[version]
    except ValueError:
        raise UsageError(f"TLS {version}", f"{ssl.OPENSSL_VERSION} does not speak it here") from None


def _offer(context: ssl.SSLContext, alpn: Sequence[str]) -> None:
    try:
        context.set_alpn_protocols(list(alpn))
    except (ValueError, ssl.SSLError):  # empty, longer than 255 bytes, not ASCII (RFC 7301, 3.1)
        raise UsageError(f"ALPN {', '.join(alpn)}", "a protocol has 1 to 255 characters of ASCII") from None


def _regular(file: str, what: str) -> str:
    """The file, which has to be there and to end: OpenSSL would wait for a FIFO."""
    if not stat.S_ISREG(os.stat(file).st_mode):
        raise UsageError(what, f"{file} is not a regular file")
    return file


@contextmanager
def _reading(what: str, do: str) -> Iterator[None]:
    """Turn what stops OpenSSL from reading a file into an error of ours."""
    try:
        yield
    except ssl.SSLError as error:
        reason = (error.reason or _NO_PEM).replace("_", " ").lower()
        raise UsageError(what, _WORDS.get(reason, reason), do) from None
    except OSError as error:
        raise error_of(what, error) from None
    except ValueError as error:  # a NUL in the path, or a character that the file system's encoding lacks
        raise UsageError(what, str(error)) from None


def error_of(what: str, error: OSError) -> FourtupleError:
    """The error for a file that cannot be read."""
    kind = CannotError if error.errno in NOT_PERMITTED else UsageError
    return kind(what, error.strerror or str(error))
