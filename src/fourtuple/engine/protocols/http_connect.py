"""How a tunnel is asked for by HTTP: the method CONNECT (RFC 9110, 9.3.6), with basic authentication (RFC 7617)."""

import base64
from http import HTTPStatus

import h11

from fourtuple.core.errors import UsageError
from fourtuple.core.visible import visible
from fourtuple.engine.protocols.foreign import WORD_BYTES, foreign
from fourtuple.engine.protocols.http import HTTP, malformed
from fourtuple.engine.protocols.proxy import Negotiated


class HttpConnect:
    """One tunnel."""

    __slots__ = ("_http", "_request")

    def __init__(self, request: h11.Request) -> None:
        self._request = request
        self._http = h11.Connection(h11.CLIENT)

    def begin(self) -> bytes:
        return (self._http.send(self._request) or b"") + (self._http.send(h11.EndOfMessage()) or b"")

    def received(self, data: bytes) -> Negotiated:
        self._http.receive_data(data)
        first = self._http.trailing_data[0][:WORD_BYTES]
        if not HTTP.startswith(first[: len(HTTP)]):
            return Negotiated(failed=foreign("HTTP", first))
        try:
            while isinstance(event := self._http.next_event(), h11.InformationalResponse):
                pass
        except h11.RemoteProtocolError as error:
            return Negotiated(failed=malformed(error))
        if not isinstance(event, h11.Response):
            return Negotiated()
        if self._http.our_state is not h11.SWITCHED_PROTOCOL:
            return Negotiated(failed=_named(event.status_code))
        return Negotiated(rest=self._http.trailing_data[0])


def connect_request(destination: str, user: str = "", password: str = "") -> h11.Request:
    """The request for a tunnel to HOST:PORT. Raises UsageError for what HTTP does not allow."""
    headers = [("Host", destination)]
    if user or password:
        credentials = base64.b64encode(f"{user}:{password}".encode(errors="surrogateescape"))
        headers.append(("Proxy-Authorization", f"Basic {credentials.decode()}"))
    try:
        return h11.Request(method="CONNECT", target=destination, headers=headers)
    except (h11.LocalProtocolError, UnicodeEncodeError) as error:
        raise UsageError(f"a tunnel to {destination}", visible(str(error))) from None


def _named(status: int) -> str:
    """`status 407 (Proxy Authentication Required)`, by the registry's phrase: a server's own may differ each time."""
    phrase = HTTPStatus(status).phrase if status in HTTPStatus.__members__.values() else ""
    return f"status {status} ({phrase})" if phrase else f"status {status}"
