"""Ports that units of systemd name, and the numbers in their command lines that are none."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fourtuple.core.plan.units import argument_ports, assignments, command_ports, listen_ports


def ports(texts: list[str], instance: str = "") -> list[int]:
    return [each.start for each in listen_ports(assignments(texts), instance)]


@pytest.mark.parametrize(
    ("value", "port"),
    [
        ("7000", [7000]),
        ("127.0.0.1:7000", [7000]),
        ("[::]:7000", [7000]),
        ("[fe80::1%eth0]:7000", [7000]),
        ("/run/x.sock", []),
        ("@abstract7000", []),
        ("vsock:2:7000", []),
        ("70000", []),
        ("port", []),
    ],
)
def test_what_a_socket_unit_listens_on(value: str, port: list[int]) -> None:
    assert ports([f"[Unit]\nDescription=ListenStream=1\n[Socket]\n# x\nListenStream = {value}\n"]) == port


def test_a_drop_in_adds_and_an_empty_value_resets() -> None:
    unit = "[Socket]\nListenStream=7000\nListenDatagram=7001\n"

    assert ports([unit, "[Socket]\nListenStream=7002\n"]) == [7000, 7002, 7001]
    assert ports([unit, "[Socket]\nListenStream=\nListenStream=7003\n"]) == [7003, 7001]


def test_an_instance_stands_for_its_specifier() -> None:
    assert ports(["[Socket]\nListenStream=%i\n"], "7005") == [7005]
    assert ports(["[Socket]\nListenStream=%i\n"]) == []


@pytest.mark.parametrize(
    ("command", "found"),
    [
        ("/usr/bin/app --port 7000", [7000]),
        ("/usr/bin/app --port=7000", [7000]),
        ("/usr/bin/app -p7000", [7000]),
        ("/usr/bin/app --web.listen-address=:9100", [9100]),
        ("/usr/bin/app --bind [::]:9000 --admin-port 9001", [9000, 9001]),
        ("/usr/bin/socat TCP-LISTEN:7000,fork EXEC:/bin/cat", [7000]),
        ("/usr/bin/python3 -m http.server 7000", [7000]),
        ("/usr/bin/docker run -p 127.0.0.1:8080:8081/tcp x", [8080, 8081]),
        ("/usr/bin/etcd --listen-client-urls=http://10.0.0.1:2379,http://127.0.0.1:2380", [2379, 2380]),
        ("/usr/bin/rtp --range 20000-20009", [20000]),
        ("/usr/bin/app --max-clients 4096 --timeout=5000 -Xmx2048m --workers 8000 7000", [7000]),
        ("/sbin/agetty --keep-baud 115200,38400,9600 console", []),
        ("/usr/bin/app1234 /var/lib/7000/x", []),
    ],
)
def test_the_ports_in_a_command_line(command: str, found: list[int]) -> None:
    assert [each.start for each in argument_ports(command.split())] == found


def test_a_service_names_ports_in_its_command_its_variables_and_their_file() -> None:
    """A command that a drop-in replaces counts no more; a continued line is one line."""
    unit = '[Service]\nEnvironment="PORT=7001" X=y\nExecStart=/bin/old --port 7000\n'
    drop_in = "[Service]\nExecStart=\nExecStart=/bin/new \\\n  --port 7002\n"
    file = '# PORT=1\nARGS="--web.listen-address=0.0.0.0:7003 --log.level=info"\n'
    found = command_ports(assignments([unit, drop_in]), [file])

    assert [each.start for each in found] == [7002, 7001, 7003]


@given(st.text(alphabet="[Service]\n=\\%i\"'-:,0123456789ExecStart ", max_size=200))
def test_whatever_a_unit_says_its_ports_are_ports(text: str) -> None:
    found = [
        *listen_ports(assignments([text])),
        *command_ports(assignments([f"[Service]\nExecStart={text}"])),
        *argument_ports([text]),
    ]

    assert all(1 <= each.start < each.stop <= 65_536 for each in found)
