"""TOML, for Python 3.10 too, where pytest needs the backport itself."""

import sys

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

__all__ = ["tomllib"]
