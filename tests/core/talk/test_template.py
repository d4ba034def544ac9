"""A template says the same one at a time and by column, and braces that are not its own stay as they are."""

import json
import re

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fourtuple.core.errors import UsageError
from fourtuple.core.talk.messages import Messages
from fourtuple.core.talk.template import MOST_RANDOM, Placeholder, Template, Variable, lines_of, parse_template

NOW_NS = 1_795_946_681_123_456_789
WORDS = st.sampled_from(
    [
        b"{connection}",
        b"{message}",
        b"{source}",
        b"{port}",
        b"{now}",
        b"{now:ms}",
        b"{line:a}",
        b"{line:b}",
        b"{{port}}",
    ]
)
PLAIN = st.one_of(st.binary(max_size=5), st.sampled_from([b"{", b"}", b'{"id": ', b"{}", b"{{", b"}}"]))


def filled(content: bytes) -> Template:
    return parse_template(content).with_lines({"a": b"one\r\n\ntwenty-two\n", "b": b"x"})


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"HELLO {connection}\r\n", b"HELLO 7\r\n"),
        (b'{"id": {connection}, "n": {message}}', b'{"id": 7, "n": 12}'),
        (b'{"a":{"b":{connection}}}', b'{"a":{"b":7}}'),
        (b"{source} {port}", b"10.0.0.1 40000"),
        (b"{now}", b"2026-11-29T10:04:41.123Z"),
        (b"{now:s} {now:ms} {now:us} {now:ns}", b"1795946681 1795946681123 1795946681123456 1795946681123456789"),
        (b"{line:b}{line:a}", b"x"),
        (b"{{connection}}", b"{connection}"),
        (b"{{random:16}} {{connections}}", b"{random:16} {connections}"),
        (b"{{connection}", b"{7"),
        (b"{connection}}", b"7}"),
        (b"{user} {{user}} {a:1} {} {{}} {\xff}", b"{user} {{user}} {a:1} {} {{}} {\xff}"),
        (b"${time} {file} {con}", b"${time} {file} {con}"),
        (b"", b""),
    ],
)
def test_known_names_in_braces_are_replaced_and_nothing_else(content: bytes, message: bytes) -> None:
    assert filled(content).render(7, 12, source="10.0.0.1:40000", now_ns=NOW_NS) == message


def test_an_ipv6_source_has_no_brackets() -> None:
    assert parse_template(b"{source} {port}").render(source="[fd00::1]:1") == b"fd00::1 1"


@pytest.mark.parametrize(
    ("content", "do"),
    [
        (b"{connections}", "Write {connection}, or {{connections}} "),
        (b"{conn}", "Write {connection}, or {{conn}} "),
        (b"{Connection}", "Write {connection}, or {{Connection}} "),
        (b"{messages}", "Write {message}"),
        (b"{ports}", "Write {port}"),
        (b"{rnadom:16}", "Write {random:16}"),
        (b"{file:x}", "Write {line:PATH}"),
        (b"{random}", "{{random}}"),
        (b"{random:}", "{{random:}}"),
        (b"{random:0}", "{{random:0}}"),
        (b"{random:x}", "{{random:x}}"),
        (f"{{random:{MOST_RANDOM + 1}}}".encode(), "{{random:"),
        (b"{now:m}", "{{now:m}}"),
        (b"{line}", "{{line}}"),
        (b"{port:8080}", "{{port:8080}}"),
        (b"{connection:\xff}", "{{connection:"),
    ],
)
def test_what_is_nearly_a_placeholder_is_refused_with_both_ways_out(content: bytes, do: str) -> None:
    with pytest.raises(UsageError) as caught:
        parse_template(b"x" + content)

    assert do in caught.value.do


@given(st.recursive(st.one_of(st.text(), st.integers(), st.none()), lambda each: st.dictionaries(st.text(), each)))
def test_json_without_placeholders_stays_as_it_is(value: object) -> None:
    """JSON has no bare word in braces, so that nothing in it is even nearly a placeholder, but in its texts."""
    content = json.dumps(value).encode()

    if not re.search(rb"\{[A-Za-z_]", content):
        assert parse_template(content) == Template((content,) * bool(content))


