"""What interfaces have sent, and the speeds of network cards."""

import socket
from pathlib import Path

from fourtuple.core.limits.load import Link
from fourtuple.kernel.proc.interfaces import parse_net_dev, read_links, read_sent_bytes

TEXT = """\
Inter-|   Receive                                                |  Transmit
 face |bytes    packets errs drop fifo frame compressed multicast|bytes    packets errs drop fifo colls carrier compressed
    lo: 3840 13 0 0 0 0 0 0 3841 13 0 0 0 0 0 0
  eth0:407402929    8257    0    0    0     0          0         0   418686    4700    0    0    0     0       0          0
  eth1: 1 2
"""  # noqa: E501


def card(folder: Path, name: str, speed: str, index: int = 1, *, virtual: bool = False) -> None:
    (folder / name).mkdir(parents=True)
    (folder / name / "speed").write_text(speed)
    (folder / name / "ifindex").write_text(f"{index}\n")
    if not virtual:
        (folder / name / "device").mkdir()


def test_bytes_sent_are_read_by_interface() -> None:
    assert parse_net_dev(TEXT) == {"lo": 3841, "eth0": 418686}


def test_traffic_on_loopback_is_counted() -> None:
    before = read_sent_bytes("lo")
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.sendto(bytes(1000), ("127.0.0.1", 9))
    after = read_sent_bytes("lo")

    assert before is not None
    assert after is not None
    assert after - before >= 1028
    assert read_sent_bytes("no-such-interface") is None


def test_cards_say_their_speed_and_virtual_interfaces_are_none(tmp_path: Path) -> None:
    """-1: the card does not know; veth reports 10,000, which is no real speed."""
    card(tmp_path, "eth0", "10000\n")
    card(tmp_path, "eth1", "-1\n")
    card(tmp_path, "eth2", "")
    card(tmp_path, "veth0", "10000\n", virtual=True)

    assert read_links(tmp_path, ours=False) == (Link("eth0", 10**10), Link("eth1", None), Link("eth2", None))
    assert read_links(tmp_path / "absent", ours=False) == ()


def test_a_card_of_another_namespace_is_not_ours(tmp_path: Path) -> None:
    """The name and the index must be those of an interface here: /sys may be that of another namespace."""
    index = socket.if_nametoindex("lo")
    card(tmp_path, "lo", "1000\n", index)
    card(tmp_path, "eth77", "1000\n", index)

    assert read_links(tmp_path) == (Link("lo", 10**9),)
