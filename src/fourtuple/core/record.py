"""How a record is made: `dataclass` of the standard library, whose work waits until the record is first used.

dataclasses writes the methods of a class as text and compiles them, which takes 0.3 to 0.9 ms for a frozen class with
slots. A command imports a hundred such classes and uses a third of them. Here a class has its slots at once, and the
rest when one of the attributes in LATER is first asked for: by its first instance, at the latest. Then `__repr__`,
`__eq__` and `__hash__` are closures over the names of the fields, which takes half the time of text that is compiled.
"""

import dataclasses
import inspect
from collections.abc import Callable
from operator import attrgetter
from reprlib import recursive_repr
from typing import TYPE_CHECKING, Any

LATER = ("__match_args__", "__dataclass_fields__", "__dataclass_params__", "__init__")
LATER_TO_COPY = "__setstate__"  # pickle and copy make an instance without `__init__`


class Later:
    """An attribute that dataclasses has not made yet; all that it makes takes the place of these.

    make: the class as dataclasses makes it; a new one each time, as Ctrl-C can end it, and threads can meet here
    """

    def __init__(self, make: Callable[[], type]) -> None:
        self._make = make

    def __set_name__(self, record: type, name: str) -> None:
        self._record, self._name = record, name

    def __get__(self, instance: object, owner: type) -> Any:
        made, record = self._make().__dict__, self._record
        now = dict(record.__dict__)  # a copy: another thread may be setting attributes
        waiting = [name for name, value in now.items() if isinstance(value, Later)]
        for name in (*(made.keys() - now.keys()), *waiting):  # `__init__` last: there is no instance before
            setattr(record, name, made[name])
        return getattr(owner if instance is None else instance, self._name)


def _dataclass(*, frozen: bool = False, slots: bool = False, **options: Any) -> Callable[[type], type]:
    """Like dataclasses.dataclass with the same arguments, for classes without ClassVar and InitVar."""

    def record_of(plain: type) -> type:
        fields = tuple(inspect.get_annotations(plain))
        written = {name: value for name, value in plain.__dict__.items() if name not in ("__dict__", "__weakref__")}
        written["__qualname__"] = plain.__qualname__

        def make() -> type:
            copied = type(plain)(plain.__name__, plain.__bases__, written)
            copied.__doc__ = plain.__doc__ or plain.__name__  # where there is none, dataclasses writes the signature
            if options:
                return dataclasses.dataclass(frozen=frozen, slots=slots, **options)(copied)
            made: type = dataclasses.dataclass(frozen=frozen, slots=slots, repr=False, eq=False)(copied)
            return _completed(made, written)

        members: dict[str, Any] = {name: value for name, value in written.items() if name not in fields}
        if slots:
            members["__slots__"] = fields
        later = (LATER_TO_COPY, *LATER) if slots and frozen else LATER
        return type(plain)(plain.__name__, plain.__bases__, members | {name: Later(make) for name in later})

    return record_of


def _completed(made: Any, written: dict[str, Any]) -> type:
    """The class with what dataclasses makes of `repr` and `eq`, unless the class was written with its own.

    A field takes part as its `repr`, `compare` and `hash` say.
    """
    fields, params = dataclasses.fields(made), made.__dataclass_params__
    params.repr = params.eq = True
    compared = _values_of([each.name for each in fields if each.compare])
    hashed = _values_of([each.name for each in fields if (each.compare if each.hash is None else each.hash)])
    shown = [each.name for each in fields if each.repr]

    @recursive_repr()
    def show(self: Any) -> str:
        return f"{type(self).__qualname__}({', '.join(f'{name}={getattr(self, name)!r}' for name in shown)})"

    def equal(self: Any, other: object) -> Any:
        return compared(self) == compared(other) if other.__class__ is self.__class__ else NotImplemented

    def number(self: Any) -> int:
        return hash(hashed(self))

    for name, method in (("__repr__", show), ("__eq__", equal), ("__hash__", number if params.frozen else None)):
        if written.get(name) is None:
            if method:
                method.__name__, method.__qualname__ = name, f"{made.__qualname__}.{name}"
            setattr(made, name, method)
    record: type = made
    return record


def _values_of(names: list[str]) -> Callable[[Any], Any]:
    """What takes the values of these attributes from an instance, as a tuple."""
    if len(names) > 1:
        return attrgetter(*names)
    return lambda record: tuple(getattr(record, name) for name in names)


if TYPE_CHECKING:
    from dataclasses import dataclass as dataclass
else:
    dataclass = _dataclass
