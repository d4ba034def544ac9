"""Ports that configurations of programs name, in the forms that these programs take."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fourtuple.core.plan.programs import NODE_PORTS, PROGRAM_FILES, ProgramFiles, named_ports, node_ports


@pytest.mark.parametrize(
    ("program", "text", "ports"),
    [
        ("sshd", "#Port 22\nPort 2222\nListenAddress 0.0.0.0:2223\n", [2222, 2223]),
        (
            "nginx",
            "server { listen 8080; listen [::]:8081 ssl default_server; }\n# listen 1;\nlisten unix:/x;",
            [8080, 8081],
        ),
        ("Apache", "<IfModule x>\n  Listen 127.0.0.1:8443 https\n</IfModule>\nListen 8081\n", [8443, 8081]),
        ("HAProxy", "frontend x\n  bind *:8080-8082,:9000 ssl\n  # bind :1\n  server a 10.0.0.1:7777\n", [8080, 9000]),
        ("PostgreSQL", "#port = 1\nport = 5433\t\t# (change requires restart)\n", [5433]),
        ("PgBouncer", ";listen_port = 1\nlisten_port = 6543\n", [6543]),
        ("MySQL, MariaDB", "[mysqld]\nport = 3307\nmysqlx-port=33070\nbind-address = 127.0.0.1\n", [3307, 33070]),
        ("Redis, Valkey", "# port 1\nport 6380\ntls-port 6390\nreplicaof 10.0.0.1 7777\n", [6380, 6390]),
        ("memcached", "-m 2048\n-p 11212\n-c 4096\n", [11212]),
        ("MongoDB", "net:\n  port: 27018\n  bindIp: 127.0.0.1\n", [27018]),
        ("RabbitMQ", "listeners.tcp.default = 5673\nmanagement.tcp.port = 15673\n", [5673, 15673]),
        ("Kafka, ZooKeeper", "listeners=PLAINTEXT://:9092,SSL://0.0.0.0:9093\nclientPort=2181\n", [9092, 9093, 2181]),
        ("Mosquitto", "listener 1884 127.0.0.1\n", [1884]),
        ("Tomcat", '<Server port="8005">\n<Connector port="8090" protocol="HTTP/1.1"', [8005, 8090]),
        ("php-fpm", "listen = 127.0.0.1:9001\nlisten = /run/php.sock\n", [9001]),
        ("Squid", "http_port 3129 intercept\n", [3129]),
        ("WireGuard", "[Interface]\nListenPort = 51820\nEndpoint = 192.0.2.1:7777\n", [51820]),
        ("Grafana", ";http_port = 1\nhttp_port = 3001\n", [3001]),
        ("Docker", '{"hosts": ["unix:///x", "tcp://0.0.0.0:2375"]}', [2375]),
        ("Podman", "[Container]\nPublishPort=8088:80\n", [8088, 80]),
        (
            "supervisord",
            "[inet_http_server]\nport=127.0.0.1:9001\n[program:x]\ncommand=/bin/x --port 7007\n",
            [9001, 7007],
        ),
        ("arguments", 'ARGS="--web.listen-address=:9115"\n', [9115]),
        ("Elasticsearch, OpenSearch", "http.port: 9201\ntransport.port: 9301-9310\n", [9201, 9301]),
        ("Caddy", "example.org:8444 {\n reverse_proxy 127.0.0.1:9\n}\n:8445 {\n", [8444, 8445]),
    ],
)
def test_the_ports_in_a_configuration(program: str, text: str, ports: list[int]) -> None:
    """Comments name none, and neither do the destinations of a proxy."""
    row = next(row for row in PROGRAM_FILES if row.program == program)

    assert [each.start for each in named_ports(row, text)] == ports


def test_every_row_is_a_pattern_of_files_below_the_root_and_an_expression() -> None:
    for row in PROGRAM_FILES:
        assert row.files
        assert not any(file.startswith("/") for file in row.files)
        assert not row.says or re.compile(row.says).groups >= 1


@pytest.mark.parametrize(
    ("text", "ports"),
    [
        ("", NODE_PORTS),
        ("    - --service-node-port-range=20000-22767\n", range(20000, 22768)),
        ('service-node-port-range: "20000-20100"\n', range(20000, 20101)),
        ("kube-apiserver\0--service-node-port-range\x0020000+100\0", range(20000, 20101)),
        ("--service-node-port-range=99999-1", NODE_PORTS),
    ],
)
def test_the_range_of_node_ports(text: str, ports: range) -> None:
    assert node_ports([text]) == ports


@given(st.sampled_from(PROGRAM_FILES), st.text(alphabet="listen port:=-\"'[]<>#.,\n0123456789", max_size=300))
def test_whatever_a_configuration_says_its_ports_are_ports(row: ProgramFiles, text: str) -> None:
    assert all(1 <= each.start < each.stop <= 65_536 for each in named_ports(row, text))
