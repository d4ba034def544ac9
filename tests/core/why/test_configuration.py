"""A program's own configuration: which statements and options set a limit, and what odd text does."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fourtuple.core.why.catalogue.configuration import (
    ProgramConfiguration,
    files_named,
    included,
    setting_of,
    settings_of_arguments,
    statements,
)
from fourtuple.core.why.catalogue.rows import configurations

HAPROXY = """
global
  maxconn 50   # of the process
defaults
  maxconn 40
frontend web
  bind :80
  maxconn 20
backend app
  server one 10.0.0.1:80 check maxconn 5
  # server two 10.0.0.2:80 maxconn 6
"""
NGINX = """
worker_rlimit_nofile 2048; # not 4096;
events { worker_connections 60; }
http {
  include conf.d/*.conf;
  log_format main '$remote_addr "{ not a block; }"';
  upstream app { server 10.0.0.1:80 max_conns=7; keepalive 8; }
  server { listen 80 backlog=9; limit_conn
      addr 10; }
}
"""
MYSQL = "[client]\nmax_connections = 1\n[mysqld]\nmax-connections=30 # the server's\n!includedir /etc/mysql/conf.d/\n"
FPM = "include=/etc/php/8.2/fpm/pool.d/*.conf\n[www]\n;pm.max_children = 1\npm.max_children = 5\n"


def found(program: str, text: str) -> list[tuple[str, str, str]]:
    """(key, value, section) of all settings in a text."""
    configuration = configurations()[program]
    settings = ((setting_of(each, configuration), each.section) for each in statements(text, configuration))
    return [(*setting, section) for setting, section in settings if setting]


@pytest.mark.parametrize(
    ("program", "text", "settings"),
    [
        (
            "haproxy",
            HAPROXY,
            [
                ("haproxy.maxconn", "50", "global"),
                ("haproxy.frontend.maxconn", "40", "defaults"),
                ("haproxy.frontend.maxconn", "20", "frontend web"),
                ("haproxy.server.maxconn", "5", "backend app"),
            ],
        ),
        (
            "nginx",
            NGINX,
            [
                ("nginx.worker_rlimit_nofile", "2048", ""),
                ("nginx.worker_connections", "60", "events"),
                ("nginx.upstream", "7", "upstream app"),
                ("nginx.keepalive", "8", "upstream app"),
                ("nginx.backlog", "9", "server"),
                ("nginx.limit_conn", "addr 10", "server"),
            ],
        ),
        ("mysql", MYSQL, [("mysql.max_connections", "30", "mysqld")]),
        ("php-fpm", FPM, [("php-fpm.max_children", "5", "www")]),
        ("postgres", "#max_connections = 1\nmax_connections = 4\t# (change)", [("postgres.max_connections", "4", "")]),
        ("pgbouncer", "[pgbouncer]\n;x\nmax_client_conn=3", [("pgbouncer.max_client_conn", "3", "pgbouncer")]),
        ("apache", "<IfModule x>\n  maxrequestworkers 7\n</IfModule>", [("apache.MaxRequestWorkers", "7", "")]),
        ("mosquitto", "listener 1883\nmax_connections 2", [("mosquitto.max_connections", "2", "listener 1883")]),
    ],
)
def test_statements_that_set_a_limit_are_found(program: str, text: str, settings: list[tuple[str, str, str]]) -> None:
    assert found(program, text) == settings


@pytest.mark.parametrize(
    ("program", "arguments", "files", "settings"),
    [
        ("haproxy", "haproxy -W -f /x.cfg -n 5", ("/x.cfg",), [("haproxy.maxconn", "5")]),
        ("haproxy", "haproxy -f/x.cfg", ("/x.cfg",), []),
        ("nginx", "nginx: master process nginx -c /x.conf -g x", ("/x.conf",), []),
        ("memcached", "memcached -c 5", (), [("memcached.conn_limit", "5")]),
        ("memcached", "memcached --conn-limit=6", (), [("memcached.conn_limit", "6")]),
        ("pgbouncer", "pgbouncer -d -q /x.ini", ("/x.ini",), []),
        ("php-fpm", "php-fpm: master process (/x.conf)", ("/x.conf",), []),
        (
            "sshd",
            "sshd: sshd -D [listener] 0 of 10-100 startups",
            ("/etc/ssh/sshd_config",),
            [("sshd.MaxStartups", "10-100")],
        ),
        (
            "postgres",
            "postgres -D /data -c config_file=/x.conf -c max_connections=7 -c port=1",
            ("/x.conf",),
            [("postgres.max_connections", "7")],
        ),
        (
            "postgres",
            "postgres -D /data -N 8",
            ("postgresql.conf", "postgresql.auto.conf"),
            [("postgres.max_connections", "8")],
        ),
    ],
)
def test_a_command_line_names_files_and_sets_limits(
    program: str, arguments: str, files: tuple[str, ...], settings: list[tuple[str, str]]
) -> None:
    configuration = configurations()[program]

    assert files_named(arguments.split(), configuration) == files
    assert list(settings_of_arguments(arguments.split(), configuration)) == settings


def test_included_files_are_named_with_their_pattern() -> None:
    texts = {"nginx": NGINX, "mysql": MYSQL, "php-fpm": FPM}
    named = {
        program: [name for each in statements(text, configuration) for name in included(each, configuration)]
        for program, text in texts.items()
        if (configuration := configurations()[program])
    }

    assert named == {
        "nginx": ["conf.d/*.conf"],
        "mysql": ["/etc/mysql/conf.d/*"],
        "php-fpm": ["/etc/php/8.2/fpm/pool.d/*.conf"],
    }


@given(st.text(alphabet=st.sampled_from("{};[]=#'\" \nmaxconnsrvgl*\\0"), max_size=200), st.lists(st.text(max_size=9)))
def test_odd_text_gives_less_and_no_error(text: str, arguments: list[str]) -> None:
    for program, configuration in configurations().items():
        found(program, text)
        files_named(arguments, configuration)
        list(settings_of_arguments(arguments, configuration))


def test_a_value_is_bounded() -> None:
    configuration = ProgramConfiguration(directives={"most": "p.most"})

    assert [setting_of(each, configuration) for each in statements("most " + "9" * 9999, configuration)] == [
        ("p.most", "9" * 200)
    ]
