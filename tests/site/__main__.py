"""Build the site into build/site: `make site`. Nothing is loaded from the network."""

import posixpath
import shutil
import subprocess
import sys
from pathlib import Path

from tests.site import CONFIGURATION, PAGES, SITE
from tests.site.pages import pages

# What a page that is opened as a file would load from elsewhere for its search, and what it loads instead.
SHIM = "https://unpkg.com/iframe-worker/shim"
WORKER = Path(__file__).with_name("file-worker.js")


def main() -> int:
    """→ exit code: 1 if a link leads nowhere"""
    for folder in (PAGES, SITE):
        shutil.rmtree(folder, ignore_errors=True)
    for name, content in pages().items():
        (PAGES / name).parent.mkdir(parents=True, exist_ok=True)
        (PAGES / name).write_bytes(content)
    command = [sys.executable, "-m", "zensical", "build", "--strict", "--config-file", str(CONFIGURATION)]
    code = subprocess.run(command, check=False, cwd=CONFIGURATION.parent).returncode
    shutil.copy(WORKER, SITE)
    for page in SITE.rglob("*.html"):
        ours = posixpath.relpath(WORKER.name, page.parent.relative_to(SITE).as_posix())
        page.write_text(page.read_text(encoding="utf-8").replace(SHIM, ours), encoding="utf-8")
    if code == 0:
        print(f"built {SITE / 'index.html'}")
    return code


if __name__ == "__main__":
    sys.exit(main())
