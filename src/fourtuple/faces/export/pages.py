"""The pages of a server of metrics: what is at which path."""

from fourtuple.faces.serving import HTML, TEXT, App, document, read_only

INDEX = """<!DOCTYPE html>
<html lang="en"><head><meta charset="utf-8"><title>fourtuple</title></head>
<body><h1>fourtuple</h1><p><a href="/metrics">Metrics</a> for Prometheus</p></body></html>
"""


def pages(metrics: App) -> App:
    """An application with the metrics on /metrics and an index on /; any other path is not found."""
    at = {"/": document(INDEX, HTML), "/metrics": metrics}
    return read_only(
        lambda environ: at.get(environ["PATH_INFO"]),
        lambda status, words: document(f"{words} The metrics are on /metrics.\n", TEXT, status),
    )
