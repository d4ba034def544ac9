"""The rooms and the direction of their arrows, read from the imports."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

SOURCE = Path(__file__).parent.parent / "src" / "fourtuple"

# room → the rooms of ours that it may import
ARROWS = {
    "core": {"core"},
    "kernel": {"core", "kernel"},
    "engine": {"core", "kernel", "engine"},
    "store": {"core", "store"},
    "verbs": {"core", "kernel", "engine", "store", "verbs"},
    "lessons": {"core", "verbs", "lessons"},
    "fleet": {"core", "kernel", "engine", "store", "verbs", "fleet"},
    "faces": {"core", "faces"},
    "client": {"core", "kernel", "verbs", "client"},
    "adapters": {"core", "client", "adapters"},
    "pytest_plugin": {"verbs"},
    "cli": {"core", "verbs", "faces", "lessons", "fleet", "cli"},
}
# What every wing of core may import: how a record is made, and what Python 3.10 lacks.
BASIS = {"backports", "record"}
# room → wing (a folder, or a file of the room itself) → the wings of the same room that it may import, besides BASIS
WINGS = {
    "core": {
        "backports": set(),
        "record": set(),
        "errors": set(),
        "numbers": set(),
        "decoding": set(),
        "counters": set(),
        "errnos": {"errors"},
        "topology": set(),
        "visible": set(),
        "late": set(),
        "nearest": set(),
        "units": {"errors"},
        "space": {"errors", "numbers"},
        "sockets": {"errors", "space", "units"},
        "limits": {"counters", "errnos", "errors", "numbers", "sockets", "space", "units"},
        "plan": {"errors", "late", "limits", "numbers", "sockets", "space", "units"},
        "census": {"counters", "errors", "limits", "sockets", "space", "units"},
        "check": {"errors", "limits", "sockets", "space", "units"},
        "talk": {"errors", "nearest", "numbers", "space", "units", "visible"},
        "runs": {"counters", "errnos", "errors", "limits", "nearest", "sockets", "space", "talk", "units"},
        "fleet": {"errors", "limits", "plan", "runs", "space", "talk", "units"},
        "snapshot": {
            "census",
            "counters",
            "decoding",
            "errors",
            "late",
            "limits",
            "numbers",
            "plan",
            "sockets",
            "space",
            "units",
        },
        "doctor": {
            "census",
            "counters",
            "errors",
            "late",
            "limits",
            "numbers",
            "snapshot",
            "sockets",
            "space",
            "units",
        },
        "why": {
            "census",
            "counters",
            "nearest",
            "numbers",
            "snapshot",
            "errnos",
            "errors",
            "late",
            "limits",
            "sockets",
            "space",
            "units",
        },
    },
    "kernel": {
        "syscalls": set(),
        "begin": set(),
        "again": set(),
        "children": {"syscalls"},
        "process": set(),
        "sockopts": set(),
        "proc": {"process", "syscalls"},
        "runtimes": {"proc"},
        "services": {"proc"},
        "netlink": {"proc"},
        "netns": {"again", "children", "proc", "syscalls"},
        "holder": {"begin", "children", "netns", "syscalls"},
        "private": set(),
        "trials": {"children", "netlink", "netns", "proc", "sockopts"},
        "probes": {"private", "proc", "trials"},
        "uring": {"sockopts"},
        "canary": {"proc", "sockopts"},
        "tap": set(),
        "addresses": {"netlink"},
        "host": {"addresses", "canary", "netlink", "probes", "proc", "services"},
        "visit": {"netlink", "netns", "proc", "syscalls"},
    },
    "engine": {
        "states": set(),
        "control": set(),
        "protocols": set(),
        "loops": {"states"},
        "crews": {"control"},
        "dialogues": {"loops", "protocols", "states"},
        "workloads": {"control", "dialogues", "loops", "protocols", "states"},
    },
}
IMPURE = {"os", "socket", "time", "subprocess", "select", "mmap", "signal", "pathlib", "resource", "fcntl", "shutil"}
PRINTERS = {"cli", "faces"}
KERNELS_FILES = ("/proc", "/sys")


def room_of(file: Path) -> str:
    first = file.relative_to(SOURCE).parts[0]
    return first.removesuffix(".py")


def files() -> list[Path]:
    return sorted(file for file in SOURCE.rglob("*.py") if room_of(file) in ARROWS)


def imports(file: Path) -> set[str]:
    """Every module that the file imports, wherever in it, in full."""
    found: set[str] = set()
    for node in ast.walk(ast.parse(file.read_text())):
        if isinstance(node, ast.Import):
            found |= {name.name for name in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            found |= {f"{node.module}.{name.name}" for name in node.names}
    return found


def calls(file: Path) -> set[str]:
    """The names that are called as plain functions."""
    nodes = ast.walk(ast.parse(file.read_text()))
    return {node.func.id for node in nodes if isinstance(node, ast.Call) and isinstance(node.func, ast.Name)}


@pytest.mark.parametrize("file", files(), ids=lambda file: str(file.relative_to(SOURCE)))
def test_arrows_point_one_way(file: Path) -> None:
    """Each room imports only what stands to the right of it in the architecture."""
    ours = {name.split(".")[1] for name in imports(file) if name.startswith("fourtuple.")} - {"__version__"}

    assert ours <= ARROWS[room_of(file)]


def wing_of(file: Path) -> str:
    """The folder of the room, or the file that stands in the room itself."""
    return file.relative_to(SOURCE).parts[1].removesuffix(".py")


@pytest.mark.parametrize(
    "file",
    [file for file in files() if room_of(file) in WINGS and file.name != "__init__.py"],
    ids=lambda file: str(file.relative_to(SOURCE)),
)
def test_wings_stand_in_one_order(file: Path) -> None:
    """Within a room, too, arrows point one way: a wing imports only the wings that stand below it."""
    room, wings = room_of(file), WINGS[room_of(file)]
    ours = {name.split(".")[2] for name in imports(file) if name.startswith(f"fourtuple.{room}.")}

    assert ours - {wing_of(file)} - (BASIS if room == "core" else set()) <= wings[wing_of(file)]


@pytest.mark.parametrize("room", WINGS)
def test_the_wings_have_no_circle(room: str) -> None:
    """Each wing can be placed above all the wings that it imports."""
    left, placed = dict(WINGS[room]), set[str]()
    while ready := {wing for wing, below in left.items() if below <= placed}:
        placed |= ready
        left = {wing: below for wing, below in left.items() if wing not in ready}

    assert left == {}


@pytest.mark.parametrize(
    "file", sorted((SOURCE / "core").rglob("*.py")), ids=lambda file: str(file.relative_to(SOURCE))
)
def test_the_core_touches_nothing(file: Path) -> None:
    """No I/O modules, no open(), no print()."""

    assert not {name.split(".")[0] for name in imports(file)} & IMPURE
    assert not calls(file) & {"open", "print", "input"}


@pytest.mark.parametrize("file", files(), ids=lambda file: str(file.relative_to(SOURCE)))
def test_only_the_command_and_its_faces_print(file: Path) -> None:
    """Programs of their own, which speak to the process that started them, aside."""
    if room_of(file) in PRINTERS or '__name__ == "__main__"' in file.read_text():
        return

    assert "print" not in calls(file)


def kernel_paths(code: str) -> set[str]:
    """The paths of the kernel's files that are handed to a call: open("/proc/stat"), Path(f"/sys/{name}").exists() …"""
    calls = (node for node in ast.walk(ast.parse(code)) if isinstance(node, ast.Call))
    texts = (each.values[0] if isinstance(each, ast.JoinedStr) else each for call in calls for each in call.args)
    values = (text.value for text in texts if isinstance(text, ast.Constant) and isinstance(text.value, str))
    return {value for value in values if value.startswith(KERNELS_FILES)}


