"""Texts that a user types in place of numbers, addresses, messages and log lines."""

from collections.abc import Callable, Iterator
from pathlib import Path
from random import Random

from fourtuple.core import units
from fourtuple.core.sockets.filter import Where
from fourtuple.core.space.endpoints import Endpoint, EndpointSpec, listening, parse_addresses, parse_ports
from fourtuple.core.space.tuples import TupleSpace
from fourtuple.core.talk.content import parse_content
from fourtuple.core.talk.destinations import parse_destinations, parse_proxy
from fourtuple.core.talk.expectation import parse_expectation
from fourtuple.core.talk.lifetime import parse_lifetime
from fourtuple.core.talk.stages import parse_stages
from fourtuple.core.talk.template import parse_template
from fourtuple.core.why.reader import read_findings
from tests.fuzz import mutations
from tests.fuzz.commands import ADDRESSES, ENDPOINTS, TEXTS
from tests.fuzz.running import call


def cut_anywhere(text: str) -> list[bytes]:
    """The bytes of a text in pieces of seven, which cut letters and lines."""
    data = text.encode(errors="surrogatepass")
    return [data[at : at + 7] for at in range(0, len(data), 7)]


def parse_destination(text: str) -> object:
    return parse_destinations([text, text])


def parse_message(text: str) -> object:
    return parse_template(parse_content(text)).needs


PARSERS: dict[Callable[[str], object], list[str]] = {
    units.parse_count: ["20k", "100,000", "1.5M"],
    units.parse_rate: ["20k/s", "0.5/s"],
    units.parse_duration: ["500ms", "3s", "18µs", "1m30s", "1h 2m 3s"],
    units.parse_size: ["64KiB", "2GiB"],
    parse_content: ["32B", "ping", "PING\\r\\n"],
    parse_destination: [
        *ENDPOINTS,
        "https://[::1]:8443/health?x=1",
        "mqtts://me:pw@broker",
        "unix:/run/x",
        "redis://h",
    ],
    parse_proxy: ["http://me:pw@127.0.0.1:3128", "socks5h://[::1]"],
    parse_expectation: ["PONG\\r\\n", "re:^OK (a|b)*x{2,3}", "len:10-1KiB", "until:\\r\\n", "status:200,3xx,400-404"],
    parse_message: ['{"id": {connection}, "n": {{message}}}', "{random:16} {now:ms} {line:x} {source}:{port}"],
    parse_lifetime: ["2s", "exp:2s", "uniform:1s-5s"],
    lambda text: str(parse_stages(text)): ["10k@10s, 100,000@60s,0@20s"],
    units.size_meant: ["32GB", "5k", "32B"],
    listening: ENDPOINTS,
    Endpoint.parse: ENDPOINTS,
    EndpointSpec.parse: ENDPOINTS,
    lambda text: EndpointSpec.parse(text).with_port(): ENDPOINTS,
    parse_addresses: ADDRESSES,
    lambda text: parse_ports(text, text): ["80", "80-90"],
    lambda text: Where.parse([text], []): [*ENDPOINTS, *ADDRESSES],
    lambda text: TupleSpace.of([text], range(1, 9), ["127.0.0.1:80"]).size: ADDRESSES,
    lambda text: read_findings([text]): TEXTS,
    lambda text: read_findings(cut_anywhere(text)): TEXTS,
}


def cases(random: Random, folder: Path) -> Iterator[str]:
    """Endless: what is wrong with a parser and a strange text."""
    parsers = list(PARSERS)
    while True:
        parse = random.choice(parsers)
        text = mutations.text(random, random.choice(PARSERS[parse]))
        wrong = call(parse, text)
        yield wrong and f"{parse} {text[:300]!a}\n{wrong}"
