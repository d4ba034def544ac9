"""The recipes for containers in contrib/: what they run is a command of this version, and what they copy is there."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from fourtuple.cli import cli

CONTRIB = Path(__file__).parents[1] / "contrib"
MANIFESTS = sorted((CONTRIB / "kubernetes").glob("*.yaml"))


def arguments(value: Any) -> Iterator[list[str]]:
    """Yield what the containers of a manifest give the command."""
    if isinstance(value, dict):
        if str(value.get("image", "")).startswith("fourtuple:"):
            yield [re.sub(r"\$\(\w+\)", "127.0.0.1", each) for each in value["args"]]
        for each in value.values():
            yield from arguments(each)
    elif isinstance(value, list):
        for each in value:
            yield from arguments(each)


@pytest.mark.parametrize(
    "manifest", [each for each in MANIFESTS if each.name != "debug.yaml"], ids=lambda each: each.name
)
def test_manifests_run_commands_of_this_version(manifest: Path) -> None:
    found = list(arguments(list(yaml.safe_load_all(manifest.read_text()))))
    assert found
    for each in found:
        group = cli.make_context("fourtuple", each[:1])
        name, command, _ = cli.resolve_command(group, each[:1])
        assert command is not None
        command.make_context(name, each[1:], parent=group)


def test_a_debug_container_gets_settings_of_a_container() -> None:
    assert set(yaml.safe_load((CONTRIB / "kubernetes" / "debug.yaml").read_text())) == {"securityContext", "env"}


def test_the_container_is_made_of_what_is_there() -> None:
    recipe = (CONTRIB / "container" / "Containerfile").read_text()
    sources = [name for line in re.findall(r"^COPY (?!--)(.*)", recipe, re.MULTILINE) for name in line.split()[:-1]]
    assert {"pyproject.toml", "src"} <= set(sources)
    assert all((CONTRIB.parent / name).exists() for name in sources)
