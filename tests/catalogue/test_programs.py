"""Rows of the catalogue against the real programs: each limit is reached, and the reader finds it in what they say."""

import os
import struct
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from fourtuple.core.why.catalogue.rows import catalogue, phrases
from fourtuple.core.why.reader import PHRASES, read_findings
from fourtuple.verbs.program_settings import settings_of
from tests.catalogue.servers import NOBODY, PORT, Server, as_user, clients, folder_of, logged, program, serving
from tests.conftest import Ground, need
from tests.waiting import COMMAND_S, wait_until

# A server whose connections only the kernel accepts: nothing ever answers.
SILENT = "import socket; s = socket.create_server(('127.0.0.1', 7778)); print(flush=True); input()"
# A PostgreSQL server that lets one client in, and answers no query.
LOGIN = b"R" + struct.pack("!ii", 8, 0) + b"S" + struct.pack("!i", 22) + b"server_version\x0015\0"
LOGIN += b"Z" + struct.pack("!i", 5) + b"I"  # after AuthenticationOk and a ParameterStatus: ReadyForQuery
MUTE = f"""
import socket
server = socket.create_server(("127.0.0.1", 7778))
print(flush=True)
client = server.accept()[0]
client.recv(4096)
client.sendall({LOGIN!r})
input()
"""
QUERY = b"Q" + struct.pack("!i", 13) + b"SELECT 1\0"
FASTCGI = bytes([1, 1, 0, 1, 0, 8, 0, 0])  # the head of FCGI_BEGIN_REQUEST, whose body does not come
NGINX = """
daemon off; worker_processes 1; pid {folder}/pid; error_log stderr warn;
events {{ worker_connections {most}; }}
http {{
  access_log off;
  client_body_temp_path {folder}/1; proxy_temp_path {folder}/2; fastcgi_temp_path {folder}/3;
  uwsgi_temp_path {folder}/4; scgi_temp_path {folder}/5;
  limit_conn_zone $server_port zone=all:1m;
  upstream app {{ server 127.0.0.1:9 max_fails=1; server 127.0.0.1:10 max_fails=1; }}
  server {{
    listen 127.0.0.1:7777;
    location /up {{ proxy_pass http://app; }}
    location /one {{ limit_conn all 1; proxy_pass http://127.0.0.1:7778; }}
    location /php {{ fastcgi_pass unix:{folder}/php.sock; }}
  }}
}}
"""
HAPROXY = """
global
  {limits}
  log stdout format raw local0
  stats socket {folder}/admin.sock
defaults
  mode tcp
  log global
  timeout client 1m
  timeout server 1m
  timeout connect 1s
frontend front
  maxconn {front}
  bind 127.0.0.1:7777
  default_backend back
backend back
  server one 127.0.0.1:7778 maxconn 50
"""
FPM = """
[global]
error_log = /dev/stderr
daemonize = no
[www]
user = nobody
group = nogroup
listen = {listen}
listen.backlog = 1
listen.mode = 0666
pm = dynamic
pm.max_children = 1
pm.start_servers = 1
pm.min_spare_servers = 1
pm.max_spare_servers = 1
"""
APACHE = """
ServerRoot {folder}
PidFile {folder}/pid
Listen 127.0.0.1:7777
ServerName x
LoadModule mpm_prefork_module /usr/lib/apache2/modules/mod_mpm_prefork.so
LoadModule authz_core_module /usr/lib/apache2/modules/mod_authz_core.so
User nobody
Group nogroup
ErrorLog /dev/stderr
StartServers 1
MinSpareServers 1
MaxSpareServers 1
MaxRequestWorkers 1
"""
PGBOUNCER = """
[databases]
* = host=127.0.0.1 port=7778 user=x
[pgbouncer]
listen_addr = 127.0.0.1
listen_port = 7777
unix_socket_dir =
auth_type = any
max_client_conn = 2
query_wait_timeout = 1
default_pool_size = 1
"""


