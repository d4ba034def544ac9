"""What the flags in the access logs of HAProxy and Envoy say. In them, upper and lower case differ.

Sources: "Session state at disconnection" (HAProxy 3.0, configuration manual, 8.5); "Response flags" (Envoy 1.32).
"""

from fourtuple.core.late import late_pattern
from fourtuple.core.why.findings import Finding

_HAPROXY = late_pattern(
    r"(?P<address>\S+?):\d+ \[[^\]]+\] \S+ (?P<server>\S+/\S+) -?\d+/-?\d+/[-+\d/]+ (?:-?\d+ )?\+?\d+ (?:\S+ \S+ )?"
    r"(?P<flags>[CSPRLUIDKcs-][RQCHDLTPI-][-NIDVMEPOUACRS]{0,2}) \d+/\d+/"
)
_OF_HAPROXY = {  # the first two letters: how the session ended, and in which phase
    "SC": Finding(call="connect", causes=("no-listener", "port-range"), program="haproxy"),
    "sC": Finding("ETIMEDOUT", 110, "connect", program="haproxy"),
    "RC": Finding(call="connect", causes=("port-range", "files", "memory"), program="haproxy"),
    "sQ": Finding(causes=("own-limit",), program="haproxy"),
    "SQ": Finding(causes=("own-limit",), program="haproxy"),
    "PR": Finding(),
}
_ENVOY = late_pattern(
    r"\" \d{3} (?P<flags>U[A-Z]{1,4}(?:,[A-Z]{2,5})*) |\"response_flags\" ?:"
    r" ?\"(?P<field>U[A-Z]{1,4}(?:,[A-Z]{2,5})*)\""
)
_OF_ENVOY = {
    "UO": Finding(causes=("own-limit",), program="envoy"),
    "UF": Finding(call="connect", causes=("no-listener", "port-range"), program="envoy"),
    "UH": Finding(causes=("upstream-down",), program="envoy"),
    "UT": Finding("ETIMEDOUT", 110, program="envoy"),
}
_UPSTREAM = late_pattern(r"\"(?:upstream_host\" ?: ?\")?(\d{1,3}(?:\.\d{1,3}){3}:\d{1,5})\"")

HINTS = (
    *(f" {flags}{cookie} " for flags in ("sc", "rc", "sq") for cookie in ("--", "nn", "vn", "dn", "ni", "vi")),
    *(f'" 503 {flag}' for flag in ("uf", "uo", "uh")),
    '" 504 ut ',
    *(f'response_flags":"{flag}' for flag in ("uf", "uo", "uh", "ut")),
)


def said(line: str) -> list[Finding]:
    """Return what the flags of a line say; empty: it has none, or they say nothing about connections."""
    if match := _HAPROXY.search(line):
        found = _OF_HAPROXY.get(match["flags"][:2], Finding())
        if match["server"].lower().endswith("/<nosrv>") and match["flags"].startswith("SC"):
            found = Finding(causes=("upstream-down",), program="haproxy")
    elif match := _ENVOY.search(line):
        flags = (match["flags"] or match["field"]).split(",")
        found = next((_OF_ENVOY[flag] for flag in flags if flag in _OF_ENVOY), Finding())
        if found != Finding() and (host := _UPSTREAM.search(line, match.end())):
            found = _replaced(found, host[1])
    else:
        return []
    return [found] if found != Finding() else []


def _replaced(found: Finding, destination: str) -> Finding:
    return Finding(
        found.error, found.errno, found.call, destination=destination, causes=found.causes, program=found.program
    )
