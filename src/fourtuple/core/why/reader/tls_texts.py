"""What programs log of TLS sessions that fail: texts, and the causes that they lead to, the likeliest first.

Sources: X509_verify_cert_error_string() and the reasons of OpenSSL 3.5, crypto/x509 and crypto/tls of Go 1.25, SunJSSE
of Java 25, rustls 0.23, GnuTLS 3.8, Node 24, .NET 9, net_error_list.h of Chromium, mozilla::pkix of Firefox, RFC 8446.
"""

from collections.abc import Iterator, Mapping, Sequence
from types import MappingProxyType

# What stands for no more than `a TLS session failed`, or `the certificate was not accepted`.
_FAILED: Mapping[Sequence[str], str] = {
    ("tls-failed",): (
        "ssl handshake failure\nssl handshake failed\ntls handshake failed\nhandshake failure\n"
        "ssl_do_handshake() failed\nsslhandshakeexception\ncurl: (35)\nssl_error_ssl\ntls handshake error from\n"
        "ssl connect error\nthe ssl connection could not be established\nhandshake failed; returned\n"
        "ssl_connect error\ngnutls_handshake() failed"
    ),
    ("tls-unverified", "tls-chain", "tls-unknown-ca", "tls-expired", "tls-name"): (
        "certificate verify failed\ncertificate_verify_failed\ncurl: (60)\ncurl: (51)\n"
        "tls: failed to verify certificate\nerror in the certificate verification\nssl certificate problem\n"
        "ssl certificate verify error\nssl peer certificate or ssh remote key was not ok\n"
        "invalid peer certificate\ncannot verify *'s certificate"
    ),
}
_CERTIFICATES: Mapping[Sequence[str], str] = {
    ("tls-expired",): (
        "certificate has expired\ncert_has_expired\ncertificate is expired\nsec_error_expired_certificate\n"
        "sec_error_expired_issuer_certificate\ncertificateexpiredexception\n"
        "invalid peer certificate: expired\ninvalid peer certificate: certificate expired\ncertexpired\n"
        "the certificate chain uses expired certificate"
    ),
    ("tls-expired", "tls-not-yet"): (
        "certificate has expired or is not yet valid\nerr_cert_date_invalid\nnet_error -201\nnottimevalid"
    ),
    ("tls-not-yet",): (
        "certificate has expired or is not yet valid: current time * is before\ncertificate is not yet valid\n"
        "cert_not_yet_valid\ncertificate not yet valid\ncertificatenotyetvalidexception\n"
        "invalid peer certificate: notvalidyet\ncertificate not valid yet\nthe certificate is not yet activated\n"
        "mozilla_pkix_error_not_yet_valid_certificate\nmozilla_pkix_error_not_yet_valid_issuer_certificate"
    ),
    ("tls-chain", "tls-unknown-ca"): (
        "unable to get local issuer certificate\nunable_to_get_issuer_cert_locally\n"
        "unable to get issuer certificate\nunable_to_get_issuer_cert\nunable to verify the first certificate\n"
        "unable_to_verify_leaf_signature\nunable to verify leaf signature\npartialchain\n"
        "certificate chain is incomplete\nunable to locally verify the issuer's authority"
    ),
    ("tls-unknown-ca", "tls-chain"): (
        "certificate signed by unknown authority\npkix path building failed\nnet_error -202\n"
        "unable to find valid certification path to requested target\nerr_cert_authority_invalid\n"
        "trust anchor for certification path not found\nsec_error_unknown_issuer\n"
        "invalid peer certificate: unknownissuer\nsec_error_untrusted_issuer\nuntrustedroot\n"
        "remotecertificatechainerrors\nthe remote certificate is invalid because of errors in the certificate chain\n"
        "the remote certificate is invalid according to the validation procedure\n"
        "the remote certificate was rejected by the provided remotecertificatevalidationcallback\n"
        "the certificate issuer is unknown\ncertificate is not trusted\ncertificate not trusted\n"
        "trustanchors parameter must be non-empty\nserver certificate verification failed. cafile\n"
        "peer certificate cannot be authenticated with given ca certificates\n"
        "certificate rejected\nuntrusted certificate\ncertificate chain too long"
    ),
    ("tls-unknown-ca", "tls-self-signed"): (
        "self-signed certificate in certificate chain\nself signed certificate in certificate chain\n"
        "self_signed_cert_in_chain\nself signed certificate in chain\nself-signed certificate in chain"
    ),
    ("tls-self-signed", "tls-unknown-ca"): (
        "self-signed certificate\nself signed certificate\ndepth_zero_self_signed_cert\n"
        "mozilla_pkix_error_self_signed_cert"
    ),
    ("tls-name",): (
        "hostname mismatch\nip address mismatch\ncertificate is not valid for\nx509: certificate is valid for\n"
        "doesn't contain any ip sans\ncertificate relies on legacy common name field\n"
        "certificate is not valid for any names\nerr_tls_cert_altname_invalid\n"
        "does not match certificate's altnames\nno subject alternative names present\n"
        "no subject alternative names matching\nno subject alternative dns name matching\nhostname * doesn't match\n"
        "err_cert_common_name_invalid\nnet_error -200\nssl_error_bad_cert_domain\n"
        "no alternative certificate subject name matches\ncertificate subject name * does not match target\n"
        "invalid peer certificate: certnotvalidforname\ninvalid peer certificate: certificate not valid for name\n"
        "upstream ssl certificate does not match\nhostname * not verified:\nremotecertificatenamemismatch\n"
        "hostname verification failed\nhostname/ip does not match\n"
        "certificate verify failed: email address mismatch\nno name matching * found\n"
        "the name in the certificate does not match"
    ),
    ("tls-revoked",): (
        "certificate revoked\ncertificate is revoked\ncertificate has been revoked\ncert_revoked\nerr_cert_revoked\n"
        "sec_error_revoked_certificate\ncertificaterevokedexception\ninvalid peer certificate: revoked\n"
        "unable to get certificate crl\nunable_to_get_crl\ncrl has expired\ncrl_has_expired\nrevocationstatusunknown\n"
        "crl is not yet valid\ncrl signature failure\nunable to get crl issuer certificate\n"
        "unable to check revocation\nocsp verification needed\nocsp verification failed\n"
        "certificate status response"
    ),
    ("tls-weak",): (
        "ee certificate key too weak\nca certificate key too weak\nca signature digest algorithm too weak\n"
        "dh key too small\ndh_key_too_small\nee key too small\nee_key_too_small\nca key too small\nca_key_too_small\n"
        "ca md too weak\nca_md_too_weak\ncertificates do not conform to algorithm constraints\n"
        "algorithm constraints check failed\nx509: insecure algorithm\nssl_error_weak_server_ephemeral_dh_key\n"
        "err_cert_weak_signature_algorithm\nunsupported certificate purpose\nunsuitable certificate purpose\n"
        "missing authority key identifier\nmissing subject key identifier\n"
        "basic constraints of ca cert not marked critical\ninvalid ca certificate\n"
        "path length constraint exceeded\nca cert does not include key usage extension\n"
        "unhandled critical extension\npermitted subtree violation\nexcluded subtree violation\n"
        "key usage does not include certificate signing\ncertificate specifies an incompatible key usage\n"
        "certificate is not authorized to sign other certificates\ncertificate signature failure"
    ),
    ("tls-unusable",): (
        "key values mismatch\nkey_values_mismatch\nprivate key does not match public key\n"
        "private key does not match the certificate\ntls: no certificates configured\nno certificate assigned\n"
        "no_certificate_assigned\nssl routines*no start line\npem routines*no start line\npem routines*bad base64"
        " decode\n"
        "unable to load certificate\ncannot load certificate\nfailed to load x509 key pair\n"
        "tls: failed to find any pem data"
    ),
    ("tls-client-certificate",): (
        "peer did not return a certificate\npeer_did_not_return_a_certificate\n"
        "client sent no required ssl certificate\nno required ssl certificate was sent\n"
        "tls: client didn't provide a certificate\nclient ssl certificate verify error\n"
        "the ssl certificate error\nerr_bad_ssl_client_auth_cert\npeer sent no certificates\n"
        "ssl_error_rx_certificate_required_alert\nerr_ssl_client_auth_cert_needed"
    ),
}
_SESSIONS: Mapping[Sequence[str], str] = {
    ("tls-version",): (
        "tls: unsupported protocol\nssl: unsupported protocol\nssl routines*unsupported protocol\n"
        "unsupported_protocol\nerr_ssl_unsupported_protocol\nwrong ssl version\nwrong_ssl_version\n"
        "no protocols available\nno_protocols_available\n"
        "tls: client offered only unsupported versions\ntls: server selected unsupported protocol version\n"
        "tls: no supported versions satisfy\ntls: protocol version not supported\nssl_error_unsupported_version\n"
        "err_ssl_obsolete_version\nno appropriate protocol\nthe server selected protocol version tls\n"
        "peer is incompatible: \npeerincompatible(\nversion too low\nversion_too_low"
    ),
    ("tls-version", "tls-cipher"): "err_ssl_version_or_cipher_mismatch",
    ("tls-cipher", "tls-sni", "tls-client-certificate", "tls-version"): "tls: handshake failure",
    ("tls-cipher",): (
        "no shared cipher\nno_shared_cipher\nno cipher suite supported by both client and server\n"
        "no ciphers available\nno_ciphers_available\nno suitable key share\nno_suitable_key_share\n"
        "no suitable signature algorithm\nno_suitable_signature_algorithm\nno shared signature algorithms\n"
        "no_shared_signature_algorithms\nssl_error_no_cypher_overlap\nno cipher suites in common\n"
        "wrong cipher returned\nunsupported elliptic curve\nno suitable groups\nno_suitable_groups\n"
        "tls: peer doesn't support any of the certificate's signature algorithms"
    ),
    ("tls-renegotiation",): (
        "unsafe legacy renegotiation disabled\nunsafe_legacy_renegotiation_disabled\nerr_ssl_unsafe_negotiation\n"
        "ssl_error_unsafe_negotiation"
    ),
    ("tls-sni",): (
        "handshake alert: unrecognized_name\nssl_error_unrecognized_name_alert\ntls: missing server name\n"
        'no certificate available for \'\nno "ssl_certificate" is defined in server'
    ),
    ("tls-alpn",): (
        "which is not spoken inside\nerr_alpn_negotiation_failed\nno application protocol\n"
        "tls: server selected unadvertised alpn protocol\nssl_error_next_protocol_no_protocol"
    ),
    ("plain-server",): (
        "wrong version number\nwrong_version_number\nerr_ssl_wrong_version_number\npacket length too long\n"
        "packet_length_too_long\nerr_ssl_packet_length_too_long\nssl routines*unknown protocol\n"
        "ssl: unknown_protocol\nfirst record does not look like a tls handshake\n"
        "server gave http response to https client\nunrecognized ssl message, plaintext connection\n"
        "unsupported or unrecognized ssl message\nnot an ssl/tls record\nssl_error_rx_record_too_long\nnot tls: *\n"
        "tls: not tls\nreceived corrupt message of type invalidcontenttype\n"
        "the handshake failed due to an unexpected packet format\nan unexpected tls packet was received\n"
        "tls: oversized record received\ntls: received record with version\nserver does not support ssl\n"
        "cannot determine if the tls packet\nframe size from server is too large"
    ),
    ("plain-server", "tls-version"): "err_ssl_protocol_error",
    ("plain-client",): (
        "client sent an http request to an https server\nhttp request was sent to https port\n"
        "client sent plain http request to https port\nssl routines*http request\nssl: http_request\n"
        "tls: http request\nssl routines*https proxy request\nssl: https_proxy_request\n"
        "tls: https proxy request\nerr_ssl_http_request\n"
        "tls handshake error from*first record does not look like a tls handshake\n"
        "tls handshake error from*client sent an http request to an https server\n"
        "speaking plain http to an ssl-enabled server port\nspeaking http to an ssl-enabled server port"
    ),
    ("tls-cut",): (
        "connection closed during ssl handshake\ntimeout during ssl handshake\n"
        "connection error during ssl handshake\nremote host terminated the handshake\n"
        "remote host closed connection during handshake\nsocket disconnected before secure tls connection\n"
        "tls handshake error from *: eof\npeer closed connection in ssl handshake\npr_end_of_file_error\n"
        "tls handshake eof\nunexpected eof during handshake\neof during handshake\n"
        "eof occurred in violation of protocol\nlayer6 invalid response\nconnection closed during tls handshake"
    ),
    ("tls-broken",): (
        "decryption failed or bad record mac\ndecryption_failed_or_bad_record_mac\nbad record mac\nbad_record_mac\n"
        "cannot decrypt peer's message\nblock cipher pad is wrong\ndigest check failed\ndigest_check_failed\n"
        "local error: tls: \nrecord layer failure\nrecord_layer_failure\nssl: unexpected_message\n"
        "ssl routines*unexpected message\nssl: unexpected_record\nssl routines*unexpected record\nbad_extension\n"
        "data_length_too_long\nlength_mismatch\nssl: bad_signature"
    ),
    ("tls-not-closed",): (
        "ended without close_notify\nended the connection without close_notify\n"
        "peer closed connection without sending tls close_notify\n"
        "closing inbound before receiving peer's close_notify\nthe tls connection was non-properly terminated"
    ),
    ("tls-closed",): "tls: close_notify\nended the session (close_notify)",
    ("tls-peer-failed",): "tls: internal error",
}
_CUT, _REJECTED = ("tls-broken",), ("tls-rejected",)
# The alerts that end a session (RFC 8446, 6.2): their words in OpenSSL and in Go, and their causes.
_ALERTS: Mapping[int, tuple[str, str, Sequence[str]]] = {
    10: ("unexpected message", "unexpected message", _CUT),
    20: ("bad record mac", "bad record mac", _CUT),
    22: ("record overflow", "record overflow", ("plain-server", "tls-broken")),
    40: (
        "handshake failure",
        "handshake failure",
        ("tls-cipher", "tls-sni", "tls-client-certificate", "tls-version"),
    ),
    42: ("bad certificate", "bad certificate", ("tls-rejected", "tls-client-certificate")),
    43: ("unsupported certificate", "unsupported certificate", _REJECTED),
    44: ("certificate revoked", "revoked certificate", ("tls-rejected", "tls-revoked")),
    45: ("certificate expired", "expired certificate", ("tls-rejected", "tls-expired")),
    46: ("certificate unknown", "unknown certificate", _REJECTED),
    47: ("illegal parameter", "illegal parameter", _CUT),
    48: ("unknown ca", "unknown certificate authority", _REJECTED),
    49: ("access denied", "access denied", ("tls-client-certificate",)),
    50: ("decode error", "error decoding message", _CUT),
    51: ("decrypt error", "error decrypting message", ("tls-broken", "tls-rejected")),
    70: ("protocol version", "protocol version not supported", ("tls-version",)),
    71: ("insufficient security", "insufficient security level", ("tls-cipher",)),
    80: ("internal error", "internal error", ("tls-peer-failed",)),
    86: ("inappropriate fallback", "inappropriate fallback", ("tls-version",)),
    90: ("user cancelled", "user canceled", ("tls-cut",)),
    109: ("missing extension", "missing extension", _CUT),
    110: ("unsupported extension", "unsupported extension", _CUT),
    112: ("unrecognized name", "unrecognized name", ("tls-sni",)),
    113: ("bad certificate status response", "bad certificate status response", ("tls-revoked",)),
    115: ("unknown psk identity", "unknown psk identity", _CUT),
    116: ("certificate required", "certificate required", ("tls-client-certificate",)),
    120: ("no application protocol", "no application protocol", ("tls-alpn",)),
}
_ALERTED_BY = ("tlsv1 alert", "sslv3 alert", "tlsv13 alert", "ssl/tls alert", "tls alert", "fatal alert:")
# Reasons of OpenSSL, and the errno of a session, that may be of other things: they are asked about, or behind `tls:`.
BARE: Mapping[str, Sequence[str]] = MappingProxyType(
    {
        "unsupported protocol": ("tls-version",),
        "http request": ("plain-client",),
        "https proxy request": ("plain-client",),
        "unexpected message": _CUT,
        "unexpected record": _CUT,
        "length mismatch": _CUT,
        "data length too long": _CUT,
        "bad signature": _CUT,
        "bad extension": _CUT,
        "unknown protocol": ("plain-server",),
        "eproto": ("session-failed",),
        "not tls": ("plain-server",),
        "close_notify": ("tls-closed",),
    }
)


def _alerts() -> Iterator[tuple[Sequence[str], str]]:
    for number, (words, in_go, causes) in _ALERTS.items():
        alerts = (f"{by} {form}" for by in _ALERTED_BY for form in (words, words.replace(" ", "_")))
        others = (
            *(f"{by.replace(' ', '_')}_{words.replace(' ', '_')}" for by in _ALERTED_BY[:4]),
            *(f"err_ssl_{by.replace(' ', '_').replace('/', '_')}_{words.replace(' ', '_')}" for by in _ALERTED_BY[:4]),
            f"fatal alert: {words.replace(' ', '')}",
            f"remote error: tls: {in_go}",
            f"alert number {number}",
        )
        yield causes, "\n".join(dict.fromkeys((*alerts, *others)))


def texts() -> Iterator[tuple[Sequence[str], str]]:
    """Yield causes, and the texts that lead to them, one a line, each as `Phrase.text` has it."""
    yield from _FAILED.items()
    yield from _CERTIFICATES.items()
    yield from _SESSIONS.items()
    yield from _alerts()
    for words, causes in BARE.items():
        yield causes, f"tls: {words}"
