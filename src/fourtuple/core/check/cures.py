"""How to stop a program from calling bind() before connect(): with its own option, without its code, or in its code."""

import re
from collections.abc import Mapping, Sequence
from types import MappingProxyType

# For each program, the option or setting that makes it call bind() before connect(). With it the verdict of `check` is
# bound, without it shared: each was run, in the version of Debian 12 (docs/verdicts.md).
BINDING_OPTIONS: Mapping[str, str] = MappingProxyType(
    {
        "ab": "-B",
        "aria2c": "--interface",
        "curl": "--local-port",
        "dig": "-b",
        "lftp": "net:socket-bind-ipv4",
        "mosquitto_pub": "-A",
        "mosquitto_sub": "-A",
        "nc": "-s or -p",
        "ncat": "-s or -p",
        "rsync": "--address",
        "socat": "bind=ADDRESS",
        "squid": "tcp_outgoing_address",
        "ssh": "-b",
        "stunnel": "local = ADDRESS",
        "stunnel4": "local = ADDRESS",
        "wget": "--bind-address",
    }
)

# Programs whose setting only needs another value, or that call bind() without being asked.
SPECIAL_CURES: Mapping[str, str] = MappingProxyType(
    {
        "haproxy": "Leave the ports out of `source ADDRESS:PORT-PORT`; an address alone shares the ports.",
        # tcpkali(1), --source-ip
        "tcpkali": "tcpkali always calls bind(), from every address of the interface or from each --source-ip.",
    }
)
ROUTE = "ip route replace PREFIX via GATEWAY src ADDRESS"
MORE_SOURCES = (
    "If the program calls bind() in any case, give it more source addresses, each of which has all ports of the range,"
    " or widen net.ipv4.ip_local_port_range."
)
WITHOUT_CODE = (
    f"Leave out the option or setting that names a source address, and let the route name it: {ROUTE}. {MORE_SOURCES}"
)
IN_CODE = (
    "In its code, do not call bind(), or set IP_BIND_ADDRESS_NO_PORT (24, level SOL_IP) before it: setsockopt in C;"
    " sock.setsockopt(socket.IPPROTO_IP, 24, 1) or fourtuple.connect in Python; net.Dialer.Control instead of"
    " LocalAddr alone in Go; socket2 with libc::setsockopt in Rust; leave the local address out in Java and Node."
)


def cure_for(command: Sequence[str]) -> str:
    """What to change about the programs that the command names; empty: none of them is known.

    If the command contains the option of one of them, only that program is meant.
    """
    text = " ".join(command)
    words = dict.fromkeys(re.findall(r"[\w.+-]+", text))
    known = [word for word in words if word in BINDING_OPTIONS or word in SPECIAL_CURES]
    asked = [program for program in known if program in BINDING_OPTIONS and _name(program) in text]
    cures = [SPECIAL_CURES.get(program) or _without_option(program) for program in asked or known]
    return " ".join([*cures, MORE_SOURCES]) if cures else ""


def _name(program: str) -> str:
    """The name of its option, without the value."""
    return re.split(r" |=", BINDING_OPTIONS[program])[0]


def _without_option(program: str) -> str:
    option = BINDING_OPTIONS[program]
    return f"{program} calls bind() because of {option}: leave it out, and let the route name the source: {ROUTE}."