@pytest.mark.parametrize(
    "file",
    [file for file in files() if room_of(file) != "kernel"],
    ids=lambda file: str(file.relative_to(SOURCE)),
)
def test_only_the_kernel_room_opens_the_kernels_files(file: Path) -> None:
    """By their names, or by the root that the kernel room's readers begin at."""

    assert not kernel_paths(file.read_text())
    assert "fourtuple.kernel.proc.files" not in {name.rpartition(".")[0] for name in imports(file)}
    assert not {name for name in imports(file) if name.endswith(".PROC")}


def test_a_path_of_the_kernel_is_found_wherever_it_is_handed_over() -> None:
    code = (
        'open("/proc/stat"); Path(f"/sys/{x}/y").read_text(); os.listdir("/proc"); f("/tmp"); "/proc/x"; g(a=["/sys"])'
    )

    assert kernel_paths(code) == {"/proc/stat", "/sys/", "/proc"}


def test_the_package_itself_imports_nothing_of_its_own() -> None:
    code = "import sys, fourtuple; print(sorted(m for m in sys.modules if m.startswith(('fourtuple.', 'numpy'))))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)

    assert done.stdout.strip() == "[]"


def test_every_public_name_is_where_it_is_said_to_be() -> None:
    import fourtuple

    assert all(getattr(fourtuple, name).__name__ == name for name in fourtuple.__all__)
    assert sorted(fourtuple._HOME) == sorted(fourtuple.__all__)


def test_the_public_names_are_loaded_from_where_a_type_checker_sees_them() -> None:
    """The same names in the imports below TYPE_CHECKING, of the same modules, as those that are loaded on first use."""
    import fourtuple

    tree = ast.parse(Path(fourtuple.__file__).read_text())
    imports = [node for node in ast.walk(tree) if isinstance(node, ast.ImportFrom) and node.module != "importlib"]
    assert {name.name: node.module for node in imports for name in node.names} == fourtuple._HOME


def test_one_module_prints() -> None:
    """It makes the text of others visible; also the parts of the live screens are made there (faces/printer.py)."""
    attributes = {"echo", "secho", "print"}

    def prints(file: Path) -> bool:
        nodes = [node for node in ast.walk(ast.parse(file.read_text())) if isinstance(node, ast.Call)]
        named = {node.func.attr for node in nodes if isinstance(node.func, ast.Attribute)}
        return bool(calls(file) & {"print", "Text"} or named & attributes)

    printers = [file for file in files() if room_of(file) in PRINTERS and prints(file)]
    assert [str(file.relative_to(SOURCE)) for file in printers] == ["faces/printer.py"]
