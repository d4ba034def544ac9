"""The catalogue of limits that are not the kernel's: every row is complete, and every text can be found."""

import errno
import re
from collections import Counter

import pytest

from fourtuple.core.why.catalogue.rows import catalogue, files, phrases, program_of, stops_at
from fourtuple.core.why.findings import Phrase
from fourtuple.core.why.reader import PHRASES, read_findings
from tests.programs import OUTPUT, parse_file, written

LETTERS = 6  # of the longest part of a phrase without `*` and `#`, by which the reader looks for it
ROW = """
program = "p"
[[limit]]
key = "p.most"
title = "clients of p"
default = "10"
configured = "p.conf: most"
seen = "nothing"
do = "Raise it."
costs = "Memory."
source = "the manual of p"
version = "1"
"""


def test_the_file_that_is_read_holds_what_the_files_that_are_edited_say() -> None:
    """After an edit in programs/, `make docs` writes it."""
    assert OUTPUT.read_bytes() == written()


def test_no_two_rows_share_a_key() -> None:
    keys = Counter(row.key for file in files() for row in file.limit)

    assert [key for key, count in keys.items() if count > 1] == []


def test_each_process_name_belongs_to_one_program() -> None:
    names = Counter(name for file in files() for name in {file.program, *file.names})

    assert [name for name, count in names.items() if count > 1] == []
    assert program_of("redis-server") == "redis"
    assert program_of("haproxy") == "haproxy"
    assert program_of("something-else") == ""


@pytest.mark.parametrize("key", sorted(catalogue()))
def test_a_row_says_everything(key: str) -> None:
    """No text of a row is empty, and an address is a web address; what is logged, and its errno, may be unknown."""
    row = catalogue()[key]
    required = ("title", "default", "configured", "seen", "do", "costs", "source", "version")

    assert [name for name in required if not getattr(row, name).strip()] == []
    assert re.fullmatch(r"(https?://\S+)?", row.address)
    assert not row.error or row.error in errno.errorcode.values()
    assert all(stop.number > 0 for stop in row.stops_at)


@pytest.mark.parametrize("phrase", phrases(), ids=lambda phrase: phrase.text)
def test_a_phrase_is_in_the_form_that_the_reader_gives_to_lines(phrase: Phrase) -> None:
    """Lower case, single spaces, straight quotes, and a part of at least six letters to look for."""
    text = phrase.text

    assert text == " ".join(text.lower().split())
    assert not set(text) & set("“”‘’`\t\x1b")
    assert max(len(re.sub(r"[^a-z]", "", part)) for part in re.split(r"[*#]", text)) >= LETTERS


def test_no_two_limits_share_a_text() -> None:
    """A line is a report of one limit."""
    keys: dict[str, set[str]] = {}
    for phrase in phrases():
        keys.setdefault(phrase.text.rstrip("*"), set()).add(phrase.limit)

    assert {text: found for text, found in keys.items() if len(found) > 1} == {}


@pytest.mark.parametrize(
    ("number", "key"),
    [
        (214, "mysql.max_connections"),
        (819, "mongodb.maxIncomingConnections"),
        (1000, "gunicorn.worker_connections"),
        (128, "azure.app-service-snat"),
        (50, "java.backlog"),
        (100, "python.backlog"),
        (60, "zookeeper.maxClientCnxns"),
        (1024, "envoy.circuit-breaker"),
        (64, "systemd.MaxConnections"),
        (97, "postgres.max_connections"),
        (992, "redis.maxclients"),
    ],
)
def test_numbers_at_which_clients_stop_lead_to_the_limit(number: int, key: str) -> None:
    assert key in {row.key for row in stops_at()[number]}


def test_a_file_is_read_strictly() -> None:
    """A field that is missing, misspelt or of another type is an error, and so is a key of another program."""
    assert parse_file(ROW).limit[0].program == "p"
    for damaged in (
        ROW.replace('version = "1"\n', ""),
        ROW + 'logz = ["x"]\n',
        ROW.replace('version = "1"', "version = 1"),
        ROW.replace("p.most", "q.most"),
    ):
        with pytest.raises(ValueError, match=r"version|logz|begin with p"):
            parse_file(damaged)


@pytest.mark.parametrize(
    ("text", "limit"),
    [
        ("     conntrack_allowance_exceeded: 0", ""),
        ("     conntrack_allowance_exceeded: 812", "aws.conntrack-allowance"),
        ("cluster.app.upstream_cx_overflow: 0", ""),
        ("cluster.app.upstream_cx_overflow: 31", "envoy.circuit-breaker"),
        ('envoy_cluster_upstream_cx_overflow{cluster="app"} 31', "envoy.circuit-breaker"),
        ("query_wait_timeout = 120", ""),
        ("closing because: query_wait_timeout (age=121s)", "pgbouncer.default_pool_size"),
        ("worker_connections 1024;", ""),
        ("SQLSTATE[HY000] [1040] Too many connections", "mysql.max_connections"),
        ("foo.socket: Too many incoming connections (64), dropping connection.", "systemd.MaxConnections"),
        ("Too many connections from /10.0.0.4 - max is 60", "zookeeper.maxClientCnxns"),
        ('"msg":"Connection refused because there are too many open connections"', "mongodb.maxIncomingConnections"),
    ],
)
def test_a_setting_or_a_counter_at_zero_is_no_report(text: str, limit: str) -> None:
    """What names a limit without having reached it claims nothing."""
    found = {finding.limit for finding in read_findings([text], (*PHRASES, *phrases()))}

    assert found - {""} == {limit} - {""}


def test_a_duration_is_no_number_of_connections() -> None:
    text = "HikariPool-1 - Connection is not available, request timed out after 30000ms."

    assert [finding.number for finding in read_findings([text], phrases())] == [None]
