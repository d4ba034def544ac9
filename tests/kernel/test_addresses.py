"""Which addresses are of this host: the kernel's routing decides, whatever bind() takes."""

import shutil
import sys

import pytest

from tests.conftest import DENY, Ground, need

ASK = """
import ipaddress, sys
from fourtuple.kernel.addresses import is_local, is_source
for text in sys.argv[1:]:
    address = ipaddress.ip_address(text)
    print(text, is_local(address), is_source(address))
"""
NETWORK = """
link add d0 type veth peer name d1
link set d0 up
link set d1 up
addr add 10.1.0.1/24 dev d0
addr add 10.1.0.2/24 dev d0
addr add fd01::1/64 dev d0 nodad
addr add fd01::2/64 dev d0 nodad
route add local 10.9.0.0/16 dev lo
route add local fd09::/64 dev lo
route add blackhole 10.8.0.0/16
route add prohibit 10.7.0.0/16
route add unreachable 10.6.0.0/16
route add blackhole fd08::/64
route add prohibit fd07::/64
route add default via 10.1.0.9
route add ::/0 via fd01::9
"""
POLICY = "ip rule add from all lookup 77 pref 50; ip route add local 10.5.0.0/16 dev lo table 77"
# Of interfaces, also the second of a network; all of 127.0.0.0/8; by a local route (AnyIP).
HERE = ("127.0.0.1", "127.9.8.7", "10.1.0.1", "10.1.0.2", "10.9.1.2", "10.9.255.254", "::1", "fd01::1", "fd01::2")
# In a network of this host, its broadcast address, beyond the default route, and where no packet may go.
ELSEWHERE = (
    *("10.1.0.3", "10.1.0.255", "8.8.8.8", "10.8.0.1", "10.7.0.1", "10.6.0.1", "224.0.0.1", "255.255.255.255"),
    *("fd01::3", "2600::1", "fd08::1", "fd07::1", "fe80::1", "ff02::1"),
)
ANYIP6 = "fd09::5"


@pytest.fixture
def routed(ground: Ground) -> Ground:
    """A host with two networks, routes of every kind, and no neighbour."""
    need(shutil.which("ip"), "ip (iproute2)")
    done = ground.run("ip", "-batch", "-", input=NETWORK)
    assert done.returncode == 0, done.stderr
    return ground


def allow_nonlocal_bind(ground: Ground) -> None:
    ground.python(
        "from fourtuple.kernel.proc.sysctl import write_sysctl as w\n"
        "w('net.ipv4.ip_nonlocal_bind', '1'); w('net.ipv6.ip_nonlocal_bind', '1')"
    )


def asked(ground: Ground, *addresses: str, prefix: tuple[str, ...] = ()) -> dict[str, tuple[str, str]]:
    """The answers of is_local and is_source about each address."""
    done = ground.run(*prefix, sys.executable, "-c", ASK, *addresses)
    assert done.returncode == 0, done.stderr
    return {words[0]: (words[1], words[2]) for words in map(str.split, done.stdout.splitlines())}


@pytest.mark.parametrize("nonlocal_bind", [False, True])
def test_the_routing_decides_and_not_bind(routed: Ground, nonlocal_bind: bool) -> None:
    """An IPv6 address of a local route is here, too, but a source only where bind() takes it."""
    if nonlocal_bind:
        allow_nonlocal_bind(routed)
    found = asked(routed, *HERE, *ELSEWHERE, ANYIP6)

    assert {address: found[address] for address in HERE} == dict.fromkeys(HERE, ("True", "True"))
    assert {address: found[address] for address in ELSEWHERE} == dict.fromkeys(ELSEWHERE, ("False", "False"))
    assert found[ANYIP6] == ("True", str(nonlocal_bind))


def test_a_rule_that_leads_to_a_local_route_counts(routed: Ground) -> None:
    """Policy routing: connections to it arrive here. bind() looks into the table `local` alone."""
    assert asked(routed, "10.5.0.1") == {"10.5.0.1": ("False", "False")}
    routed.run("sh", "-c", POLICY)
    assert asked(routed, "10.5.0.1") == {"10.5.0.1": ("True", "False")}


def test_without_netlink_bind_decides(routed: Ground) -> None:
    found = asked(routed, "10.1.0.2", "10.9.1.2", "10.1.0.3", "fd01::1", prefix=(sys.executable, DENY, "netlink"))

    assert list(found.values()) == [("True", "True"), ("True", "True"), ("False", "False"), ("True", "True")]


def test_without_ipv6_no_such_address_is_here(ground: Ground) -> None:
    ground.python(
        "from fourtuple.kernel.proc.sysctl import write_sysctl as w\n"
        "w('net.ipv6.conf.all.disable_ipv6', '1'); w('net.ipv6.conf.lo.disable_ipv6', '1')"
    )

    assert asked(ground, "::1", "fd01::1", "127.0.0.1") == {
        "::1": ("False", "False"),
        "fd01::1": ("False", "False"),
        "127.0.0.1": ("True", "True"),
    }


def test_with_nonlocal_bind_a_foreign_target_and_an_absent_source_are_refused(routed: Ground) -> None:
    allow_nonlocal_bind(routed)
    target = routed.fourtuple("hold", "2000", "8.8.8.8:80", "--no-store")
    source = routed.fourtuple("hold", "10", "127.0.0.1:80", "--from", "10.1.0.7", "--no-store")

    assert (target.returncode, "--i-own-this-target" in target.stderr) == (2, True)
    assert (source.returncode, "10.1.0.7" in source.stderr) == (2, True)


@pytest.mark.parametrize("target", ["10.9.1.2:80", "[fd09::5]:80"])
def test_both_ends_of_a_connection_to_a_local_route_are_counted_here(routed: Ground, target: str) -> None:
    """No interface has the address; a server on the wildcard address takes its connections."""
    where = "[::]:80" if target.startswith("[") else "0.0.0.0:80"
    with routed.serving(where):
        done = routed.fourtuple("hold", "23", target, "--for", "0s", "--no-store", "--json")

    assert done.returncode == 0, done.stderr
    assert '"client": 23, "server": 23' in done.stdout
