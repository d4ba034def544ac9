"""From a destination's URL and the options of the command line to what runs on each connection."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from fourtuple.core.errors import UsageError
from fourtuple.core.record import dataclass
from fourtuple.core.space.endpoints import EndpointSpec
from fourtuple.core.talk.destinations import Target
from fourtuple.core.talk.session import Scheme, SessionOptions


@dataclass(frozen=True, slots=True)
class SessionFlag:
    """An option of the command line.

    flag:   as typed
    fields: where it goes, by the record of SessionOptions that it belongs to
    """

    flag: str
    fields: Mapping[str, str]


FLAGS: Mapping[str, SessionFlag] = {
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
    if target.sockets:
        raise UsageError(f"unix:{target.sockets[0]}", "a Unix socket has no 4-tuple: no ports, and no limit by them")
    fields: dict[str, dict[str, Any]] = {group: {} for group in _groups(target.scheme)}
    for name, value in typed.items():
        if value is None or value is False or value == ():
            continue
        flag = FLAGS[name]
        fitting = [group for group in flag.fields if group in fields]
        if not fitting:
            has = " and ".join(_SCHEMES[group] for group in flag.fields)
            raise UsageError(f"{flag.flag} for {target.scheme}", f"it is an option of {has}")
        for group in fitting:
            fields[group][flag.fields[group]] = value
    spec = EndpointSpec.parse(target.destinations[0])
    first = EndpointSpec(spec.host, spec.ports[:1] if spec.ports else None)
    session = SessionOptions(target.scheme, str(first), target.path)
    if target.scheme.inner is Scheme.MQTT:
        fields["mqtt"] |= {"user": target.user, "password": target.password}
    changed = {group: replace(getattr(session, group), **values) for group, values in fields.items()}
    return replace(session, **changed)


def _groups(scheme: Scheme) -> set[str]:
    inner = {Scheme.HTTP: "http", Scheme.WS: "websocket", Scheme.MQTT: "mqtt"}.get(scheme.inner)
    return ({"tls"} if scheme.secure else set()) | ({inner} if inner else set())
