"""From a destination's URL and the options of the command line to what runs on each connection."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from fourtuple.core.errors import UsageError
from fourtuple.core.record import dataclass
from fourtuple.core.space.endpoints import UNIX, EndpointSpec, is_unix, parse_unix_name, unix_name
from fourtuple.core.talk.destinations import Target
from fourtuple.core.talk.expectation import Expectation, ExpectationKind
from fourtuple.core.talk.script import Say, Script, Word, script_of
from fourtuple.core.talk.session import Scheme, SessionOptions


@dataclass(frozen=True, slots=True)
class SessionFlag:
    """An option of the command line.

    flag:   as typed
    fields: where it goes, by the record of SessionOptions that it belongs to; none: SessionOptions itself
    """

    flag: str
    fields: Mapping[str, str]


FLAGS: Mapping[str, SessionFlag] = {
    "proxy": SessionFlag("--proxy", {}),
    "unix_socket": SessionFlag("--unix-socket", {}),
    "ca": SessionFlag("--ca", {"tls": "ca"}),
    "insecure": SessionFlag("--insecure", {"tls": "insecure"}),
    "sni": SessionFlag("--sni", {"tls": "sni"}),
    "alpn": SessionFlag("--alpn", {"tls": "alpn"}),
    "certificate": SessionFlag("--cert", {"tls": "certificate"}),
    "key": SessionFlag("--key", {"tls": "key"}),
    "tls_version": SessionFlag("--tls", {"tls": "version"}),
    "resume": SessionFlag("--resume", {"tls": "resume"}),
    "method": SessionFlag("--method", {"http": "method"}),
    "headers": SessionFlag("--header", {"http": "headers", "websocket": "headers"}),
    "subprotocols": SessionFlag("--subprotocol", {"websocket": "subprotocols"}),
    "binary": SessionFlag("--binary", {"websocket": "binary"}),
    "keepalive_s": SessionFlag("--keepalive", {"websocket": "keepalive_s", "mqtt": "keepalive_s"}),
    "mqtt_version": SessionFlag("--mqtt", {"mqtt": "version"}),
    "client_id": SessionFlag("--client-id", {"mqtt": "client_id"}),
    "topic": SessionFlag("--topic", {"mqtt": "topic"}),
    "qos": SessionFlag("--qos", {"mqtt": "qos"}),
    "subscribe": SessionFlag("--subscribe", {"mqtt": "subscribe"}),
}
_SCHEMES = {
    "tls": "tls, https, wss and mqtts",
    "http": "http and https",
    "websocket": "ws and wss",
    "mqtt": "mqtt and mqtts",
}


def session_of(target: Target, typed: Mapping[str, Any]) -> SessionOptions:
    """What runs on each connection to `target`.

    typed: values of FLAGS by name; None, False and empty ones were not given

    Raises UsageError for an option that the scheme does not have.
    """
    fields: dict[str, dict[str, Any]] = {group: {} for group in _groups(target.scheme)}
    for name, value in typed.items():
        if value is None or value is False or value == ():
            continue
        flag = FLAGS[name]
        if not flag.fields:
            continue
        fitting = [group for group in flag.fields if group in fields]
        if not fitting:
            has = " and ".join(_SCHEMES[group] for group in flag.fields)
            raise UsageError(f"{flag.flag} for {target.scheme}", f"it is an option of {has}")
        for group in fitting:
            fields[group][flag.fields[group]] = value
    session = SessionOptions(target.scheme, _host(target), target.path, typed.get("proxy") or "")
    if target.scheme.inner is Scheme.MQTT:
        keepalive_s = fields["mqtt"].get("keepalive_s", session.mqtt.keepalive_s)
        if keepalive_s != int(keepalive_s):
            raise UsageError(f"--keepalive {keepalive_s:g}s", "MQTT counts it in whole seconds", "Write 1s or more.")
        fields["mqtt"]["keepalive_s"] = int(keepalive_s)
        fields["mqtt"] |= {"user": target.user, "password": target.password}
    changed = {group: replace(getattr(session, group), **values) for group, values in fields.items()}
    return replace(session, **changed)


def connects_to(target: Target, unix_socket: str | None, proxied: str) -> tuple[str, ...]:
    """Where the connections of a run go: to its destinations, or to what stands in their place.

    unix_socket: the name of a Unix socket, to which all connections go; None: none
    proxied:     HOST:PORT of a proxy; empty: none

    Raises UsageError for a Unix socket beside something else to connect to.
    """
    sockets = target.sockets if unix_socket is None else (unix_socket,)
    if sockets and proxied:
        raise UsageError("--proxy with a Unix socket", "a proxy connects to a host and a port", "Use one of them.")
    if unix_socket is None:
        return (proxied,) if proxied else (*target.destinations, *(f"{UNIX}{name}" for name in sockets))
    name = parse_unix_name(unix_name(unix_socket) if is_unix(unix_socket) else unix_socket, f"{UNIX}{unix_socket}")
    if target.scheme is Scheme.TCP:
        what = "it is for a URL, whose host is then only named and not connected to"
        raise UsageError("--unix-socket", what, f"Write {UNIX}{name} as the destination.")
    spec = EndpointSpec.parse(target.destinations[0])
    if len(target.destinations) > 1 or (spec.ports and len(spec.ports) > 1):
        raise UsageError("--unix-socket", "all connections go there, so there is one URL", "Leave the others out.")
    return (f"{UNIX}{name}",)


def with_script(session: SessionOptions, words: Sequence[Word]) -> tuple[SessionOptions, Script]:
    """What is said and expected on each connection: as text, and for HTTP as the statuses of its options.

    words: --first, --send and --expect in their order

    Raises UsageError for what the scheme does not have.
    """
    inner = session.scheme.inner
    if inner is Scheme.TCP:
        return session, script_of(words)
    if any(not isinstance(word, Expectation) and word[0] is Say.FIRST for word in words):
        raise UsageError(f"--first for {session.scheme}", "its protocol says what comes first", "Leave it out.")
    expectations = [word for word in words if isinstance(word, Expectation)]
    if inner is not Scheme.HTTP:
        script = script_of(words)
        if script.opening:
            raise UsageError(
                f"--expect for {session.scheme} without --send", "there is no message that it answers", "Add --send."
            )
        return session, script
    if any(each.kind is not ExpectationKind.STATUS for each in expectations):
        what = "an answer of HTTP is judged by its status"
        raise UsageError(f"--expect for {session.scheme}", what, "Write --expect status:200, or status:2xx,404.")
    statuses = tuple(status for each in expectations for status in each.statuses)
    said = [word for word in words if not isinstance(word, Expectation)]
    return replace(session, http=replace(session.http, status=statuses)), script_of(said)


def _host(target: Target) -> str:
    """The first destination as HOST:PORT; a Unix socket by its name."""
    if target.sockets:
        return f"{UNIX}{target.sockets[0]}"
    spec = EndpointSpec.parse(target.destinations[0])
    return str(EndpointSpec(spec.host, spec.ports[:1] if spec.ports else None))


def _groups(scheme: Scheme) -> set[str]:
    inner = {Scheme.HTTP: "http", Scheme.WS: "websocket", Scheme.MQTT: "mqtt"}.get(scheme.inner)
    return ({"tls"} if scheme.secure else set()) | ({inner} if inner else set())
