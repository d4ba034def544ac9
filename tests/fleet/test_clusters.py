"""The clusters that a fleet can use: one with TLS, one that it makes on this machine, one that it makes by SSH."""

import importlib.util
import json
import os
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import pytest
import trustme

import fourtuple
from fourtuple.core.errors import EXIT_CANNOT
from tests.conftest import need
from tests.fleet.world import Machine, World, by_name
from tests.waiting import lines_until, wait_until

PORT = 7000
SSH = shutil.which("sshd", path=f"{os.environ.get('PATH', os.defpath)}:/usr/sbin")


def test_a_cluster_with_tls(tmp_path: Path) -> None:
    """All parts of Dask show a certificate of one CA; a fleet without one is refused."""
    authority = trustme.CA()
    certificate = authority.issue_cert("fleet.test")
    files = {name: tmp_path / f"{name}.pem" for name in ("ca", "cert", "key")}
    authority.cert_pem.write_to_path(files["ca"])
    certificate.cert_chain_pems[0].write_to_path(files["cert"])
    certificate.private_key_pem.write_to_path(files["key"])
    options = ["--tls-ca-file", str(files["ca"]), "--tls-cert", str(files["cert"]), "--tls-key", str(files["key"])]
    (tmp_path / "fleet").mkdir()
    with World(tmp_path / "fleet", dask_options=options, protocol="tls") as world:
        world.workers("m1", "m2")
        server = world.machine("server")
        with server.serving(f"{server.address}:{PORT}") as served:
            record = world.fleet_record("hold", "97", f"{server.address}:{PORT}", "--for", "1ms")
            hold = ("fleet", "hold", "97", f"{server.address}:{PORT}", "--scheduler", world.scheduler_address)
            refused = world.desk.fourtuple(*hold)
    assert record["held"] == served["accepted"] == 97
    assert sorted(by_name(record)) == ["m1", "m2"]
    assert refused.returncode == EXIT_CANNOT
    assert world.scheduler_address in refused.stderr


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    with World(tmp_path_factory.mktemp("clusters")) as world:
        yield world


def test_a_cluster_on_this_machine(world: World) -> None:
    """Two workers in one network namespace share its ports, and none of the cluster's processes is left."""
    desk = world.desk
    with desk.serving(f"127.0.0.1:{PORT}") as served:
        before = desk.pids()
        done = desk.fourtuple("fleet", "hold", "97", f"127.0.0.1:{PORT}", "--local", "2", "--for", "1ms", "--json")
        assert done.returncode == 0, done.stderr
        assert wait_until(lambda: desk.pids() == before)
    record = record_of(done)
    assert record["held"] == served["accepted"] == 97
    assert sorted(each["held"] for each in record["machines"]) == [48, 49]


def test_a_cluster_by_ssh(world: World) -> None:
    """A worker on each host; nothing is left on them afterwards."""
    need(importlib.util.find_spec("asyncssh"), "asyncssh")
    need(SSH, "sshd (openssh-server)")
    need(os.geteuid() == 0, "root: sshd changes the groups of a session")
    need(Path("/run/sshd").is_dir(), "the folder /run/sshd")
    hosts = [world.machine("h1"), world.machine("h2")]
    server = world.machine("server")
    to = f"{server.address}:{PORT}"
    names = ",".join(host.address for host in hosts)
    with ExitStack() as until_the_end, server.serving(to) as served:
        for host in hosts:
            until_the_end.enter_context(reachable_by_ssh(host, world.desk))
        before = [host.pids() for host in hosts]
        done = world.desk.fourtuple("fleet", "hold", "97", to, "--ssh", names, "--for", "1ms", "--json")
        assert done.returncode == 0, done.stderr
        assert wait_until(lambda: [host.pids() for host in hosts] == before)
    record = record_of(done)
    assert record["held"] == served["accepted"] == 97
    assert sorted(each["held"] for each in record["machines"]) == [48, 49]
    assert {source for each in record["machines"] for source in each["sources"]} == {host.address for host in hosts}


def record_of(done: "subprocess.CompletedProcess[str]") -> dict[str, Any]:
    record: dict[str, Any] = json.loads(done.stdout)
    return record


@contextmanager
def reachable_by_ssh(host: Machine, client: Machine) -> Iterator[None]:
    """Run sshd on the host, for the client's key; the keys of both are made here. Sessions store runs as the host."""
    import asyncssh

    own = client.home / "home/.ssh"
    own.mkdir(exist_ok=True)
    if not (own / "id_ed25519").exists():
        key = asyncssh.generate_private_key("ssh-ed25519")
        key.write_private_key(str(own / "id_ed25519"))
        key.write_public_key(str(own / "id_ed25519.pub"))
    key = asyncssh.generate_private_key("ssh-ed25519")
    key.write_private_key(str(host.home / "key"))
    (host.home / "key").chmod(0o600)
    with (own / "known_hosts").open("a") as known:
        known.write(f"{host.address} {key.export_public_key().decode()}")
    settings = {
        "ListenAddress": host.address,
        "HostKey": host.home / "key",
        "AuthorizedKeysFile": own / "id_ed25519.pub",
        "StrictModes": "no",
        "UsePAM": "no",
        "PermitRootLogin": "yes",
        "PidFile": "none",
        "SetEnv": f"PYTHONPATH={Path(fourtuple.__file__).parent.parent} XDG_STATE_HOME={host.home / 'state'}",
    }
    options = [f"-o{name}={value}" for name, value in settings.items()]
    program = host.start(str(SSH), "-D", "-e", "-f", "/dev/null", *options)
    try:
        lines_until(program.stderr, "Server listening")
        yield
    finally:
        host.lab.kill(program)
