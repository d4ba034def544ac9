"""nginx as a server of one contestant: TLS 1.3 with a key of ECDSA P-256, and HTTP with keep-alive, in RAM only.

python -m bench.nginx [--workers N] HTTP_PORT HTTPS_PORT

It says `listening` on standard error when nginx accepts connections, and ends nginx when it gets SIGTERM. It needs the
programs nginx and openssl.
"""

import argparse
import resource
import signal
import socket
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from bench.peers.stopwatch import raise_soft_files
from fourtuple.engine.protocols.certificate import make_certificate
from fourtuple.verbs.background import start

ADDRESS = "127.0.0.1"
PATIENCE_S = 60.0
# By default, nginx 1.22 has no TLS 1.3, and ends a connection after 1,000 requests.
CONFIGURATION = """
daemon off; user root; worker_processes {workers}; pid {folder}/pid; error_log stderr crit;
events {{ worker_connections {files}; multi_accept on; }}
http {{
  access_log off; keepalive_timeout 1h; keepalive_requests 1000000000; ssl_protocols TLSv1.3;
  client_body_temp_path {folder}/1; proxy_temp_path {folder}/2; fastcgi_temp_path {folder}/3;
  uwsgi_temp_path {folder}/4; scgi_temp_path {folder}/5;
  ssl_certificate {folder}/server.pem; ssl_certificate_key {folder}/server.pem;
  server {{
    listen {address}:{http} backlog=65535 reuseport;
    listen {address}:{https} ssl backlog=65535 reuseport;
    location / {{ return 200 "hello\\n"; }}
  }}
}}
"""


def serve(workers: int, http: int, https: int) -> None:
    """Returns when nginx has ended, which SIGTERM to this process makes it do."""
    raise_soft_files()
    files, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    with tempfile.TemporaryDirectory(prefix="fourtuple-nginx-") as folder:
        Path(folder, "server.pem").write_bytes(make_certificate([ADDRESS]))
        text = CONFIGURATION.format(
            address=ADDRESS, folder=folder, workers=workers, files=min(files - 100, 65_000), http=http, https=https
        )
        Path(folder, "nginx.conf").write_text(text)
        nginx = start(["nginx", "-c", f"{folder}/nginx.conf"], stdin=subprocess.DEVNULL)
        signal.signal(signal.SIGTERM, lambda *_: nginx.terminate())
        _wait_until_accepting(nginx, http)
        print("listening", file=sys.stderr, flush=True)
        nginx.wait()


def _wait_until_accepting(nginx: "subprocess.Popen[bytes]", port: int) -> None:
    until_s = time.monotonic() + PATIENCE_S
    while nginx.poll() is None and time.monotonic() < until_s:
        try:
            socket.create_connection((ADDRESS, port), PATIENCE_S).close()
        except ConnectionRefusedError:
            time.sleep(0.01)
        else:
            return
    nginx.kill()
    sys.exit(f"nginx did not come up within {PATIENCE_S:g} s, or ended with {nginx.wait()}")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(prog="python -m bench.nginx", description=__doc__)
    parser.add_argument("--workers", type=int, default=1)
    parser.add_argument("http", type=int)
    parser.add_argument("https", type=int)
    serve(**vars(parser.parse_args()))
