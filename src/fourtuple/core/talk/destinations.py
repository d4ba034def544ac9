"""What the destinations of a command line name: a scheme, endpoints, and what a URL says besides (RFC 3986)."""

import re
from collections.abc import Sequence

from fourtuple.core.errors import UsageError
from fourtuple.core.record import dataclass
from fourtuple.core.space.endpoints import (
    EndpointSpec,
    is_address,
    is_unix,
    parse_unix_name,
    several,
    socket_meant,
    unix_name,
)
from fourtuple.core.talk.elsewhere import PROTOCOLS, advice_on, over_unix, unix_advice
from fourtuple.core.talk.session import Scheme, hidden

PROXY_PORTS = {"http": None, "socks5": 1080, "socks5h": 1080}  # IANA: socks
_WITH_PATH = (Scheme.HTTP, Scheme.WS)
_URL = re.compile(r"([^:/?#@\s]+)://(.*)", re.DOTALL)
_NO_SLASHES = re.compile(r"([A-Za-z0-9]+):(?:/(?!/)|(?!/|\d+(?![\d.])))(.*)", re.DOTALL)  # what is not HOST:PORT
_NO_SCHEME = re.compile(r"(?://)?(?:.*@)?(?:\[[^]]*\]|[^:/?#]+)(?::\d+(?:-\d+)?)?(?:[/?#].*)?", re.DOTALL)
_SENT = "".join(map(chr, range(0x21, 0x7F)))  # of a path as it is; anything else is percent-encoded, as browsers do


@dataclass(frozen=True, slots=True)
class Target:
    """What all destinations of a run name together.

    destinations: HOST:PORT[-PORT] each, as core/space/endpoints.py reads it; none: Unix sockets
    sockets:      paths of Unix sockets, @NAME for an abstract one; none: TCP
    path:         of http and ws: the path with the query, at least /; it may be a template. Otherwise empty
    user, password: empty: none
    """

    scheme: Scheme
    destinations: tuple[str, ...] = ()
    sockets: tuple[str, ...] = ()
    path: str = ""
    user: str = ""
    password: str = ""


@dataclass(frozen=True, slots=True)
class ProxyTarget:
    """A proxy: its scheme (http: CONNECT; socks5; socks5h: it resolves names), HOST:PORT, and a user or none."""

    scheme: str
    destination: str
    user: str = ""
    password: str = ""


def parse_destinations(texts: str | Sequence[str]) -> Target:
    """Parse `https://HOST[:PORT[-PORT]]/PATH`, `unix:PATH` or, for tcp, `HOST:PORT[-PORT]`, at least one.

    Raises UsageError: one run has one scheme, one path and one user.
    """
    texts = several(texts)
    if not texts:
        raise UsageError("connections", "no destination was given", "Write 127.0.0.1:8000.")
    targets = [_parsed(text.strip()) for text in texts]
    first = targets[0]
    for text, target in zip(texts, targets, strict=True):
        if difference := _difference(first, target):
            raise UsageError(
                f"the destinations {_shown(texts[0])} and {_shown(text)}", difference, "Start a run for each of them."
            )
    return Target(
        first.scheme,
        tuple(destination for target in targets for destination in target.destinations),
        tuple(socket for target in targets for socket in target.sockets),
        first.path,
        first.user,
        first.password,
    )


def parse_proxy(text: str) -> ProxyTarget:
    """Parse `http://[USER:PASSWORD@]HOST:PORT` or `socks5://…`. Raises UsageError."""
    url = _URL.fullmatch(text.strip())
    scheme = url[1].lower() if url else ""
    if url is None or scheme not in PROXY_PORTS:
        known = "http://HOST:PORT, socks5://HOST:PORT or socks5h://HOST:PORT"
        raise UsageError(f"the proxy {_shown(text)}", f"a proxy is {known}")
    authority, path = _split(url[2])
    if path not in ("", "/"):
        raise UsageError(f"the proxy {_shown(text)}", f"a proxy has no path ({path})", "Leave it out.")
    user, password, end = _user(authority)
    return ProxyTarget(scheme, _endpoint(text, scheme, end, PROXY_PORTS[scheme]), user, password)


def _difference(one: Target, other: Target) -> str:
    """Why two destinations cannot be those of one run; empty: they can."""
    if one.scheme is not other.scheme:
        return f"a run has one scheme, not {one.scheme} and {other.scheme}"
    if bool(one.sockets) is not bool(other.sockets):
        return "a run has Unix sockets or TCP endpoints, not both"
    if one.path != other.path:
        return f"a run has one path, not {one.path} and {other.path}"
    if (one.user, one.password) != (other.user, other.password):
        return "a run has one user and password"
    return ""


