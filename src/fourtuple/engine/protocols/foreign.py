"""What to call a peer that speaks another protocol than the one it was asked for: by the first word that it says."""

import re

WORD_BYTES = 24
_WORD = re.compile(rb"[\x21-\x7e]{2,%d}" % WORD_BYTES)
_TLS = re.compile(rb"[\x14-\x17]\x03[\x00-\x04]")  # a record of TLS: its type and version (RFC 8446, 5.1)


def foreign(protocol: str, data: bytes) -> str:
    """That this is not the protocol: `not HTTP: "SSH-2.0-OpenSSH_9.2p1"`, `not HTTP but TLS`, `not HTTP`.

    A word is the same for every connection to a server, where a line can have a time or a number in it.
    """
    if _TLS.match(data):
        return f"not {protocol} but TLS"
    word = _WORD.match(data)
    return f'not {protocol}: "{word[0].decode()}"' if word else f"not {protocol}"
