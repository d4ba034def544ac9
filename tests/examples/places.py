"""What is there before the commands of an example: for each a script, typed into the same shell; it prints nothing."""

from collections.abc import Mapping
from dataclasses import dataclass

ACTOR = "python -m tests.examples.actors"
SET = "echo '{}' > /proc/sys/net/ipv4/{}"
QUIET = "> /dev/null 2>&1 &"


def listens(*ports: int) -> str:
    """Wait until all of these have a listener."""
    return "\n".join(f"until ss -Hltn 'sport = :{port}' | grep -q .; do sleep 0.02; done" for port in ports)


def source(address: str, *destinations: str) -> str:
    """These addresses are here, and what connects to `destinations` comes from `address`."""
    lines = [f"ip address add {each}/32 dev lo" for each in (address, *destinations)]
    return "\n".join(
        [*lines, *(f"ip route replace local {to} dev lo src {address} table local" for to in destinations)]
    )


@dataclass(frozen=True, slots=True)
class Place:
    """A script for sh(1), and the programs that it and the example need."""

    script: str = ""
    needs: tuple[str, ...] = ("ip", "ss")


RANGE_1000 = SET.format("32768 33767", "ip_local_port_range")
NO_REUSE = SET.format("0", "tcp_tw_reuse")
SERVED = f"fourtuple serve 127.0.0.1:8000-8003 --no-store {QUIET}\n{listens(8000, 8001, 8002, 8003)}"
ECHO = f"fourtuple serve 127.0.0.1:8000-8003 --echo --no-store {QUIET}\n{listens(8000, 8001, 8002, 8003)}"
REDIS = f"redis-server --port 6379 --save '' --maxclients 300 --daemonize yes > /dev/null\n{listens(6379)}"
HAPROXY = """\
global
  maxconn 3000
defaults
  mode tcp
  timeout client 1m
  timeout server 1m
  timeout connect 1s
listen front
  bind 127.0.0.1:8443
  server one 127.0.0.1:8444
"""
# The program of docs/tutorials/client.md and docs/connect.md, which takes all ports.
EXHAUSTED = """\
import socket

from fourtuple import PortsExhausted, Sources, connect

server = socket.create_server(("127.0.0.1", 8080), backlog=1000)
sources = Sources("127.0.0.2", "127.0.0.3")
kept = []
try:
    while True:
        kept.append(connect(("127.0.0.1", 8080), sources=sources))
except PortsExhausted as error:
    print(error.errno, error.in_use, "of", error.usable)
    print(error.why)
"""
# The client of docs/tutorials/client.md, which calls bind() first, and the same with fourtuple.connect.
CLIENT = """\
import socket
import sys
import time

held = []
for dest in sys.argv[1:]:
    host, _, port = dest.partition(":")
    try:
        while True:
            held.append(socket.create_connection((host, int(port)), source_address=("10.77.0.1", 0)))
    except OSError as error:
        print(dest, error)
time.sleep(5)
"""
MENDED = """\
import sys
import time

from fourtuple import PortsExhausted, connect

held = []
for dest in sys.argv[1:]:
    host, _, port = dest.partition(":")
    try:
        while True:
            held.append(connect((host, int(port))))
    except PortsExhausted as error:
        print(dest, error.in_use, "ports in use")
time.sleep(5)
"""
LOG = """\
2026-11-29T10:32:01Z app[812]: http: Accept error: accept tcp [::]:80: accept4: too many open files; retrying in 1s
2026-11-29T10:32:02Z app[812]: http: Accept error: accept tcp [::]:80: accept4: too many open files; retrying in 1s
2026-11-29T10:32:05Z app[812]: dial tcp 10.0.0.9:443: connect: connection refused
2026-11-29T10:32:09Z proxy[97]: read tcp 10.0.0.7:50112->10.0.0.4:80: read: connection reset by peer
"""
# Two services that are down, whatever else this host has installed.
CONFIGURED = """\
for folder in /etc /usr/lib/systemd /usr/local/lib/systemd /var/lib; do
  if [ -d $folder ]; then mount -t tmpfs none $folder; fi
done
mkdir /etc/mysql /etc/redis
echo 'port = 3306' > /etc/mysql/my.cnf
echo 'port 6379' > /etc/redis/redis.conf
"""
# Three runs, two of which have names, and one whose process was killed, the newest.
STORED = """
fourtuple hold 5000 127.0.0.1:8000-8001 --for 0s --name at-once > /dev/null 2>&1
fourtuple hold 5000 127.0.0.1:8000-8001 --for 0s --rate 3k/s --name paced > /dev/null 2>&1
fourtuple prove theory one-wall > /dev/null 2>&1
fourtuple hold 500 127.0.0.1:8000 --for 60s > said 2>&1 &
until grep -qs holding said; do sleep 0.02; done
sleep 0.5
kill -9 $!
wait $! 2> /dev/null
"""
NGINX = """\
daemon off; master_process off; error_log stderr error; pid /tmp/pid;
load_module /usr/lib/nginx/modules/ngx_stream_module.so;
events { worker_connections 2000; }
stream {
  upstream far { server 10.77.1.1:8001; server 10.77.1.1:8002; server 10.77.1.1:8003; }
  server { listen 127.0.0.1:9000; proxy_pass far; proxy_bind 10.77.0.1; }
}
"""