def limits_in(text: str) -> set[str]:
    """The rows of the catalogue that the reader finds in a text."""
    findings = read_findings([text], (*PHRASES, *phrases()))
    return {finding.limit for finding in findings} - {""}


def startup(user: str) -> bytes:
    """How a client of PostgreSQL begins (StartupMessage)."""
    body = struct.pack("!i", 196_608) + f"user\0{user}\0database\0postgres\0\0".encode()
    return struct.pack("!i", len(body) + 4) + body


def message_in(received: str) -> str:
    """The message of an ErrorResponse, the field M, as clients show it."""
    return received.partition("FATAL")[2].partition(" M")[2]


def configured(folder: Path, name: str, text: str, **values: object) -> str:
    (folder / name).write_text(text.format(folder=folder, **values))
    return str(folder / name)


def values_of(server: Server, ask: bool = False) -> dict[str, str]:
    return {setting.key: setting.value for setting in settings_of(server.pid, ask=ask)}


@pytest.fixture
def folder() -> Iterator[Path]:
    with folder_of(NOBODY) as place:
        yield place


def test_redis(ground: Ground, folder: Path) -> None:
    """The client is told; Redis itself logs that it has lowered maxclients, and to which number."""
    redis = program("redis-server")
    command = ["bash", "-c", 'ulimit -n 100 && exec "$@"', "bash", redis]
    options = ["--port", str(PORT), "--bind", "127.0.0.1", "--maxclients", "500", "--save", ""]
    with serving(ground, folder, [*command, *options]) as server, clients(ground, 70, reading_from=68) as received:
        log = server.text()

    assert limits_in(received) == {"redis.maxclients"}
    assert "redis.open_files" in limits_in(log)
    assert "maxclients has been reduced to 68" in log


def test_memcached(ground: Ground, folder: Path) -> None:
    command = [program("memcached"), "-l", "127.0.0.1", "-p", str(PORT), "-c", "50", "-u", "nobody"]
    with serving(ground, folder, command) as server, clients(ground, 60, reading_from=59) as received:
        values = values_of(server)

    assert limits_in(received) == {"memcached.conn_limit"}
    assert values == {"memcached.conn_limit": "50"}


