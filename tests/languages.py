"""What glibc prints for the errnos of connections in other languages, from the catalogues on this machine (libc-l10n).

`make languages` writes core/why/reader/languages.json. The catalogues are /usr/share/locale/*/LC_MESSAGES/libc.mo.
"""

import gettext
import json
import os
import subprocess
from pathlib import Path

from fourtuple.core.why.reader import errnos, messages

LANGUAGES = "cs de es fr it ja ko nl pl pt pt_BR ru sv tr uk zh_CN zh_TW"
CATALOGUE = "/usr/share/locale/{}/LC_MESSAGES/libc.mo"
OUTPUT = Path(messages.__file__).with_name("languages.json")


def translated(language: str) -> dict[str, str]:
    """By the errno's name, its message in this language; errnos without a translation are left out."""
    with open(CATALOGUE.format(language), "rb") as file:
        catalogue = gettext.GNUTranslations(file)
    found = {error: catalogue.gettext(os.strerror(errnos.LINUX[error])) for error in messages.ENGLISH}
    return {error: text for error, text in found.items() if text != os.strerror(errnos.LINUX[error])}


def main() -> None:
    command = ["dpkg-query", "--show", "--showformat", "${Package} ${Version}", "libc-l10n"]
    source = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    record = {"source": source, "languages": {language: translated(language) for language in LANGUAGES.split()}}
    OUTPUT.write_text(json.dumps(record, ensure_ascii=False, indent=1) + "\n")


if __name__ == "__main__":
    main()
