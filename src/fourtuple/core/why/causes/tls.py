"""Causes of TLS sessions that fail after TCP has connected: certificates, versions, what the other end speaks.

Sources: RFC 8446, 4.2 and 6; RFC 5280, 6.1; RFC 6066, 3; openssl-verification-options(1), x509_vfy.h of OpenSSL 3.5.
"""

from collections.abc import Mapping

from fourtuple.core.limits.cures import Cure, Needs
from fourtuple.core.why.scene import Cause

_SHOW = Cure(
    "openssl s_client -connect HOST:PORT -servername HOST -showcerts </dev/null shows the chain that the server"
    " sends, its dates and the verdict"
)
_NOT_INSECURE = Cure(
    "switch verification off (--insecure, curl -k, verify=False) for one test only",
    "anyone on the path can read and change everything",
    Needs.SETTING,
)

TLS: Mapping[str, Cause] = {
    "tls-expired": Cause(
        "TLS: a certificate of the chain has expired, its own or an intermediate's; or the clock of the end that checks"
        " is wrong",
        (
            Cure(
                "openssl s_client -connect HOST:PORT -servername HOST </dev/null | openssl x509 -noout -dates -issuer"
                " shows the dates; date -u on the end that checks shows its clock"
            ),
            Cure(
                "renew the certificate on the server, and reload the server: a renewed file that was not loaded is the"
                " usual reason where the file is valid",
                "a reload may close connections",
                Needs.OTHERS,
            ),
            Cure(
                "if the leaf is valid, an intermediate or a root has expired: let the server send the current chain,"
                " and update the client's certificates (package ca-certificates)",
                needs=Needs.OTHERS,
            ),
        ),
    ),
    "tls-not-yet": Cause(
        "TLS: the certificate is not valid yet: the clock of the end that checks is slow, or the certificate was issued"
        " with a later date",
        (
            Cure("date -u on the end that checks; timedatectl says whether the clock is synchronised"),
            Cure("set the clock (chronyd, systemd-timesyncd)", "jobs that depend on time see a jump", Needs.ROOT),
            Cure("wait until notBefore, or issue the certificate with an earlier one", needs=Needs.OTHERS),
        ),
    ),
    "tls-chain": Cause(
        "TLS: the server does not send its intermediate certificates, so this end finds no way from the certificate to"
        " a root that it trusts; browsers often hide this, because they fetch or remember intermediates",
        (
            _SHOW,
            Cure(
                "configure the full chain on the server, the leaf first (fullchain.pem, ssl_certificate of nginx, crt"
                " of HAProxy)",
                "a reload of the server",
                Needs.OTHERS,
            ),
            Cure(
                "until then, give the intermediate to this end as a CA (--ca, CURLOPT_CAINFO, NODE_EXTRA_CA_CERTS)",
                "it has to be replaced when the server's issuer changes",
                Needs.SETTING,
            ),
        ),
    ),
    "tls-unknown-ca": Cause(
        "TLS: this end does not trust the issuer: a private CA, a proxy that inspects TLS, or this end's list of"
        " certificates is missing or old (an image without ca-certificates)",
        (
            _SHOW,
            Cure("the issuer tells: a name of your own company is a private CA or an inspecting proxy"),
            Cure(
                "give this end the root: --ca FILE, SSL_CERT_FILE, NODE_EXTRA_CA_CERTS, REQUESTS_CA_BUNDLE, keytool"
                " -importcert for Java; update-ca-certificates for the host",
                "this end then trusts everything that this CA signs",
                Needs.SETTING,
            ),
            Cure("install or update the package ca-certificates, in the container image too", needs=Needs.RESTART),
            _NOT_INSECURE,
        ),
    ),
    "tls-self-signed": Cause(
        "TLS: the certificate, or the root that the server sends, is signed by itself, and this end does not trust it",
        (
            _SHOW,
            Cure(
                "give exactly this certificate, or its root, to this end as a CA (--ca FILE)",
                "it has to be replaced there when the server's is renewed",
                Needs.SETTING,
            ),
            Cure("use a certificate of a CA that the clients trust", "it has to be renewed", Needs.OTHERS),
            Cure(
                "if you did not expect it: a default certificate of a proxy (name not configured, SNI missing), or a"
                " device that inspects TLS"
            ),
            _NOT_INSECURE,
        ),
    ),
    "tls-name": Cause(
        "TLS: the certificate is for other names than the one that was asked for (subjectAltName; the CN does not"
        " count)",
        (
            Cure(
                "openssl s_client -connect HOST:PORT -servername HOST </dev/null | openssl x509 -noout -ext"
                " subjectAltName shows the names"
            ),
            Cure("connect by a name that it has, not by the address; --sni NAME says which", needs=Needs.SETTING),
            Cure(
                "if another site's certificate comes: the server chose its default because it got no SNI or does not"
                " know the name",
            ),
            Cure("issue the certificate with this name, or this address, as subjectAltName", needs=Needs.OTHERS),
        ),
    ),
    "tls-revoked": Cause(
        "TLS: the certificate was revoked by its issuer, or its state could not be asked for (CRL, OCSP)",
        (
            Cure("openssl s_client -status -connect HOST:PORT </dev/null shows the stapled answer of OCSP"),
            Cure("issue a new certificate and key", "clients that pin the old one fail", Needs.OTHERS),
            Cure("if the state could not be asked for: check the way to the CRL and OCSP addresses in the certificate"),
        ),
    ),
    "tls-weak": Cause(
        "TLS: a key, a digest or a certificate of the chain is too weak, or has extensions that are not allowed (level"
        " of security of OpenSSL, rules of X.509)",
        (
            _SHOW,
            Cure("issue certificates with RSA 2,048 or ECDSA P-256 and SHA-256", needs=Needs.OTHERS),
            Cure(
                "openssl ciphers with @SECLEVEL=1, for one peer only",
                "the connection is protected by what is known to be weak",
                Needs.SETTING,
            ),
        ),
    ),
    "tls-unusable": Cause(
        "TLS: this end cannot use its own certificate, key or CA file: they do not belong together, or are not what"
        " they should be",
        (
            Cure(
                "openssl x509 -noout -pubkey -in CERT and openssl pkey -pubout -in KEY must print the same; the first"
                " certificate of the file counts"
            ),
            Cure("openssl x509 -text -in FILE shows whether it is PEM at all; and whether the process may read it"),
        ),
    ),
    "tls-rejected": Cause(
        "TLS: the other end rejects the certificate that it got from this end: it does not trust the issuer, or the"
        " name or the date is wrong for it. In a server's log the client rejects the server's certificate",
        (
            Cure("the alert has no more than this: the other end's log says what exactly is wrong"),
            Cure(
                "in a server's log: see what the server sends by openssl s_client -connect HOST:PORT -servername HOST"
                " -showcerts; clients with old or private root certificates remain"
            ),
            Cure(
                "in a client's log: send a certificate of a CA that the server accepts; openssl s_client lists them"
                " under `Acceptable client certificate CA names`",
                needs=Needs.SETTING,
            ),
        ),
    ),
    "tls-client-certificate": Cause(
        "TLS: the server wants a certificate of the client (mutual TLS), and got none, or one that it does not accept",
        (
            Cure("give one, with its key: --cert and --key", needs=Needs.SETTING),
            Cure(
                "with TLS 1.3 the refusal comes after the client's handshake has succeeded, with the first read: it"
                " looks like a lost connection"
            ),
            Cure(
                "make it optional on the server (ssl_verify_client optional of nginx, verify optional of HAProxy)",
                "the program behind must then check who asks",
                Needs.OTHERS,
            ),
        ),
    ),
    "tls-version": Cause(
        "TLS: the two ends have no version in common: one is too old (TLS 1.0, 1.1), or allows only a newer one",
        (
            Cure("openssl s_client -tls1_2 -connect HOST:PORT, then -tls1_3: which one the server accepts"),
            Cure("do not restrict the version (--tls), or choose one that the server has", needs=Needs.SETTING),
            Cure("allow TLS 1.2 and 1.3 on the server, or update the older end", needs=Needs.OTHERS),
            Cure(
                "allow TLS 1.0 again for a peer that cannot be updated (MinProtocol, @SECLEVEL=0)",
                "old versions are broken; attackers may force them",
                Needs.SETTING,
            ),
        ),
    ),
    "tls-cipher": Cause(
        "TLS: the two ends have no cipher, group or signature algorithm in common; the server may also refuse for want"
        " of SNI or of a client's certificate: a handshake failure (alert 40) is sent for all of these",
        (
            Cure(
                "openssl s_client -connect HOST:PORT -servername HOST: if it succeeds, this program's settings or its"
                " missing SNI are the reason; if -noservername fails alone, it is SNI"
            ),
            Cure("compare the lists: openssl ciphers -v here, nmap --script ssl-enum-ciphers -p PORT HOST there"),
            Cure("a server with an ECDSA certificate alone refuses clients that offer only RSA ciphers"),
            Cure("allow the modern ciphers at both ends", "old clients or servers drop out", Needs.OTHERS),
        ),
    ),
    "tls-renegotiation": Cause(
        "TLS: the server renegotiates in the old, unsafe way (no RFC 5746), which OpenSSL 3 refuses",
        (
            Cure("update the server, or the device in front of it", needs=Needs.OTHERS),
            Cure(
                "Options = UnsafeLegacyServerConnect in an OPENSSL_CONF of this program alone",
                "someone on the path can put data before the session's",
                Needs.SETTING,
            ),
        ),
    ),
    "tls-sni": Cause(
        "TLS: the server has no certificate for the name that was asked for by SNI, or got no name at all",
        (
            Cure("send the name: --sni NAME; a client that connects by address sends none", needs=Needs.SETTING),
            Cure("configure that name on the server", needs=Needs.OTHERS),
        ),
    ),
    "tls-alpn": Cause(
        "TLS: the two ends have no application protocol in common (ALPN), such as h2 or http/1.1",
        (
            Cure("openssl s_client -alpn h2,http/1.1 -connect HOST:PORT shows which one the server chooses"),
            Cure("offer what the server speaks (--alpn)", needs=Needs.SETTING),
        ),
    ),
    "plain-server": Cause(
        "the server does not speak TLS at this port: it answered in plain text, as HTTP, SSH or SMTP, or a proxy in"
        " front of it did",
        (
            Cure("use the port for TLS (443, 8883), or the scheme without it: http, ws, mqtt", needs=Needs.SETTING),
            Cure("what the server says first tells what it is: nc HOST PORT </dev/null, curl http://HOST:PORT/"),
            Cure("SMTP, IMAP, PostgreSQL, MySQL and LDAP begin in plain text: their own STARTTLS, sslmode"),
            Cure("an https:// proxy is rare: most proxies want http:// in HTTPS_PROXY", needs=Needs.SETTING),
        ),
    ),
    "plain-client": Cause(
        "the client does not speak TLS at a port that needs it: it sent plain HTTP or another protocol, as health"
        " checks and scanners do too",
        (
            Cure("use https, wss, mqtts or tls for this port", needs=Needs.SETTING),
            Cure("let a load balancer's health check speak TLS, or check another port", needs=Needs.SETTING),
            Cure("if the client's address is unknown to you, it is a scanner: nothing is wrong"),
        ),
    ),
    "other-protocol": Cause(
        "the two ends speak different protocols at this port: the answer is not one of the protocol that was asked for,"
        " or breaks its rules",
        (
            Cure("check scheme and port: TLS or not, HTTP or another; the first word of the answer tells what it is"),
            Cure("look at the bytes: tcpdump -i any -A port PORT, or curl -v --http1.1"),
            Cure("a server that sends HTTP/2 frames or an error page in front of the real answer: ask it directly"),
        ),
    ),
    "tls-cut": Cause(
        "TLS: the connection ended in the middle of the handshake, without an alert",
        (
            Cure("the server's log at that time: a crash, a limit, a timeout of its handshake"),
            Cure(
                "in a server's log, many of these from one address are health checks or scanners that only connect by"
                " TCP: nothing is wrong"
            ),
            Cure(
                "openssl s_client -connect HOST:PORT, with and without -servername: where only one name is cut, a"
                " firewall reads SNI; where all are, the server has no certificate or does not speak TLS"
            ),
            Cure("a proxy behind which no server is ready closes as well: ask the server directly"),
        ),
    ),
    "tls-failed": Cause(
        "TLS: the handshake failed; this text does not say why",
        (
            _SHOW,
            Cure("read the lines around it, and the other end's log: one of the two knows the reason"),
        ),
    ),
    "tls-unverified": Cause(
        "TLS: the certificate was not accepted; this text does not say why",
        (
            Cure(
                "openssl s_client -connect HOST:PORT -servername HOST -verify_hostname HOST </dev/null says why, at the"
                " end that refused: give its words to fourtuple why"
            ),
            _NOT_INSECURE,
        ),
    ),
    "tls-peer-failed": Cause(
        "TLS: the other end failed on its own (alert internal error): often a server that has no certificate for this"
        " name, or cannot read its key",
        (
            Cure("the server's log at that time says why", needs=Needs.OTHERS),
            Cure("send SNI, with a name that the server knows", needs=Needs.SETTING),
        ),
    ),
    "tls-broken": Cause(
        "TLS: a record could not be decrypted, or a message of the handshake breaks the rules: one object used by two"
        " threads or after fork(), a device on the path that changes data, or a faulty peer",
        (
            Cure("if it comes under load only: share no TLS connection between threads, nor across fork()"),
            Cure("if it comes with one network only: a proxy or an MTU problem there; compare both ends by tcpdump"),
            Cure("try another version (--tls 1.2), which tells whether one implementation is at fault"),
        ),
    ),
    "tls-not-closed": Cause(
        "TLS: the peer ended the connection without close_notify: it crashed, was killed, or never sends one; the end"
        " of the data is then unproven",
        (
            Cure("read the other end's log at that time: a crash, a restart, a timeout"),
            Cure("if the protocol inside had its own end (Content-Length), nothing is lost"),
        ),
    ),
    "tls-closed": Cause(
        "TLS: the peer ended the session properly (close_notify): it was idle for too long, or the server stopped",
        (
            Cure(
                "the server's log at that time: a reload, a stop, a limit of requests per connection; or its timeout"
                " for idle connections was over: then send something sooner (--every)"
            ),
        ),
    ),
}