def test_haproxy(ground: Ground, folder: Path) -> None:
    """At maxconn it logs nothing: further clients wait in the accept queue. The settings are those of its file."""
    command = [program("haproxy"), "-f", configured(folder, "haproxy.cfg", HAPROXY, limits="maxconn 3", front=9)]
    silent = ground.lab.start(["python3", "-c", SILENT], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    try:
        assert silent.stdout is not None
        silent.stdout.readline()
        with serving(ground, folder, command) as server, clients(ground, 7, reading_from=9):
            waiting = wait_until(lambda: "4" in " ".join(ground.ss("-ltn", f"sport = :{PORT}")).split()[1:2])
            values, asked = values_of(server), values_of(server, ask=True)
    finally:
        silent.kill()
        silent.communicate()

    assert waiting
    assert values == {"haproxy.maxconn": "3", "haproxy.frontend.maxconn": "9", "haproxy.server.maxconn": "50"}
    assert asked["haproxy.maxconn"] == "3"
    assert int(asked["haproxy.maxsock"]) > 6


def test_haproxy_without_files(ground: Ground, folder: Path) -> None:
    """With fewer open files than maxconn needs, it says so at start, and when it cannot accept."""
    limits = "no strict-limits\n  maxconn 500"
    files = ["bash", "-c", 'ulimit -n 60 && exec "$@"', "bash", program("haproxy")]
    command = [*files, "-f", configured(folder, "haproxy.cfg", HAPROXY, limits=limits, front=400)]
    with serving(ground, folder, as_user(command, NOBODY)) as server, clients(ground, 70, reading_from=99):
        log = logged(server, "reached process FD limit")

    assert limits_in(log) == {"haproxy.maxsock"}
    assert "FD limit (60) too low" in log


def test_nginx_workers(ground: Ground, folder: Path) -> None:
    command = [program("nginx"), "-c", configured(folder, "nginx.conf", NGINX, most=6)]
    with serving(ground, folder, command) as server, clients(ground, 10, reading_from=10):
        log = logged(server, "worker_connections are not enough")
        values = values_of(server)

    assert "nginx.worker_connections" in limits_in(log)
    assert values["nginx.worker_connections"] == "6"
    assert values["nginx.limit_conn"] == "all 1"


def test_nginx_upstreams(ground: Ground, folder: Path) -> None:
    """No live upstreams are said after the failures that made them so."""
    command = [program("nginx"), "-c", configured(folder, "nginx.conf", NGINX, most=60)]
    request = b"GET /up HTTP/1.0\r\n\r\n"
    with serving(ground, folder, command) as server, clients(ground, 2, hello=request):
        log = logged(server, "no live upstreams")

    assert "nginx.upstream" in limits_in(log)
    assert log.index("Connection refused") < log.index("no live upstreams")


def test_nginx_limit_conn(ground: Ground, folder: Path) -> None:
    command = [program("nginx"), "-c", configured(folder, "nginx.conf", NGINX, most=60)]
    silent = ground.lab.start(["python3", "-c", SILENT], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    try:
        assert silent.stdout is not None
        silent.stdout.readline()
        request = b"GET /one HTTP/1.0\r\n\r\n"
        with serving(ground, folder, command) as server, clients(ground, 3, hello=request, reading_from=1):
            log = logged(server, "limiting connections")
    finally:
        silent.kill()
        silent.communicate()

    assert "nginx.limit_conn" in limits_in(log)


def test_mosquitto(ground: Ground, folder: Path) -> None:
    text = "listener 7777 127.0.0.1\nmax_connections 2\nallow_anonymous true\nlog_dest stderr\n"
    command = [program("mosquitto"), "-c", configured(folder, "mosquitto.conf", text)]
    with serving(ground, folder, command) as server, clients(ground, 4, reading_from=4):
        log = logged(server, "max_connections exceeded")
        values = values_of(server)

    assert limits_in(log) == {"mosquitto.max_connections"}
    assert values == {"mosquitto.max_connections": "2"}


def test_php_fpm(ground: Ground, folder: Path) -> None:
    """The pool logs that its children are busy; then connect() to its socket fails with EAGAIN, as nginx logs."""
    fpm = next((name for name in ("php-fpm8.2", "php-fpm8.4", "php-fpm") if program_exists(name)), "php-fpm8.2")
    socket = f"{folder}/php.sock"
    command = [program(fpm), "-F", "-R", "-y", configured(folder, "php-fpm.conf", FPM, listen=socket)]
    nginx = [program("nginx"), "-c", configured(folder, "nginx.conf", NGINX, most=60)]
    with (
        serving(ground, folder, command, listens=socket) as server,
        clients(ground, 3, hello=FASTCGI, reading_from=9, address=socket),
        serving(ground, folder, nginx),
        clients(ground, 3, hello=b"GET /php HTTP/1.0\r\n\r\n", patience_s=0.3),
    ):
        log = logged(server, "server reached pm.max_children")
        log = logged(server, "Resource temporarily unavailable")
        values = values_of(server)

    assert {"php-fpm.max_children", "php-fpm.backlog"} <= limits_in(log)
    assert values == {"php-fpm.max_children": "1", "php-fpm.backlog": "1"}


def test_apache(ground: Ground, folder: Path) -> None:
    command = [program("apache2"), "-f", configured(folder, "apache.conf", APACHE), "-DFOREGROUND"]
    with serving(ground, folder, command) as server, clients(ground, 4, reading_from=9):
        log = logged(server, "MaxRequestWorkers setting")
        values = values_of(server)

    assert limits_in(log) == {"apache.MaxRequestWorkers"}
    assert values == {"apache.MaxRequestWorkers": "1"}


def test_sshd(ground: Ground, folder: Path) -> None:
    """Both ends speak of it: sshd in its log, and to the client before it closes."""
    need(Path("/run/sshd").is_dir(), "the folder /run/sshd")
    sshd, keygen = program("sshd"), program("ssh-keygen")
    subprocess.run([keygen, "-q", "-t", "ed25519", "-N", "", "-f", folder / "key"], check=True, timeout=COMMAND_S)
    options = ["-o", "ListenAddress=127.0.0.1", "-o", "MaxStartups=2", "-o", "PidFile=none"]
    command = [sshd, "-D", "-e", "-f", "/dev/null", "-h", str(folder / "key"), "-p", str(PORT), *options]
    with serving(ground, folder, command) as server, clients(ground, 4, reading_from=3) as received:
        log = logged(server, "past MaxStartups")
        values = values_of(server)

    assert limits_in(log) == {"sshd.MaxStartups"}
    assert limits_in(received) == {"sshd.MaxStartups"}
    assert values["sshd.MaxStartups"] == "2-2"


def test_squid(ground: Ground, folder: Path) -> None:
    text = (
        "http_port 127.0.0.1:7777\npid_filename {folder}/pid\ncache_log {folder}/cache.log\naccess_log none\n"
        "coredump_dir {folder}\nclient_ip_max_connections 2\npinger_enable off\n"
    )
    command = as_user([program("squid"), "-N", "-d", "1", "-f", configured(folder, "squid.conf", text)], NOBODY)
    with serving(ground, folder, command) as server, clients(ground, 5, reading_from=9):
        log = logged(server, "attempting more than")
        values = values_of(server)

    assert "squid.client_ip_max_connections" in limits_in(log)
    assert values["squid.client_ip_max_connections"] == "2"


def test_uwsgi(ground: Ground, folder: Path) -> None:
    configured(folder, "app.py", "import time\ndef application(environ, start):\n    time.sleep(600)\n")
    options = ["--http-socket", f"127.0.0.1:{PORT}", "--listen", "2", "--wsgi-file", "app.py", "--master"]
    with serving(ground, folder, [program("uwsgi_python3"), *options]) as server:
        with clients(ground, 6, hello=b"GET / HTTP/1.0\r\n\r\n", reading_from=9, patience_s=0.3):
            log = logged(server, "full !!!")
        values = values_of(server)

    assert "uwsgi.listen" in limits_in(log)
    assert values == {"uwsgi.listen": "2"}


def program_exists(name: str) -> bool:
    return Path("/usr/sbin", name).exists()


def postgres_folder() -> str:
    """Where PostgreSQL's programs are; skips where it is missing."""
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"))
    need(found, "postgresql")
    return str(found[-1].parent)


def test_postgres(ground: Ground, folder: Path) -> None:
    """All are used, and those for superusers only are left: two texts of one limit; asked, it says its number."""
    programs = postgres_folder()
    data = str(folder / "data")
    made = as_user([f"{programs}/initdb", "-D", data, "-A", "trust", "-U", "root", "--no-sync"], NOBODY)
    subprocess.run(made, check=True, capture_output=True, timeout=COMMAND_S, cwd=folder)
    options = ["-D", data, "-p", str(PORT), "-k", str(folder), "-c", "listen_addresses=127.0.0.1"]
    limits = ["-c", "max_connections=4", "-c", "superuser_reserved_connections=1", "-c", "max_wal_senders=0"]
    with serving(ground, folder, as_user([f"{programs}/postgres", *options, *limits], NOBODY)) as server:
        sql = "CREATE ROLE plain LOGIN; CREATE ROLE one LOGIN CONNECTION LIMIT 0"
        psql = ground.run(program("psql"), "-h", "127.0.0.1", "-p", str(PORT), "-U", "root", "postgres", "-c", sql)
        assert psql.returncode == 0, psql.stderr
        asked = values_of(server, ask=True)
        with clients(ground, 1, hello=startup("one")) as of_role:
            pass
        with (
            clients(ground, 4, hello=startup("plain")) as reserved,
            clients(ground, 2, hello=startup("root")) as all_used,
        ):
            pass
        log = server.text()
        values = values_of(server)

    assert limits_in(message_in(of_role)) == {"postgres.connection_limit"}
    assert limits_in(message_in(reserved)) == limits_in(message_in(all_used)) == {"postgres.max_connections"}
    assert "remaining connection slots are reserved" in reserved
    assert "too many clients already" in all_used
    assert limits_in(log) == {"postgres.connection_limit", "postgres.max_connections"}
    assert values == asked == {"postgres.max_connections": "4"}


def test_pgbouncer(ground: Ground, folder: Path) -> None:
    """Too many clients are refused; those that wait for a server too long are closed."""
    command = as_user([program("pgbouncer"), configured(folder, "pgbouncer.ini", PGBOUNCER)], NOBODY)
    behind = ground.lab.start(["python3", "-c", MUTE], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    try:
        assert behind.stdout is not None
        behind.stdout.readline()
        with serving(ground, folder, command) as server:
            with clients(ground, 3, hello=startup("x") + QUERY, reading_from=2) as refused:
                log = logged(server, "query_wait_timeout")
            values = values_of(server)
    finally:
        behind.kill()
        behind.communicate()

    assert limits_in(message_in(refused)) == {"pgbouncer.max_client_conn"}
    assert limits_in(log) == {"pgbouncer.max_client_conn", "pgbouncer.default_pool_size"}
    assert values == {"pgbouncer.max_client_conn": "2", "pgbouncer.default_pool_size": "1"}


def test_mariadb(ground: Ground, folder: Path) -> None:
    """At start it says that 1,024 open files are fewer than it wants; full, it answers error 1040."""
    data = str(folder / "data")
    (folder / "data").mkdir()
    if os.geteuid() == 0:
        os.chown(data, NOBODY, NOBODY)
    limited = ["bash", "-c", 'ulimit -n 1024 && exec "$@"', "bash", program("mariadbd"), "--no-defaults"]
    options = [
        f"--datadir={data}",
        f"--port={PORT}",
        "--bind-address=127.0.0.1",
        f"--socket={folder}/sock",
        "--skip-grant-tables",
    ]
    command = as_user([*limited, *options, "--max-connections=10"], NOBODY)
    with serving(ground, folder, command) as server, clients(ground, 14, reading_from=13) as received:
        log = server.text()
        values = values_of(server)

    assert "Too many connections" in received
    assert limits_in("ERROR 1040 (HY000): " + received[received.index("Too many") :]) == {"mysql.max_connections"}
    assert "mysql.open_files_limit" in limits_in(log)
    assert values == {"mysql.max_connections": "10"}


def test_urllib3(ground: Ground, caplog: pytest.LogCaptureFixture) -> None:
    """A pool of one connection, which two requests use at once: one connection is discarded, with a warning."""
    urllib3 = pytest.importorskip("urllib3")
    pool = urllib3.HTTPConnectionPool("127.0.0.1", 9, maxsize=1)
    with caplog.at_level("WARNING", "urllib3.connectionpool"):
        for connection in [pool._get_conn(), pool._get_conn()]:
            pool._put_conn(connection)

    assert limits_in(caplog.text) == {"python.urllib3"}


TRIED = {
    "redis.maxclients", "redis.open_files", "memcached.conn_limit", "haproxy.maxconn", "haproxy.maxsock",
    "nginx.worker_connections",
    "nginx.upstream", "nginx.limit_conn", "mosquitto.max_connections", "php-fpm.max_children", "php-fpm.backlog",
    "apache.MaxRequestWorkers", "sshd.MaxStartups", "squid.client_ip_max_connections", "uwsgi.listen",
    "postgres.max_connections", "postgres.connection_limit", "pgbouncer.max_client_conn",
    "pgbouncer.default_pool_size", "mysql.max_connections", "mysql.open_files_limit", "python.urllib3",
}  # fmt: skip


def test_the_rows_that_claim_to_be_tried_are_those() -> None:
    assert {key for key, row in catalogue().items() if row.tried} == TRIED
