"""Plain text with real programs: the dialogues that are advised for the schemes of other protocols."""

import shlex
import socket
import subprocess
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from fourtuple.core.talk.content import parse_text
from fourtuple.core.talk.elsewhere import PROTOCOLS
from fourtuple.core.talk.expectation import parse_expectation
from fourtuple.core.talk.script import Say, Script, script_of
from fourtuple.core.talk.template import parse_template
from fourtuple.engine.protocols.text import TextKind
from tests.catalogue.servers import program
from tests.engine.protocols.conversation import Conversation
from tests.ports import free_port
from tests.waiting import PATIENCE_S, wait_until

NGINX = """
daemon off; master_process off; pid {folder}/pid; error_log {folder}/log;
events {{ worker_connections 64; }}
http {{
  access_log off;
  client_body_temp_path {folder}/1; proxy_temp_path {folder}/2; fastcgi_temp_path {folder}/3;
  uwsgi_temp_path {folder}/4; scgi_temp_path {folder}/5;
  server {{ listen 127.0.0.1:{port} http2; }}
}}
"""


def script(options: str) -> Script:
    """The script of options as they are typed."""
    words = shlex.split(options)
    return script_of(
        [
            parse_expectation(text) if option == "--expect" else (Say(option), parse_template(parse_text(text)))
            for option, text in zip(words[::2], words[1::2], strict=True)
        ]
    )


@contextmanager
def running(folder: Path, port: int, command: Sequence[str]) -> Iterator[tuple[str, int]]:
    """The address of a server that listens there; it is killed after the block. Nothing connects to find out."""

    def listens() -> bool:
        assert process.poll() is None, (folder / "log").read_text()
        return f"0100007F:{port:04X} 00000000:0000 0A" in Path("/proc/net/tcp").read_text()

    with open(folder / "log", "w") as log:
        process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, cwd=folder)
        try:
            assert wait_until(listens)
            yield "127.0.0.1", port
        finally:
            process.kill()
            process.wait(PATIENCE_S)


@contextmanager
def redis(folder: Path, *options: str) -> Iterator[tuple[str, int]]:
    port = free_port()
    command = [program("redis-server"), "--port", str(port), "--bind", "127.0.0.1", "--save", "", *options]
    with running(folder, port, command) as address:
        yield address


def test_redis_answers_what_is_advised_for_it(tmp_path: Path) -> None:
    kind = TextKind(script(PROTOCOLS["redis"].options))
    with redis(tmp_path) as address, Conversation(kind, address) as talk:
        for _ in range(3):
            talk.say(b"PING\r\n")
            assert talk.hear().answers == 1


def test_redis_asks_for_a_password_first(tmp_path: Path) -> None:
    """The right one is the opening of a session, a wrong one its end, and without one each answer is wrong."""
    right = TextKind(script(r"--first 'AUTH secret\r\n' --expect '+OK\r\n' --send 'PING\r\n' --expect '+PONG\r\n'"))
    wrong = TextKind(script(r"--first 'AUTH {connection}\r\n' --expect 're:^\+OK'"))
    none = TextKind(script(PROTOCOLS["redis"].options))
    with redis(tmp_path, "--requirepass", "secret") as address:
        with Conversation(right, address) as talk:
            talk.ready().say(b"PING\r\n")
            assert talk.until(lambda total: total.answers)
        with Conversation(wrong, address, 7) as talk:
            assert talk.failed().reason.startswith(r'the answer to --first does not match ^\+OK: "-WRONGPASS')
        with Conversation(none, address) as talk:
            talk.say(b"PING\r\n")
            assert talk.until(lambda total: total.wrong).answers == 0


def test_redis_that_is_full_says_so_and_closes(tmp_path: Path) -> None:
    """The refusal comes without being asked for: before the answer to --first, or as that answer."""
    kind = TextKind(script(r"--first 'PING\r\n' --expect '+PONG\r\n'"))
    with (
        redis(tmp_path, "--maxclients", "2") as address,
        Conversation(kind, address) as one,
        Conversation(kind, address) as two,
    ):
        one.ready()
        two.ready()
        with Conversation(kind, address) as third:
            assert 'is not "+PONG\\r\\n": "-ERR max number of clients reached"' in third.failed().reason


def test_memcached_answers_what_is_advised_for_it(tmp_path: Path) -> None:
    port = free_port()
    command = [program("memcached"), "-l", "127.0.0.1", "-p", str(port), "-u", "nobody"]
    kind = TextKind(script(PROTOCOLS["memcached"].options))
    with running(tmp_path, port, command) as address, Conversation(kind, address) as talk:
        talk.say(b"version\r\n")
        assert talk.until(lambda total: total.answers or total.wrong).answers == 1


def test_http_2_answers_what_is_advised_for_grpc(tmp_path: Path) -> None:
    port = free_port()
    (tmp_path / "nginx.conf").write_text(NGINX.format(folder=tmp_path, port=port))
    kind = TextKind(script(PROTOCOLS["grpc"].options))
    command = [program("nginx"), "-p", str(tmp_path), "-c", str(tmp_path / "nginx.conf")]
    with running(tmp_path, port, command) as address, Conversation(kind, address) as talk:
        assert talk.ready().total.failed is None


def test_a_server_that_says_nothing_and_closes_is_named() -> None:
    kind = TextKind(script("--expect re:^220"))
    with socket.create_server(("127.0.0.1", 0)) as server, Conversation(kind, server.getsockname()) as talk:
        server.accept()[0].close()
        assert talk.failed().reason == "closed before the greeting was complete"
        assert talk.failed().by_peer
