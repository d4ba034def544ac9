"""How a record is made: `dataclass` of the standard library, whose work waits until the record is first used.

dataclasses writes the methods of a class as text and compiles them, which takes 0.3 to 0.7 ms for a frozen class with
slots. A command imports a hundred such classes and uses a third of them. Here a class has its slots at once, and the
rest when one of the attributes in LATER is first asked for: by its first instance, at the latest.
"""

import dataclasses
import inspect
from _thread import RLock  # threading would be imported for it alone
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

# What can be asked for before there is an instance that `__init__` made: pickle and copy begin with `__setstate__`.
LATER = ("__init__", "__setstate__", "__match_args__", "__dataclass_fields__", "__dataclass_params__")
MAKING = RLock()  # one thread at a time; the making of a class asks its base


class Later:
    """An attribute that dataclasses has not made yet; it makes way for all that dataclasses makes."""

    def __init__(self, name: str, record: type, make: Callable[[], type]) -> None:
        self._name, self._record, self._make = name, record, make

    def __get__(self, instance: object, owner: type) -> Any:
        with MAKING:
            if self._record.__dict__.get(self._name) is self:
                self._finish()
        return getattr(owner if instance is None else instance, self._name)

    def _finish(self) -> None:
        made = self._make().__dict__
        for name in LATER:
            if isinstance(self._record.__dict__.get(name), Later):
                delattr(self._record, name)
        for name in made.keys() - self._record.__dict__.keys():
            setattr(self._record, name, made[name])


def _dataclass(*, slots: bool = False, **options: Any) -> Callable[[type], type]:
    """Like dataclasses.dataclass with the same arguments, for classes without ClassVar and InitVar."""

    def record_of(plain: type) -> type:
        fields = tuple(inspect.get_annotations(plain))
        members = {
            name: value for name, value in plain.__dict__.items() if name not in (*fields, "__dict__", "__weakref__")
        }
        if slots:
            members["__slots__"] = fields
        record = type(plain)(plain.__name__, plain.__bases__, members)
        record.__qualname__ = plain.__qualname__

        def make() -> type:
            plain.__doc__ = plain.__doc__ or plain.__name__  # otherwise dataclasses would write the signature there
            return dataclasses.dataclass(slots=slots, **options)(plain)

        for name in LATER:
            if name not in members:
                setattr(record, name, Later(name, record, make))
        return record

    return record_of


if TYPE_CHECKING:
    from dataclasses import dataclass as dataclass
else:
    dataclass = _dataclass
