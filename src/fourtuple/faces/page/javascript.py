"""What draws the charts in the browser: Vega, Vega-Lite and Vega-Embed as one text, as vl-convert bundles them.

Bundling takes some seconds and gives the same text each time, so it is kept in $XDG_CACHE_HOME/fourtuple/.
"""

import contextlib
import os
from importlib.metadata import version


def library() -> str:
    """It defines window.vegaEmbed."""
    from platformdirs import user_cache_path

    file = user_cache_path("fourtuple") / f"vega-{version('vl-convert-python')}.js"
    with contextlib.suppress(OSError, UnicodeDecodeError):
        return file.read_text(encoding="utf-8")
    import vl_convert

    bundle: str = vl_convert.javascript_bundle("window.vegaEmbed = vegaEmbed;")
    if "</script" in bundle.lower():
        raise ValueError("the bundled library cannot stand within a page: it has the end of a script in it")
    with contextlib.suppress(OSError):
        file.parent.mkdir(parents=True, exist_ok=True)
        new = file.with_suffix(f".{os.getpid()}")
        new.write_text(bundle, encoding="utf-8")
        new.replace(file)  # all of it or nothing, whoever else makes it
    return bundle
