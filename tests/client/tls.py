"""A server that speaks TLS, with a certificate of its own: it answers HTTP, and other lines with themselves."""

import asyncio
import shutil
import ssl
import subprocess
import threading
from pathlib import Path

from tests.conftest import need
from tests.waiting import PATIENCE_S

HOST = "127.0.0.1"
NAMELESS = "127.0.0.2"  # not in the certificate


def certificate(folder: Path) -> Path:
    """Its key too, in one file; for localhost and 127.0.0.1."""
    need(shutil.which("openssl"), "the program openssl")
    key, certificate, both = folder / "key.pem", folder / "certificate.pem", folder / "both.pem"
    names = "subjectAltName=DNS:localhost,IP:127.0.0.1"
    ask = [
        "openssl",
        "req",
        "-x509",
        "-newkey",
        "ec",
        "-pkeyopt",
        "ec_paramgen_curve:prime256v1",
        "-nodes",
        "-days",
        "9",
    ]
    ask += ["-subj", "/CN=localhost", "-addext", names, "-keyout", str(key), "-out", str(certificate)]
    subprocess.run(ask, check=True, capture_output=True)
    both.write_bytes(key.read_bytes() + certificate.read_bytes())
    return both


def trusting(file: Path) -> ssl.SSLContext:
    """What a client needs, which trusts this certificate alone, and looks at the name."""
    return ssl.create_default_context(cafile=str(file))


class TlsServers:
    """One on each of these ports of both addresses, until the process ends. peers: addresses and ports of clients."""

    def __init__(self, file: Path, *ports: int) -> None:
        self.peers: list[tuple[str, int]] = []
        self._context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self._context.load_cert_chain(file)
        self._ports = ports
        self._ready = threading.Event()
        threading.Thread(target=lambda: asyncio.run(self._serve()), daemon=True).start()
        assert self._ready.wait(PATIENCE_S)

    async def _serve(self) -> None:
        for port in self._ports:
            await asyncio.start_server(self._answer, (HOST, NAMELESS), port, ssl=self._context)
        self._ready.set()
        await asyncio.Event().wait()

    async def _answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.peers.append(writer.get_extra_info("peername"))
        while line := await reader.readline():
            if line.startswith(b"GET "):
                await reader.readuntil(b"\r\n\r\n")
                line = b"HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\nshared"
            writer.write(line)