def file(name: str, text: str) -> str:
    return f"cat > {name} <<'END'\n{text}END"


PLACES: Mapping[str, Place] = {
    "plain": Place(needs=()),
    "configured": Place(CONFIGURED, needs=()),
    "served": Place(SERVED),
    "echo": Place(ECHO),
    "redis": Place(
        f"{REDIS}\nfourtuple serve 127.0.0.1:8444 --no-store {QUIET}\n"
        f"{file('haproxy.cfg', HAPROXY)}\nhaproxy -f haproxy.cfg {QUIET}\n{listens(8443, 8444)}",
        ("redis-server", "haproxy", "ss"),
    ),
    # A Redis server, and a program that accepts nothing.
    "unix": Place(
        f"redis-server --port 0 --unixsocket redis.sock --save '' --daemonize yes > /dev/null\n"
        f"{ACTOR} app full full.sock\nuntil [ -S redis.sock ]; do sleep 0.02; done",
        ("redis-server",),
    ),
    "tls": Place(f"fourtuple serve --http --tls 127.0.0.1:8443 --no-store {QUIET}\n{listens(8443)}"),
    "stored": Place(f"{SERVED}\n{STORED}"),
    # A proxy with plain connections to one destination, a script that has closed its own to another, bound ports.
    "busy": Place(
        "\n".join(
            (
                source("10.0.0.4", "10.0.0.7", "10.0.0.9"),
                NO_REUSE,
                f"{ACTOR} redis server 10.0.0.7:6379",
                f"{ACTOR} backend server 10.0.0.9:8080",
                f"{ACTOR} php-fpm bound 4",
                f"{ACTOR} proxy client 11902 10.0.0.9:8080",
                f"{ACTOR} script short 15900 10.0.0.7:6379",
            )
        )
    ),
    # A worker has closed every connection to its Redis server, until no port was left.
    "incident": Place(
        "\n".join(
            (
                source("10.0.0.4", "10.0.0.7"),
                NO_REUSE,
                f"{ACTOR} redis-server server 10.0.0.7:6379",
                f"{ACTOR} worker short 28232 10.0.0.7:6379",
            )
        )
    ),
    "shortage": Place(
        "\n".join(
            (
                SET.format("40000 40199", "ip_local_port_range"),
                NO_REUSE,
                f"{ACTOR} server server 127.0.0.1:8000",
                f"{ACTOR} app client 10 127.0.0.1:8000",
                f"{ACTOR} app short 200 127.0.0.1:8000",
            )
        )
    ),
    "short": Place(
        "\n".join(
            (
                RANGE_1000,
                NO_REUSE,
                f"{ACTOR} redis-server server 127.0.0.1:6379",
                f"{ACTOR} app short 1000 127.0.0.1:6379",
            )
        )
    ),
    # Connections that close at this end, in TIME_WAIT for 60 s, and a server for more.
    "once": Place("\n".join((NO_REUSE, SERVED, f"{ACTOR} app short 100 127.0.0.1:8000"))),
    "mixed": Place(
        "\n".join(
            (
                SET.format("32768 60998", "ip_local_port_range"),
                f"{ACTOR} server server 127.0.0.1:8000",
                f"{ACTOR} server server 127.0.0.1:8001",
                f"{ACTOR} app client 9000 127.0.0.1:8000",
                f"{ACTOR} app shares 1204 127.0.0.1:8001 127.0.0.1",
            )
        )
    ),
    "exhausted": Place(file("exhausted.py", EXHAUSTED), ()),
    "client": Place(f"{file('client.py', CLIENT)}\n{file('mended.py', MENDED)}", ()),
    "log": Place(file("app.log", LOG), ()),
    "metrics": Place(
        f"{ECHO}\nfourtuple hold 1000 127.0.0.1:8000 --for 1h --send ping --expect ping --every 2s --no-store"
        f" --metrics 127.0.0.1:9436 {QUIET}\n{listens(9436)}\n"
        "until curl -s 127.0.0.1:9436/metrics | grep -q 'run_answers_total [1-9]'; do sleep 0.05; done",
        ("curl", "ss"),
    ),
    "proxied": Place(file("nginx.conf", NGINX), ("nginx",)),
}
