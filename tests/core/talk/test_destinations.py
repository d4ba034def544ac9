"""A destination with a scheme becomes endpoints that the rest of the program knows, or an error with what to write."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fourtuple.core.errors import UsageError
from fourtuple.core.space.endpoints import EndpointSpec
from fourtuple.core.talk.destinations import ProxyTarget, Target, parse_destinations, parse_proxy
from fourtuple.core.talk.session import Scheme


@pytest.mark.parametrize(
    ("text", "target"),
    [
        ("127.0.0.1:8000", Target(Scheme.TCP, ("127.0.0.1:8000",))),
        (" 127.0.0.1:8000-8019 ", Target(Scheme.TCP, ("127.0.0.1:8000-8019",))),
        ("tcp://127.0.0.1:8000-8003/", Target(Scheme.TCP, ("127.0.0.1:8000-8003",))),
        ("tls://[::1]:9000", Target(Scheme.TLS, ("[::1]:9000",))),
        ("https://127.0.0.1:8443/health", Target(Scheme.HTTPS, ("127.0.0.1:8443",), path="/health")),
        ("HTTPS://example.com", Target(Scheme.HTTPS, ("example.com:443",), path="/")),
        ("http://127.0.0.1:8000-8003/x?y=1", Target(Scheme.HTTP, ("127.0.0.1:8000-8003",), path="/x?y=1")),
        ("http://h?u=a@b/c:d", Target(Scheme.HTTP, ("h:80",), path="/?u=a@b/c:d")),
        ("http://h/@x:y", Target(Scheme.HTTP, ("h:80",), path="/@x:y")),
        ("http://h/{connection}/ü x\n", Target(Scheme.HTTP, ("h:80",), path="/{connection}/%C3%BC%20x")),
        ("http://h/a\r\nX: b", Target(Scheme.HTTP, ("h:80",), path="/a%0D%0AX:%20b")),
        ("ws://127.0.0.1:8080/chat", Target(Scheme.WS, ("127.0.0.1:8080",), path="/chat")),
        ("wss://[fd00::1]", Target(Scheme.WSS, ("[fd00::1]:443",), path="/")),
        ("mqtts://broker", Target(Scheme.MQTTS, ("broker:8883",))),
        ("mqtt://me:a%40b%2Fc@broker:1884", Target(Scheme.MQTT, ("broker:1884",), user="me", password="a@b/c")),  # noqa: S106
        ("mqtt://me@broker", Target(Scheme.MQTT, ("broker:1883",), user="me")),
        ("unix:/run/x.sock", Target(Scheme.TCP, sockets=("/run/x.sock",))),
        ("unix:///run/x.sock", Target(Scheme.TCP, sockets=("/run/x.sock",))),
        ("unix:@abstract", Target(Scheme.TCP, sockets=("@abstract",))),
        ("unix:/" + "x" * 106, Target(Scheme.TCP, sockets=("/" + "x" * 106,))),
        ("UNIX:x.sock", Target(Scheme.TCP, sockets=("x.sock",))),
        ("Unix:///x", Target(Scheme.TCP, sockets=("/x",))),
        ("unix:/run/a,b", Target(Scheme.TCP, sockets=("/run/a,b",))),
        ("unix:./~x", Target(Scheme.TCP, sockets=("./~x",))),
        ("UNIX:80", Target(Scheme.TCP, ("UNIX:80",))),
        ("http://unix:80/", Target(Scheme.HTTP, ("unix:80",), path="/")),
        ("unix:80", Target(Scheme.TCP, ("unix:80",))),
    ],
)
def test_a_destination_says_the_scheme_and_what_the_rest_of_the_program_knows(text: str, target: Target) -> None:
    assert parse_destinations([text]) == target
    for destination in target.destinations:
        assert EndpointSpec.parse(destination).ports


@pytest.mark.parametrize(
    ("text", "stopped_by", "do"),
    [
        ("htps://h:1/x", "htps is not a known scheme", "https://h:1/x?"),
        ("wws://h", "wws", "ws://h?"),
        ("tpc://h:1", "tpc", "tcp://h:1?"),
        ("mqttt://h", "mqttt", "mqtt://h?"),
        ("gopher://h", "tcp, tls, http, https, ws, wss, mqtt, mqtts and unix", "text over tcp:// or tls://"),
        ("redis://127.0.0.1", "redis", r"tcp://127.0.0.1:6379 --send 'PING\r\n' --expect '+PONG\r\n'"),
        ("rediss://u:p@[::1]:1/0", "rediss", "tls://[::1]:1 --send"),
        ("grpc://[::1]:50051", "grpc", "tcp://[::1]:50051 --first 'PRI"),
        ("postgres://me:pw@db/x", "postgres", "tcp://db:5432 --first"),
        ("socks5://h:1", "proxy", "--proxy socks5://h:1"),
        ("quic://h:1", "not run over TCP", "tcp"),
        ("tls://h", "port is missing", "tls://h:8000"),
        ("tcp://::1", "[ADDRESS]:PORT", "tcp://[::1]:8000"),
        ("https://::1:8443/", "[ADDRESS]:PORT", "https://[::1]:8443"),
        ("http://a:80:90/", "[ADDRESS]:PORT", "http://[fd00::1]:8000"),
        ("http:///x", "address is missing", "http://127.0.0.1:8000"),
        ("tls://h:1/x", "no path", "tls://h:1"),
        ("mqtt://h/topic", "no path", "--topic"),
        ("http://h/a#b", "#", "%23"),
        ("https://u:p@h", "for mqtt", "--header"),
        ("tcp://u:p@h:1", "for mqtt", "Leave it out"),
        ("https:/h/x", "://", "https://h/x"),
        ("https:h", "://", "https://h"),
        ("http:/127.0.0.1:8970/ok", "://", "http://127.0.0.1:8970/ok."),
        ("tls:127.0.0.1:8443", "://", "tls://127.0.0.1:8443."),
        ("redis:6379x", "not a number", ""),
        ("http:8000/x", "path belongs to a URL", "http://http:8000/x"),
        ("127.0.0.1:80/x", "path belongs to a URL", "http://127.0.0.1:80/x"),
        ("//h:80/x", "path belongs to a URL", "http://h:80/x"),
        ("me:pw@h:1883", "user belongs to a URL", "@h:1883"),
        ("unix://run/x", "no host", "unix:/run/x"),
        ("unix://redis.sock", "no host", "Write unix:redis.sock."),
        ("UNIX://localhost/run/x", "no host", "Write unix:/run/x."),
        ("unix://@name", "no host", "Write unix:@name."),
        ("/srv/x.sock", "unix:", "Write unix:/srv/x.sock."),
        ("/run/mysqld/mysqld", "unix:", "Write unix:/run/mysqld/mysqld."),
        ("./x", "unix:", "Write unix:./x."),
        ("../run/x", "unix:", "Write unix:../run/x."),
        ("x.sock", "unix:", "Write unix:x.sock."),
        ("run/x.socket", "unix:", "Write unix:run/x.socket."),
        ("@name", "unix:", "Write unix:@name."),
        ("localhost/x", "path belongs to a URL", "Write http://localhost/x."),
        ("http+unix://x.sock", "Unix socket", "Write http://localhost/ --unix-socket x.sock."),
        ("http+unix:///run/x.sock/a?b", "Unix socket", "Write http://localhost/a?b --unix-socket /run/x.sock."),
        ("https+unix://%2Frun%2Fx/a", "Unix socket", "Write https://localhost/a --unix-socket /run/x."),
        ("unix+http://x.sock", "Unix socket", "Write http://localhost/ --unix-socket x.sock."),
        ("http://unix:/run/x:/a", "Unix socket", "Write http://localhost/a --unix-socket /run/x."),
        ("ws+unix:///run/x.sock:/a", "Unix socket", "Write ws://localhost/a --unix-socket /run/x.sock."),
        ("mqtt+unix:///run/x", "Unix socket", "Write mqtt://localhost --unix-socket /run/x."),
        ("redis+unix:///run/x", "Unix socket", "unix:/run/x --send"),
        ("ipc:///run/x", "Unix socket", "Write unix:/run/x."),
        ("unix:a.sock,unix:b.sock", "comma", "unix:a.sock unix:b.sock."),
        ("unix:/a,/b", "comma", "unix:/a unix:/b."),
        ("unix:a.sock,b.sock", "comma", "unix:a.sock unix:b.sock."),
        ("unix:~/x.sock", "~", "Write unix:$HOME/x.sock"),
        ("unix:~me/x", "~", "Write unix:/home/me/x"),
        ("unix:", "no Unix socket", "unix:/run/x.sock"),
        ("unix:/" + "x" * 107, "at most 107", ""),
        ("http://h:99999/", "1 to 65535", ""),
        ("http://h:x/", "not a number", "8000"),
    ],
)
def test_what_cannot_be_meant_is_refused_with_what_to_write(text: str, stopped_by: str, do: str) -> None:
    with pytest.raises(UsageError) as caught:
        parse_destinations([text])

    assert stopped_by in str(caught.value)
    assert do in caught.value.do


@pytest.mark.parametrize(
    ("texts", "difference"),
    [
        (["https://h", "http://h:443"], "one scheme, not https and http"),
        (["https://h", "h:443"], "one scheme, not https and tcp"),
        (["http://h/x", "http://g/y"], "one path, not /x and /y"),
        (["mqtt://a:b@h", "mqtt://a:c@h"], "one user and password"),
        (["unix:/x", "h:1"], "not both"),
    ],
)
def test_destinations_that_differ_are_not_one_run(texts: list[str], difference: str) -> None:
    with pytest.raises(UsageError, match=difference):
        parse_destinations(texts)


def test_the_destinations_of_a_run_stay_in_order() -> None:
    assert parse_destinations(["b:2", "tcp://a:1"]) == Target(Scheme.TCP, ("b:2", "a:1"))
    assert parse_destinations(["http://h", "http://g/"]) == Target(Scheme.HTTP, ("h:80", "g:80"), path="/")
    assert parse_destinations(["unix:/a", "unix:b"]).sockets == ("/a", "b")
    with pytest.raises(UsageError, match="no destination"):
        parse_destinations([])


@pytest.mark.parametrize("text", ["http://me:secret@h", "htps://me:secret@h", "me:secret@h:1", "tcp://me:secret@h:1"])
def test_an_error_does_not_show_the_password(text: str) -> None:
    with pytest.raises(UsageError) as caught:
        parse_destinations([text])

    assert "secret" not in str(caught.value)


@given(st.lists(st.one_of(st.text(), st.text("htpsmqw:/@?#[]-.u1{}%"), st.sampled_from(["http://h:1/", "h:1"]))))
def test_any_text_is_a_destination_or_a_usage_error(texts: list[str]) -> None:
    try:
        target = parse_destinations(texts)
    except UsageError:
        return
    assert len(target.destinations) + len(target.sockets) == len(texts)
    assert target.path.isascii()
    assert not set(target.path) & set(" \r\n\t")


def test_a_proxy_has_a_scheme_an_endpoint_and_perhaps_a_user() -> None:
    assert parse_proxy("http://me:a%3Ab@h:3128/") == ProxyTarget("http", "h:3128", "me", "a:b")
    assert parse_proxy("SOCKS5://[::1]") == ProxyTarget("socks5", "[::1]:1080")
    assert parse_proxy("socks5h://h:9050") == ProxyTarget("socks5h", "h:9050")
    for text in ("h:3128", "https://h:1", "http://h", "http://h:1/x", "socks5://", "http://h:1-x"):
        with pytest.raises(UsageError):
            parse_proxy(text)
