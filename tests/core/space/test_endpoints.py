"""Endpoints as typed: what is refused, and what the error says to write instead."""

import pytest

from fourtuple.core.errors import UsageError
from fourtuple.core.space.endpoints import Endpoint, EndpointSpec, listening

SHORT = [
    "1.2.3",
    "127.1",
    "1",
    "0x7f.1",
    "0x7f000001",
    "010.0.0.1",
    "1.2.3.4.5",
    "1.2.3.999",
    "127.0.0.1.",
    "0X7F.0.0.1",
]
SHORT += ["１２７.1", "127。1", "1．2．3", "0ｘ7f.1", "127.0.0.01"]


@pytest.mark.parametrize("host", SHORT)
@pytest.mark.parametrize("form", ["{}:80", "{}:80-81", "[{}]:80"])
def test_only_four_decimal_numbers_are_an_ipv4_address(host: str, form: str) -> None:
    """inet_aton(3) reads the others too, as addresses of strangers."""
    with pytest.raises(UsageError) as caught:
        EndpointSpec.parse(form.format(host))

    assert host in caught.value.wanted
    assert "127.0.0.1" in caught.value.do


@pytest.mark.parametrize("host", SHORT)
def test_a_short_form_is_no_address_either_without_a_port(host: str) -> None:
    """A number alone is a port: its error comes where a port is needed."""
    if host.isdecimal():
        assert EndpointSpec.parse(host).ports is None
        return
    with pytest.raises(UsageError):
        EndpointSpec.parse(host)


@pytest.mark.parametrize(
    "text",
    ["127.0.0.1", "localhost", "1.example", "node-1", "web.1a", "3com.com", "0x7f.example", "10.0.0.2-9", "10.0.0.0/29",
     "10.0.0.2-10.0.1.9", "face", "example.com.", "[::ffff:1.2.3.4]", "::1.2.3.4"],
)  # fmt: skip
def test_names_addresses_and_ranges_are_hosts(text: str) -> None:
    assert EndpointSpec.parse(text).host == text.strip("[]")


@pytest.mark.parametrize(
    ("text", "meant"),
    [
        ("[::1]", "[::1]:8000"),
        ("::1", "[::1]:8000"),
        ("::1:9435", "[::1]:9435"),
        ("fd00::4:80", "[fd00::4]:80"),
        ("fe80::10", "[fe80::10]:8000"),
        ("1:2:3:4:5:6:7:80", "[1:2:3:4:5:6:7:80]:8000"),
        ("9435", "127.0.0.1:9435"),
        ("99999", "127.0.0.1:8000"),
        ("db", "db:8000"),
        (":9435", "127.0.0.1:9435"),
        ("*:9435", "127.0.0.1:9435"),
        (":8000-8009", "127.0.0.1:8000-8009"),
        ("127.0.0.1:8000-8009", "127.0.0.1:8000"),
        ("[fd00::4]:1-9", "[fd00::4]:1"),
        ("http://127.0.0.1:8000/", "127.0.0.1:8000"),
        ("https://h", "h:443"),
        ("a:1,b:2", "a:1 b:2"),
        ("127.0.0.1:9-8", "8-9"),
    ],
)
def test_an_error_says_what_was_probably_meant(text: str, meant: str) -> None:
    """And what it says to write can be read, unless it stands for several."""
    with pytest.raises(UsageError) as caught:
        Endpoint.parse(text)

    written = (
        caught.value.do.removeprefix("Write ").removeprefix("each by itself: ").removesuffix(".").partition(",")[0]
    )
    assert written == meant
    for each in written.split() if ":" in written else ():
        assert EndpointSpec.parse(each).ports


@pytest.mark.parametrize(
    ("text", "meant"),
    [
        ("8000", "127.0.0.1:8000"),
        ("8000-8009", "127.0.0.1:8000-8009"),
        (":8000", "0.0.0.0:8000"),
        ("*:8000-8009", "0.0.0.0:8000-8009"),
        ("[::]:8000", "[::]:8000"),
        ("db:80", "db:80"),
        ("::1", "::1"),
        ("*", "*"),
        ("", ""),
    ],
)
def test_a_server_may_leave_its_address_out(text: str, meant: str) -> None:
    """A number alone listens for this host only; what is left out before a colon is any address."""
    assert listening(text) == meant
