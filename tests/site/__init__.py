"""The site of the documentation: `make site` builds it into build/site, from docs/, the README and tables of the code.

pages.py gathers the pages in build/pages, Zensical makes a site of them (zensical.toml).
"""

from tests.conftest import REPOSITORY

BUILD = REPOSITORY / "build"
PAGES, SITE = BUILD / "pages", BUILD / "site"
CONFIGURATION = REPOSITORY / "zensical.toml"
