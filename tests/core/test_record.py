"""Records that are made late: as dataclasses makes them, but not before they are used."""

import ast
import copy
import dataclasses
import inspect
import pickle
import sys
from collections.abc import Callable, Iterator
from dataclasses import FrozenInstanceError, field, fields, replace
from pathlib import Path
from threading import Barrier, Thread
from typing import Any, ClassVar

import msgspec
import pytest

from fourtuple.core import record
from fourtuple.core.record import LATER, LATER_TO_COPY, Later, dataclass

SOURCE = Path(record.__file__).parent.parent


@dataclass(frozen=True, slots=True, order=True)
class Pair:
    """Two numbers."""

    left: int
    right: int = 23
    names: list[str] = field(default_factory=list, compare=False)


@dataclass(frozen=True)
class Base:
    left: int

    def __post_init__(self) -> None:
        if self.left < 0:
            raise ValueError(self.left)


@dataclass(frozen=True, eq=False)
class Derived(Base):
    right: int = 23


@dataclass(slots=True)
class Tally:
    count: int = 0


def attributes(cls: type) -> dict[str, Any]:
    """What is the same in two classes that dataclasses has made of the same text."""
    facts = [(each.name, each.type, each.default, each.default_factory, each.init) for each in fields(cls)]
    members = {*cls.__dict__} - {"__dict__", "__weakref__"}
    return {
        "signature": str(inspect.signature(cls)),
        "fields": facts,
        "members": members,
        "slots": cls.__dict__.get("__slots__"),
        "match": cls.__dict__["__match_args__"],
        "hash": cls.__hash__ is None,
    }


def test_a_record_is_what_dataclasses_makes() -> None:
    """Its signature, fields, slots and methods, with and without slots, order, equality and a base."""

    class Plain:
        """Two numbers."""

        left: int
        right: int = 23
        names: list[str] = field(default_factory=list, compare=False)

    late: type = dataclass(frozen=True, slots=True, order=True)(type("Plain", (), dict(Plain.__dict__)))

    assert attributes(late) == attributes(dataclasses.dataclass(frozen=True, slots=True, order=True)(Plain))
    for options in ({}, {"frozen": True}, {"slots": True}, {"frozen": True, "eq": False}, {"kw_only": True}):
        one, other = (type("Sum", (), {"__annotations__": {"count": int}, "__doc__": ""}) for _ in range(2))
        assert attributes(dataclass(**options)(one)) == attributes(dataclasses.dataclass(**options)(other))


def test_nothing_is_made_before_a_record_is_used() -> None:
    @dataclass(frozen=True, slots=True)
    class Unused:
        left: int

    assert all(isinstance(Unused.__dict__[name], Later) for name in (*LATER, LATER_TO_COPY))

    Unused(1)

    assert not any(isinstance(value, Later) for value in Unused.__dict__.values())


def test_a_record_behaves_like_one() -> None:
    one = Pair(1)

    assert repr(one) == "Pair(left=1, right=23, names=[])"
    assert one == Pair(1, 23, ["x"])
    assert hash(one) == hash(Pair(1))
    assert one < Pair(2)
    assert replace(one, left=3) == Pair(3)
    assert not hasattr(one, "__dict__")
    with pytest.raises(FrozenInstanceError):
        one.left = 2  # type: ignore[misc]
    with pytest.raises(TypeError, match="missing 1 required positional argument: 'left'"):
        Pair()  # type: ignore[call-arg]


@dataclass(frozen=True, slots=True)
class Own:
    """It has an equality of its own, and a hash that fits it; one field takes no part in its text."""

    left: int
    right: int = field(default=23, repr=False)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Own) and self.left == other.left

    def __hash__(self) -> int:
        return self.left


@dataclass(frozen=True, slots=True)
class Empty:
    pass


@dataclass(frozen=True, slots=True)
class Holding:
    names: list[object]
    note: str = field(default="", compare=False)


def test_a_record_keeps_the_methods_that_are_written_for_it() -> None:
    assert (Own(1, 2) == Own(1, 3), hash(Own(1)), repr(Own(1))) == (True, 1, "Own(left=1)")


