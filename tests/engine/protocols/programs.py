"""Real servers on this host's loopback: each one started on a free port, in a folder of its own, and ended."""

import os
import socket
import subprocess
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

from tests.catalogue.servers import NOBODY, as_user, program
from tests.engine.protocols.certificates import certificate
from tests.waiting import PATIENCE_S, wait_until

Address = tuple[str, int]
NGINX = """
daemon off; worker_processes 1; pid {folder}/pid; error_log stderr; {user}
events {{ worker_connections 100; }}
http {{
  access_log off; client_body_temp_path {folder}/1; proxy_temp_path {folder}/2; fastcgi_temp_path {folder}/3;
  uwsgi_temp_path {folder}/4; scgi_temp_path {folder}/5; keepalive_timeout {keepalive};
  ssl_protocols {protocols}; {more}
  ssl_certificate {folder}/server.pem; ssl_certificate_key {folder}/server.pem;
  server {{
    listen {address}{tls};
    location = /resumed {{ return 200 $ssl_session_reused; }}
    location = /absent {{ return 404; }}
    location = /busy {{ return 503; }}
    location = /moved {{ return 302 /; }}
    location = /empty {{ return 204; }}
    location = /close {{ keepalive_timeout 0; return 200 bye; }}
    location = /large {{ alias {folder}/large; }}
    location = /chunked {{ ssi on; alias {folder}/page.html; }}
    location = / {{ return 200 "$request_method $http_x_value"; }}
  }}
}}
"""
HAPROXY = """
defaults
  mode http
  timeout client {idle}
  timeout server 1m
  timeout connect 1s
  timeout http-keep-alive {idle}
frontend front
  bind {address} ssl crt {folder}/server.pem alpn {alpn} {more}
  http-request return status 200 content-type text/plain string hello
"""


def free_address() -> Address:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        address: Address = listener.getsockname()
        return address


@contextmanager
def running(address: Address, folder: Path, command: Sequence[str]) -> Iterator["subprocess.Popen[bytes]"]:
    """The program, from the moment it accepts connections."""
    log = folder / "log"
    with open(log, "wb") as output:
        process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=output, stderr=output, cwd=folder)
    try:
        ready = wait_until(lambda: process.poll() is not None or _accepts(address))
        assert ready, log.read_text(errors="replace")
        assert process.poll() is None, log.read_text(errors="replace")
        yield process
    finally:
        process.terminate()
        try:
            process.wait(PATIENCE_S)
        finally:
            process.kill()
        with suppress(BrokenPipeError):
            process.communicate()


@contextmanager
def nginx(
    folder: Path,
    *,
    pem: bytes = b"",
    tls: bool = False,
    keepalive: str = "1h",
    protocols: str = "TLSv1.2 TLSv1.3",
    more: str = "",
) -> Iterator[Address]:
    """nginx with the locations above."""
    address = free_address()
    (folder / "server.pem").write_bytes(pem or certificate())
    (folder / "large").write_bytes(b"x" * 1_000_000)
    (folder / "page.html").write_text('<!--#echo var="uri" -->')
    user = "user root;" if os.geteuid() == 0 else ""
    text = NGINX.format(
        folder=folder,
        address=f"{address[0]}:{address[1]}",
        tls=" ssl" if tls else "",
        keepalive=keepalive,
        protocols=protocols,
        user=user,
        more=more,
    )
    (folder / "nginx.conf").write_text(text)
    with running(address, folder, [program("nginx"), "-c", str(folder / "nginx.conf")]):
        yield address


@contextmanager
def haproxy(folder: Path, *, alpn: str = "h2,http/1.1", idle: str = "1h", more: str = "") -> Iterator[Address]:
    """haproxy with TLS, which answers each request itself."""
    address = free_address()
    (folder / "server.pem").write_bytes(certificate())
    text = HAPROXY.format(address=f"{address[0]}:{address[1]}", folder=folder, alpn=alpn, idle=idle, more=more)
    (folder / "haproxy.cfg").write_text(text)
    with running(address, folder, [program("haproxy"), "-db", "-f", str(folder / "haproxy.cfg")]):
        yield address


@contextmanager
def s_server(folder: Path, *options: str) -> Iterator[tuple[Address, "subprocess.Popen[bytes]"]]:
    """`openssl s_server`, whose standard input is what it sends, or are its commands (openssl-s_server(1))."""
    address = free_address()
    (folder / "server.pem").write_bytes(certificate())
    command = [
        program("openssl"),
        "s_server",
        "-accept",
        f"{address[0]}:{address[1]}",
        "-cert",
        str(folder / "server.pem"),
    ]
    with running(address, folder, [*command, *options]) as process:
        yield address, process


@contextmanager
def squid(folder: Path, rules: str) -> Iterator[Address]:
    """squid with these rules of access."""
    address = free_address()
    text = (
        f"http_port {address[0]}:{address[1]}\npid_filename none\ncache_log {folder}/cache.log\naccess_log none\n"
        f"coredump_dir {folder}\npinger_enable off\nshutdown_lifetime 1 seconds\n{rules}\n"
    )
    (folder / "squid.conf").write_text(text)
    command = [program("squid"), "-N", "-d", "1", "-f", str(folder / "squid.conf")]
    with running(address, folder, as_user(command, NOBODY)):
        yield address


def _accepts(address: Address) -> bool:
    try:
        socket.create_connection(address, PATIENCE_S).close()
    except ConnectionRefusedError:
        return False
    return True
