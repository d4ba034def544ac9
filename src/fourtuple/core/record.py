"""How a record is made: `dataclass` of the standard library, whose work waits until the record is first used.

dataclasses writes each method of a class as text and compiles it, which takes 0.3 to 0.9 ms for a frozen class with
slots. A command imports a hundred such classes and uses a third of them. Here a class has its slots at once, and the
rest when one of the attributes in LATER is first asked for: by its first instance, at the latest. Then only `__init__`
is compiled; the other methods are closures over the names of the fields.
"""

import dataclasses
import inspect
from collections.abc import Callable, Sequence
from operator import attrgetter
from reprlib import recursive_repr
from typing import TYPE_CHECKING, Any

LATER = ("__match_args__", "__dataclass_fields__", "__dataclass_params__", "__init__")
LATER_TO_COPY = "__setstate__"  # pickle and copy make an instance without `__init__`
Fields = Sequence["dataclasses.Field[Any]"]
Methods = dict[str, Callable[..., Any]]


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
            if options or not _is_usual(written, plain.__bases__):
                return dataclasses.dataclass(frozen=frozen, slots=slots, **options)(copied)
            made: type = dataclasses.dataclass(slots=slots, init=False, repr=False, eq=False)(copied)
            return _completed(made, written, frozen=frozen, slots=slots)

        members: dict[str, Any] = {name: value for name, value in written.items() if name not in fields}
        if slots:
            members["__slots__"] = fields
        later = (LATER_TO_COPY, *LATER) if slots and frozen else LATER
        return type(plain)(plain.__name__, plain.__bases__, members | {name: Later(make) for name in later})

    return record_of


def _is_usual(written: dict[str, Any], bases: tuple[type, ...]) -> bool:
    """Whether it extends no other record, and each field is an argument of `__init__`, by its place or its name."""
    fields = [value for value in written.values() if isinstance(value, dataclasses.Field)]
    return not any(map(dataclasses.is_dataclass, bases)) and all(
        each.init and each.kw_only is not True for each in fields
    )


def _completed(made: Any, written: dict[str, Any], *, frozen: bool, slots: bool) -> type:
    """The class with the methods that dataclasses would make, except those that are written for it."""
    fields, params = dataclasses.fields(made), made.__dataclass_params__
    params.init, params.repr, params.eq, params.frozen = True, True, True, frozen
    methods = {"__init__": _initializer(made, fields, frozen=frozen), **_compared_and_shown(fields)}
    if frozen:
        methods |= _frozen(frozenset(field.name for field in fields))
    if frozen and slots:
        methods |= _copied(tuple(field.name for field in fields))
    for name, method in methods.items():
        if written.get(name) is None:
            method.__name__, method.__qualname__ = name, f"{made.__qualname__}.{name}"
            setattr(made, name, method)
    if not frozen:
        made.__hash__ = written.get("__hash__")
    record: type = made
    return record


class _Factory:
    """The default of an argument whose value is made for each instance."""

    def __repr__(self) -> str:
        return "<factory>"


_FACTORY = _Factory()


def _initializer(made: Any, fields: Fields, *, frozen: bool) -> Callable[..., None]:
    """`__init__`, the one method that is compiled: it is called often, and its arguments have the fields' names."""
    scope: dict[str, Any] = {"_set": object.__setattr__, "_factory": _FACTORY}
    arguments, lines = ["self"], []
    for field in fields:
        name, value = field.name, field.name
        if field.default is not dataclasses.MISSING:
            scope[f"_default_{name}"] = field.default
            arguments.append(f"{name}=_default_{name}")
        elif field.default_factory is not dataclasses.MISSING:
            scope[f"_make_{name}"] = field.default_factory
            arguments.append(f"{name}=_factory")
            value = f"_make_{name}() if {name} is _factory else {name}"
        else:
            arguments.append(name)
        lines.append(f" _set(self, {name!r}, {value})" if frozen else f" self.{name} = {value}")
    if hasattr(made, "__post_init__"):
        lines.append(" self.__post_init__()")
    exec(f"def __init__({', '.join(arguments)}):\n" + "\n".join(lines or [" pass"]), scope)  # noqa: S102  (as dataclasses)
    method: Callable[..., None] = scope["__init__"]
    method.__annotations__ = {field.name: field.type for field in fields} | {"return": None}
    return method


def _compared_and_shown(fields: Fields) -> Methods:
    """A field takes part as its `compare`, `hash` and `repr` say."""
    compared = _values_of([each.name for each in fields if each.compare])
    hashed = _values_of([each.name for each in fields if (each.compare if each.hash is None else each.hash)])
    shown = [each.name for each in fields if each.repr]

    def equal(self: Any, other: object) -> Any:
        return compared(self) == compared(other) if other.__class__ is self.__class__ else NotImplemented

    def number(self: Any) -> int:
        return hash(hashed(self))

    @recursive_repr()
    def show(self: Any) -> str:
        return f"{type(self).__qualname__}({', '.join(f'{name}={getattr(self, name)!r}' for name in shown)})"

    return {"__eq__": equal, "__hash__": number, "__repr__": show}


def _frozen(names: frozenset[str]) -> Methods:
    """What refuses a change. A class that extends the record, and is none itself, may have further attributes."""

    def refuse(self: Any, name: str, verb: str) -> None:
        if name in names or "__dataclass_fields__" in type(self).__dict__:
            raise dataclasses.FrozenInstanceError(f"cannot {verb} field {name!r}")

    def change(self: Any, name: str, value: Any) -> None:
        refuse(self, name, "assign to")
        object.__setattr__(self, name, value)

    def delete(self: Any, name: str) -> None:
        refuse(self, name, "delete")
        object.__delattr__(self, name)

    return {"__setattr__": change, "__delattr__": delete}


def _copied(names: tuple[str, ...]) -> Methods:
    """What pickle and copy need where the fields are slots that cannot be assigned."""

    def state(self: Any) -> list[Any]:
        return [getattr(self, name) for name in names]

    def restore(self: Any, values: Sequence[Any]) -> None:
        for name, value in zip(names, values, strict=True):
            object.__setattr__(self, name, value)

    return {"__getstate__": state, "__setstate__": restore}


def _values_of(names: list[str]) -> Callable[[Any], Any]:
    """What takes the values of these attributes from an instance, as a tuple."""
    if len(names) > 1:
        return attrgetter(*names)
    return lambda record: tuple(getattr(record, name) for name in names)


if TYPE_CHECKING:
    from dataclasses import dataclass as dataclass
else:
    dataclass = _dataclass
