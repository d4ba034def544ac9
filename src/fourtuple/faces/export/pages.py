"""The pages of a server of metrics: what is at which path."""

from collections.abc import Callable, Iterable
from typing import Any

from fourtuple.faces.serving import App

INDEX = b"""<!DOCTYPE html>
<html lang="en"><head><meta charset="utf-8"><title>fourtuple</title></head>
<body><h1>fourtuple</h1><p><a href="/metrics">Metrics</a> for Prometheus</p></body></html>
"""


def pages(metrics: App) -> App:
    """An application with the metrics on /metrics and an index on /; any other path is not found."""

    def answer(environ: dict[str, Any], begin: Callable[[str, list[tuple[str, str]]], Any]) -> Iterable[bytes]:
        path = environ["PATH_INFO"]
        if path == "/metrics":
            return metrics(environ, begin)
        if path != "/":
            begin("404 Not Found", [("Content-Type", "text/plain; charset=utf-8")])
            return [b"there is no such page: the metrics are on /metrics\n"]
        if environ["REQUEST_METHOD"] not in ("GET", "HEAD"):
            begin("405 Method Not Allowed", [("Allow", "GET, HEAD")])
            return []
        begin("200 OK", [("Content-Type", "text/html; charset=utf-8")])
        return [INDEX]

    return answer