def test_records_compare_hash_and_show_as_those_of_dataclasses() -> None:
    """None, one and several fields; those that take no part; other classes; a record within itself."""
    inner = Holding([])
    inner.names.append(inner)

    assert (Empty() == Empty(), hash(Empty()), repr(Empty())) == (True, hash(()), "Empty()")
    assert Sent(1) != Decoded(1)  # type: ignore[comparison-overlap]
    assert Sent(1).__eq__(1) is NotImplemented
    assert hash(Sent(1)) == hash((1, 23))
    assert Holding([1], "a") == Holding([1], "b") != Holding([2], "a")
    assert repr(inner) == "Holding(names=[...], note='')"
    with pytest.raises(TypeError, match="unhashable"):
        hash(Holding([]))


def test_a_record_may_extend_another() -> None:
    assert repr(Derived(1)) == "Derived(left=1, right=23)"
    assert replace(Derived(1), left=2) == Derived(2)
    with pytest.raises(ValueError, match="-1"):
        Derived(-1)


def test_a_record_that_is_not_frozen_can_be_changed() -> None:
    tally = Tally()
    tally.count += 1

    assert tally == Tally(1)
    with pytest.raises(TypeError, match="unhashable"):
        hash(tally)


@dataclass(frozen=True, slots=True)
class Sent:
    left: int
    right: int = 23


@dataclass(frozen=True, slots=True)
class Decoded:
    left: int
    right: int = 23


def test_a_record_survives_what_does_not_call_its_initializer() -> None:
    """pickle, copy and msgspec make the first instance without it."""
    assert pickle.loads(pickle.dumps(Sent(1))) == Sent(1) == copy.deepcopy(Sent(1))  # noqa: S301  (our own)
    assert msgspec.json.decode(b'{"left":1}', type=Decoded) == Decoded(1, 23)
    assert msgspec.json.encode(Decoded(1)) == b'{"left":1,"right":23}'


def test_the_first_to_unpickle_a_record_can_be_a_process_that_never_made_one() -> None:
    @dataclass(frozen=True, slots=True)
    class Received:
        left: int

    new = Received.__new__(Received)
    new.__setstate__([5])  # type: ignore[attr-defined]

    assert new == Received(5)


class Watched(type):
    """A class that notes, after each change of it, which attributes it has."""

    states: ClassVar[list[tuple[type, dict[str, Any]]]] = []

    def __setattr__(cls, name: str, value: Any) -> None:
        super().__setattr__(name, value)
        Watched.states.append((cls, dict(cls.__dict__)))

    def __delattr__(cls, name: str) -> None:
        super().__delattr__(name)
        Watched.states.append((cls, dict(cls.__dict__)))


def test_a_record_is_whole_before_another_thread_can_make_one() -> None:
    """While it is made, `__init__` still waits for it."""

    @dataclass(frozen=True)
    class Observed(metaclass=Watched):
        left: int

    Observed(1)

    states = [state for cls, state in Watched.states if cls is Observed]
    made = {"__eq__", "__hash__", "__repr__", "__setattr__", "__delattr__"}
    assert made < states[-1].keys()
    assert all(isinstance(state["__init__"], Later) for state in states if not made <= state.keys())


@pytest.fixture
def quick_switches() -> Iterator[None]:
    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    yield
    sys.setswitchinterval(before)


@pytest.mark.usefixtures("quick_switches")
def test_threads_may_use_a_record_first_together() -> None:
    """Each gets a whole one, however they meet."""
    for _ in range(50):
        ready = Barrier(4)

        @dataclass(frozen=True, slots=True)
        class Shared:
            left: int

        made: list[Any] = []

        def make(ready: Barrier = ready, made: list[Any] = made, cls: Callable[[int], Any] = Shared) -> None:
            ready.wait()
            made.append(cls(1))

        threads = [Thread(target=make) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()

        assert made == [Shared(1)] * 4


@pytest.mark.parametrize("file", sorted(SOURCE.rglob("*.py")), ids=lambda file: str(file.relative_to(SOURCE)))
def test_every_record_of_the_product_is_made_so(file: Path) -> None:
    """None pays dataclasses at import; and none has ClassVar or InitVar, which core/record.py takes for fields."""
    nodes = list(ast.walk(ast.parse(file.read_text())))
    names = {name.name for node in nodes if isinstance(node, ast.ImportFrom) for name in node.names}
    homes = [
        node.module
        for node in nodes
        if isinstance(node, ast.ImportFrom) and "dataclass" in {name.name for name in node.names}
    ]

    assert "make_dataclass" not in names
    assert homes == [] or file.name == "record.py" or homes == ["fourtuple.core.record"]
    if homes:
        assert not names & {"ClassVar", "InitVar", "KW_ONLY"}
