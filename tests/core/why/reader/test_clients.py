"""What clients of many languages print of a wait that ended, a peer that closed, and a connect() without an errno."""

import pytest

from fourtuple.core.why.catalogue.rows import phrases
from fourtuple.core.why.findings import Finding
from fourtuple.core.why.reader import PHRASES, read_findings, read_text
from fourtuple.core.why.reader.errnos import no_errno
from fourtuple.core.why.reader.states import causes_of


def the_only(text: str) -> Finding:
    (found,) = read_findings([text], (*PHRASES, *phrases()))
    return found


CONNECTING = (
    "connect to 10.0.0.9:8000 timed out",
    "connection to 10.0.0.9:8000 timed out",
    'connection to server at "10.0.0.9", port 5432 failed: timeout expired',
    "java.net.SocketTimeoutException: failed to connect to /10.0.0.9 (port 80) from /10.0.0.4 (port 4) after 10000ms",
    "redis.exceptions.TimeoutError: Timeout connecting to server",
    "Max retries exceeded with url: / (Caused by ConnectTimeoutError(<urllib3.HTTPConnection object at 0x7f>,"
    " 'Connection to 10.0.0.9 timed out. (connect timeout=5)'))",
    "aiohttp.client_exceptions.ServerTimeoutError: Connection timeout to host http://10.0.0.9:80/",
    "httpx.ConnectTimeout: timed out",
    "cURL error 28: Connection timed out after 5001 milliseconds",
    "Server backend/web1 is DOWN, reason: Layer4 timeout, check duration: 2001ms",
    "upstream connect error or disconnect/reset before headers. reset reason: connection timeout",
    "pymongo.errors.ServerSelectionTimeoutError: 10.0.0.9:27017: timed out, Timeout: 30s",
    "nc: connect to 10.0.0.9 port 80 (tcp) timed out: Operation now in progress",
    "ERROR 2003 (HY000): Can't connect to MySQL server on '10.0.0.9:3306' (115)",
    "stream_socket_client(): Unable to connect to tcp://10.0.0.9:80 (Operation now in progress)",
    "ERROR 2013 (HY000): Lost connection to MySQL server at 'reading initial communication packet', system error: 110",
)
READING = (
    'Get "http://10.0.0.9:80/": context deadline exceeded (Client.Timeout exceeded while awaiting headers)',
    "java.net.SocketTimeoutException: Read timed out",
    "requests.exceptions.ReadTimeout: HTTPConnectionPool(host='10.0.0.9', port=80): Read timed out. (read timeout=5)",
    "AxiosError: timeout of 5000ms exceeded { code: 'ECONNABORTED' }",
    "rpc error: code = DeadlineExceeded desc = context deadline exceeded",
    "TaskCanceledException: The request was canceled due to the configured HttpClient.Timeout of 100 seconds elapsing.",
    "cURL error 28: Operation timed out after 5000 milliseconds with 0 bytes received",
    "Net::ReadTimeout with #<TCPSocket:(closed)>",
    "[error] 7#7: *3 upstream timed out (110: Connection timed out) while reading response header from upstream",
    "read tcp 10.0.0.4:51234->10.0.0.9:6379: i/o timeout",
)
CLOSED = (
    "Error: socket hang up",
    "upstream prematurely closed connection while reading response header from upstream",
    "com.mysql.cj.jdbc.exceptions.CommunicationsException: Communications link failure",
    "('Connection aborted.', RemoteDisconnected('Remote end closed connection without response'))",
    "curl: (52) Empty reply from server",
    "psycopg2.OperationalError: server closed the connection unexpectedly",
    "pymysql.err.OperationalError: (2006, 'MySQL server has gone away')",
    "org.apache.http.NoHttpResponseException: 10.0.0.9:80 failed to respond",
    "java.io.IOException: unexpected end of stream on http://10.0.0.9/...",
    'Get "http://10.0.0.9/": EOF',
    "hyper::Error(IncompleteMessage)",
    "Uncaught RedisException: read error on connection to 10.0.0.9:6379",
    "EOF",
)
NOT_CONNECTED = (
    "httpx.ConnectError: All connection attempts failed",
    "StatusCode.UNAVAILABLE failed to connect to all addresses",
    "Connection to node -1 (/10.0.0.9:9092) could not be established. Broker may not be available.",
)


@pytest.mark.parametrize("text", CONNECTING)
def test_a_connect_that_had_no_answer_is_a_timeout_of_connect(text: str) -> None:
    """Also where a program prints the errno of a connect() in progress."""
    found = the_only(text)

    assert (found.error, found.call, found.number) == ("ETIMEDOUT", "connect", None)


@pytest.mark.parametrize("text", READING)
def test_an_answer_that_did_not_come_is_a_timeout_of_read(text: str) -> None:
    found = the_only(text)

    assert (found.error, found.call, found.number) == ("ETIMEDOUT", "read", None)


@pytest.mark.parametrize("text", ["TimeoutError: timed out", "socket.timeout: timed out", "context deadline exceeded"])
def test_a_wait_that_does_not_say_for_what_is_a_timeout(text: str) -> None:
    found = the_only(text)

    assert (found.error, found.call) == ("ETIMEDOUT", "")


@pytest.mark.parametrize("text", CLOSED)
def test_a_peer_that_closed_without_an_answer_is_no_errno(text: str) -> None:
    found = the_only(text)

    assert (found.error, found.causes) == ("", ("closed-early",))


