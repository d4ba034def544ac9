"""A name says one thing: no two classes of the product share one."""

import ast
from collections import defaultdict
from pathlib import Path

SOURCE = Path(__file__).parent.parent / "src" / "fourtuple"
# Subclasses that carry the name of the class of redis-py that they stand in for: redis.X and redis.asyncio.X.
STAND_INS = {"Connection", "SSLConnection"}


def classes() -> dict[str, list[str]]:
    """The name of each class, wherever in a file → the files, from the top of the product."""
    found = defaultdict(list)
    for file in sorted(SOURCE.rglob("*.py")):
        for node in ast.walk(ast.parse(file.read_text())):
            if isinstance(node, ast.ClassDef):
                found[node.name].append(str(file.relative_to(SOURCE)))
    return dict(found)


def shared() -> dict[str, list[str]]:
    return {name: files for name, files in classes().items() if len(files) > 1}


def test_the_classes_are_found() -> None:
    assert classes()["Extent"] == ["core/errnos.py"]
    assert classes()["WebServer"] == ["faces/serving.py"]


def test_no_class_shares_its_name() -> None:
    assert shared().keys() - STAND_INS == set()
