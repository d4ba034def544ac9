"""The JavaScript that draws the charts: Vega, Vega-Lite and Vega-Embed, bundled by vl-convert.

Bundling takes some seconds and always gives the same text, so it is cached in $XDG_CACHE_HOME/fourtuple/.
"""

import contextlib
import secrets
from importlib.metadata import version


def library() -> str:
    """The bundle, which defines window.vegaEmbed. Raises ValueError if it cannot be embedded in a page."""
    from platformdirs import user_cache_path

    file = user_cache_path("fourtuple") / f"vega-{version('vl-convert-python')}.js"
    with contextlib.suppress(OSError, UnicodeDecodeError):
        return file.read_text(encoding="utf-8")
    import vl_convert

    bundle: str = vl_convert.javascript_bundle("window.vegaEmbed = vegaEmbed;")
    if "</script" in bundle.lower():
        raise ValueError("the bundled library cannot be embedded in a page: it contains the end of a script element")
    with contextlib.suppress(OSError):
        file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        new = file.with_suffix(f".{secrets.token_hex(8)}")
        with new.open("x", encoding="utf-8") as stream:
            stream.write(bundle)
        new.replace(file)  # atomic, as another process may write it too
    return bundle
