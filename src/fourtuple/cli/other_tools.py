"""How curl, wrk, ab, hey, vegeta, h2load, openssl and mosquitto call what an option or an argument of ours is.

These names are not taken, as the same letter means something else in each tool: an error says which option is meant.
"""

# Our option, or the beginning of an argument's name → their names for it.
NAMES = {
    "ca": "cacert capath ca-cert ca-file cafile CAfile",
    "insecure": "k skip-verify no-check-certificate tls-skip-verify insecure-skip-tls-verify",
    "cert": "E certificate client-cert cert-file",
    "key": "private-key keyfile key-file",
    "sni": "servername server-name tls-host",
    "alpn": "http1.1",
    "tls": "tlsv1.2 tlsv1.3 tls-version tls1_2 tls1_3 tls-max",
    "method": "X m request",
    "header": "H headers A user-agent cookie e referer",
    "send": "d D p data data-raw data-binary body payload message msg body-file post-file",
    "every": "i interval delay",
    "proxy": "x socks5 socks5-hostname http-proxy",
    "unix-socket": "unix abstract-unix-socket socket",
    "N": "c n u connections concurrency clients users vus conns",
    "at-once": "c connections concurrency max-connections max-clients",
    "requests": "n number max-requests",
    "RATE": "R r q rps qps rate throughput arrival-rate",
    "rate": "R r q rps qps throughput arrival-rate connect-rate",
    "for": "t d z time timelimit duration-time hold hold-time",
    "stages": "ramp ramp-up rampup warm-up",
    "timeout": "T m max-time connect-timeout",
    "workers": "t threads cpus processes",
    "from": "interface bind local-addr laddr source-address source-ip",
    "keepalive": "keep-alive keepalive-time ping-interval",
    "subscribe": "sub filter",
    "client-id": "id clientid",
    "quiet": "s silent no-progress",
    "log": "v verbose debug trace",
    "HOST": "host hostname port url target targets address server listen",
    "close-after": "idle-timeout",
}
_IN_WORDS = {
    **dict.fromkeys(
        ("resolve", "connect-to"),
        "Write the address as the destination, and the name by --sni, or by --header 'Host: NAME'.",
    ),
    **dict.fromkeys(
        ("user", "username", "password", "pw", "passwd", "oauth2-bearer"),
        "Write mqtt://USER:PASSWORD@HOST, or for HTTP --header 'Authorization: …'.",
    ),
}


def meant_by(name: str) -> tuple[str, ...]:
    """Our options and arguments that another tool calls by this name, without dashes."""
    typed = name if len(name) == 1 else name.lower()
    return tuple(own for own, theirs in NAMES.items() if typed in theirs.split() or name in theirs.split())


def in_words(name: str) -> str:
    """What to write instead, where no option is the same; empty: there is nothing to say."""
    return _IN_WORDS.get(name, "")