@pytest.mark.parametrize("text", NOT_CONNECTED)
def test_a_connect_that_failed_without_an_errno_is_left_open(text: str) -> None:
    found = the_only(text)

    assert (found.error, found.call, found.causes) == ("", "connect", ())


@pytest.mark.parametrize("text", ["write: broken pipe", "BrokenPipeError: [Errno 32] Broken pipe", "Broken pipe"])
def test_a_broken_pipe_is_one_if_it_is_the_whole_text(text: str) -> None:

    assert the_only(text).error == "EPIPE"
    assert read_findings(["grep: write error: Broken pipe\nwrite: broken pipe\n"]) == ()


@pytest.mark.parametrize(
    "text",
    [
        "dial tcp: lookup api.example.com on 10.96.0.10:53: read udp 10.1.2.3:41234->10.96.0.10:53: i/o timeout",
        ";; connection timed out; no servers could be reached",
        "*7 api.example.com could not be resolved (110: Operation timed out), client: 10.0.0.1",
        "Error: queryA ETIMEOUT api.example.com",
        "dns.resolver.LifetimeTimeout: The resolution lifetime expired after 5.4 seconds",
        "curl: (28) Resolving timed out after 5000 milliseconds",
    ],
)
def test_a_name_server_without_an_answer_is_dns(text: str) -> None:
    found = the_only(text)

    assert (found.error, found.call, found.causes) == ("ETIMEDOUT", "getaddrinfo", ("dns-server",))


def test_the_errno_says_more_than_the_words_around_it() -> None:
    text = "X: Communications link failure\nCaused by: java.net.ConnectException: Connection refused\n"

    assert [finding.error for finding in read_findings([text])] == ["ECONNREFUSED"]
    assert the_only("MongoServerSelectionError: connect ECONNREFUSED 10.0.0.9:27017").error == "ECONNREFUSED"
    assert the_only("ServerSelectionTimeoutError: db:27017: [Errno 111] Connection refused").error == "ECONNREFUSED"


@pytest.mark.parametrize(
    ("text", "cause"),
    [
        ("CLOSE_WAIT", "close-wait"),
        ("close-wait", "close-wait"),
        ("12,000 sockets in TIME_WAIT", "time-wait"),
        ("too many time wait", "time-wait"),
        ("FIN_WAIT2", "fin-wait-2"),
        ("fin-wait-2", "fin-wait-2"),
        ("stuck in SYN_SENT", "accept-queue"),
        ("LAST_ACK", "path-lost"),
    ],
)
def test_a_state_is_explained(text: str, cause: str) -> None:

    assert the_only(text).causes[0] == cause
    assert causes_of("set state close_wait handler") == causes_of("sockets") == ()


def test_a_name_like_an_errno_that_is_none_is_told() -> None:
    assert no_errno("EFOO").startswith("EFOO is no errno of Linux")
    assert "ECONNREFUSED" in no_errno("ECONREFUSED")
    assert [no_errno(text) for text in ("ENOENT", "efoo", "E", "EFOO x", "Error")] == [""] * 5


def test_a_line_that_is_too_long_is_cut_and_counted() -> None:
    long = "x" * 300_000

    assert read_text([f"{long} connect: cannot assign requested address\n"]).cut == 1
    assert read_text([f"{long}\n{long}\nconnect: cannot assign requested address\n"]).cut == 2
    assert read_text(["connect: cannot assign requested address\n"]).cut == 0


@pytest.mark.parametrize(
    "text",
    [
        "redis: connection pool timeout",
        '{"level":"error","ts":"2026-03-01T12:00:00Z","msg":"get user","err":"redis: connection pool timeout"}',
        "redis: connection pool exhausted",
        "redigo: connection pool exhausted",
        "HikariPool-1 - Connection is not available, request timed out after 30000ms.",
        "sqlalchemy.exc.TimeoutError: QueuePool limit of size 5 overflow 10 reached, connection timed out, timeout 30",
        "psycopg_pool.PoolTimeout: couldn't get a connection after 30.00 sec",
        "Error: timeout exceeded when trying to connect",
        "Error: No connections available.",
        "Error: Queue limit reached.",
        "TimeoutError: ResourceRequest timed out",
        "redis.clients.jedis.exceptions.JedisException: Could not get a resource from the pool",
        "java.util.NoSuchElementException: Timeout waiting for idle object",
        "io.lettuce.core.RedisException: Cannot acquire connection: pool exhausted",
        "WARNING:urllib3.connectionpool:Connection pool is full, discarding connection: x. Connection pool size: 10",
        "mysql.connector.errors.PoolError: Failed getting connection; pool exhausted",
        "PoolAcquireTimeoutException: Pool#acquire(Duration) has been pending for more than the configured timeout of"
        " 45000ms",
        "Timed out fetching a new connection from the connection pool. (Current connection pool timeout: 10)",
        "pool timed out while waiting for an open connection",
        "Timeout occurred while waiting for a slot to become available",
    ],
)
def test_a_pool_without_a_free_connection_is_a_limit_of_the_program(text: str) -> None:
    """No connect() failed, so no errno and no state of this host explains it."""
    (found,) = read_findings([text], (*PHRASES, *phrases()))

    assert found.error == ""
    assert found.limit or found.causes[0] == "own-limit"