def test_a_template_knows_what_it_needs() -> None:
    template = parse_template(b"a{random:3}{connection}b{line:x}{line:y}{line:x}")

    assert template.needs == {Variable.RANDOM, Variable.CONNECTION, Variable.LINE}
    assert template.files == ("x", "y")
    assert template.parts[1] == Placeholder(Variable.RANDOM, "3")
    assert parse_template(b"{{port}} {x}").needs == frozenset()
    assert parse_template(b"{{port}} {x}").parts == (b"{port} {x}",)


def test_connections_take_the_lines_of_a_file_in_turn() -> None:
    template = filled(b"<{line:a}>")

    assert [template.render(n) for n in range(4)] == [b"<one>", b"<>", b"<twenty-two>", b"<one>"]
    assert lines_of("x", b"a\n\n") == (b"a", b"")
    assert lines_of("x", b"a\r\nb\r\n") == (b"a", b"b")
    with pytest.raises(UsageError, match="empty"):
        lines_of("x", b"")


@given(
    st.lists(st.one_of(WORDS, PLAIN), max_size=8),
    st.lists(
        st.tuples(
            st.one_of(st.integers(0, 200), st.integers(0, 2**63 - 1)),
            st.integers(0, 2**40),
            st.sampled_from(["10.0.0.1", "127.255.255.254", "fd00::1"]),
            st.integers(0, 65535),
        ),
        max_size=6,
    ),
)
def test_many_messages_are_the_same_as_one_at_a_time(words: list[bytes], rows: list[tuple[int, int, str, int]]) -> None:
    """By column: whatever the numbers of digits, the sizes say which bytes count; the rest is zero."""
    try:
        template = filled(b"".join(words))
    except UsageError:
        return
    connections, messages, addresses, ports = zip(*rows, strict=True) if rows else ((), (), (), ())
    data, sizes = Messages(template).render(
        np.array(connections, np.int64),
        np.array(messages, np.int64),
        addresses=np.array([address.encode() for address in addresses], "S15"),
        ports=np.array(ports, np.uint16),
        now_ns=NOW_NS,
    )

    expected = [
        template.render(connection, message, source=f"[{address}]:{port}", now_ns=NOW_NS)
        for connection, message, address, port in rows
    ]
    assert [row[:size].tobytes() for row, size in zip(data, sizes, strict=True)] == expected
    assert all(not row[size:].any() for row, size in zip(data, sizes, strict=True))


def test_numbers_of_all_sizes_have_all_their_digits() -> None:
    numbers = np.array([0, 9, 10, 999, 1000, 2**53 + 1, 10**18, 2**63 - 1], np.int64)
    data, sizes = Messages(parse_template(b"{connection}")).render(numbers, numbers)

    assert [row[:size].tobytes() for row, size in zip(data, sizes, strict=True)] == [b"%d" % each for each in numbers]


def test_random_text_has_the_size_that_was_asked_for() -> None:
    for size in (1, MOST_RANDOM):
        assert len(parse_template(b"{random:%d}" % size).render(random=np.random.default_rng(1))) == size


def test_random_text_is_of_the_alphabet_and_comes_from_the_given_generator() -> None:
    template = parse_template(b"{random:9}-{random:9}")
    one = template.render(random=np.random.default_rng(7))
    data, sizes = Messages(template).render(np.arange(100), np.zeros(100, np.int64), random=np.random.default_rng(7))

    assert re.fullmatch(rb"([0-9a-z]{9})-(?!\1)[0-9a-z]{9}", one)
    assert one == template.render(random=np.random.default_rng(7))
    assert set(sizes) == {19}
    assert len({row.tobytes() for row in data}) == 100
    assert all(re.fullmatch(rb"[0-9a-z]{9}-[0-9a-z]{9}", row.tobytes()) for row in data)