def _parsed(text: str) -> Target:
    url = _URL.fullmatch(text)
    if url is None:
        return _without_scheme(text)
    name = url[1].lower()
    if name == "unix":
        if not url[2].startswith("/"):
            raise UsageError(f"destination {text!r}", "a Unix socket has no host", unix_advice(url[2]))
        return _unix(text, url[2])
    if over := over_unix(name, hidden(url[2])):
        raise UsageError(f"destination {_shown(text)}", "the path of a Unix socket is no host", over)
    if name not in [*Scheme]:
        raise UsageError(f"destination {_shown(text)}", *advice_on(name, hidden(url[2])))
    scheme = Scheme(name)
    authority, path = _split(url[2])
    user, password, end = _user(authority)
    endpoint = _endpoint(text, name, end, scheme.port)
    if user and scheme.inner is not Scheme.MQTT:
        do = (
            "Send it as a header: --header 'Authorization: Basic …'." if scheme.inner in _WITH_PATH else "Leave it out."
        )
        raise UsageError(f"destination {_shown(text)}", f"a user and a password are for mqtt, not for {scheme}", do)
    if scheme.inner in _WITH_PATH:
        return Target(scheme, (endpoint,), path=_path(text, path))
    if path not in ("", "/"):
        do = "Name it by --topic." if scheme.inner is Scheme.MQTT else f"Write {scheme}://{endpoint}."
        raise UsageError(f"destination {_shown(text)}", f"{scheme} has no path ({path})", do)
    return Target(scheme, (endpoint,), user=user, password=password)


def _without_scheme(text: str) -> Target:
    """An endpoint or a Unix socket; for what looks like a URL without its scheme, an error that says so."""
    if is_unix(text):
        return _unix(text, unix_name(text))
    if meant := socket_meant(text):
        raise UsageError(f"destination {text!r}", "a Unix socket begins with unix:", f"Write {meant}.")
    named = _NO_SLASHES.fullmatch(text)
    if named and named[1].lower() in (*Scheme, *PROTOCOLS):
        raise UsageError(
            f"destination {_shown(text)}", "a scheme is followed by ://", f"Write {named[1]}://{hidden(named[2])}."
        )
    if _NO_SCHEME.fullmatch(text) and re.search(r"[/?#@]", text):
        scheme, what = (Scheme.MQTT, "a user") if "@" in text else (Scheme.HTTP, "a path")
        raise UsageError(
            f"destination {_shown(text)}",
            f"{what} belongs to a URL, which begins with its scheme",
            f"Write {scheme}://{hidden(text.removeprefix('//'))}.",
        )
    EndpointSpec.parse(text)
    return Target(Scheme.TCP, (text,))


def _unix(text: str, path: str) -> Target:
    return Target(Scheme.TCP, sockets=(parse_unix_name(path, text),))


def _split(rest: str) -> tuple[str, str]:
    """(authority, path with query and fragment) of what follows `://`."""
    authority = re.split(r"[/?#]", rest, maxsplit=1)[0]
    return authority, rest[len(authority) :]


def _user(authority: str) -> tuple[str, str, str]:
    """(user, password, HOST:PORT); the first two are percent-decoded."""
    from urllib.parse import unquote

    said, _, end = authority.rpartition("@")
    user, _, password = said.partition(":")
    return unquote(user), unquote(password), end


def _endpoint(text: str, scheme: str, end: str, default: int | None) -> str:
    """HOST:PORT[-PORT], with the port of the scheme if there is none. Raises UsageError."""
    if not end:
        raise UsageError(f"address {_shown(text)}", "the address is missing", f"Write {scheme}://127.0.0.1:8000.")
    spec = EndpointSpec.parse(end)
    if ":" in spec.host and not end.startswith("["):
        form = "an IPv6 address with a port is written [ADDRESS]:PORT"
        meant = spec.with_port() if is_address(spec.host) else "[fd00::1]:8000"
        raise UsageError(f"address {_shown(text)}", form, f"Write {scheme}://{meant}.")
    if spec.ports:
        return str(spec)
    if default is None:
        raise UsageError(
            f"address {_shown(text)}", f"the port is missing; {scheme} has none of its own",
            f"Write {scheme}://{spec.with_port()}.",
        )  # fmt: skip
    return str(EndpointSpec(spec.host, range(default, default + 1)))


def _path(text: str, path: str) -> str:
    """The path and query as they are sent."""
    from urllib.parse import quote

    plain, hash_, _ = path.partition("#")
    if hash_:
        raise UsageError(f"destination {_shown(text)}", "what follows # is never sent", "Leave it out, or write %23.")
    plain = plain if plain.startswith("/") else f"/{plain}"
    return quote(plain.encode(errors="surrogateescape"), safe=_SENT)


def _shown(text: str) -> str:
    """The text in quotation marks, without its password."""
    return repr(hidden(text))
