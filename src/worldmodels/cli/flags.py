"""How a dataclass becomes flags: bounds beside the defaults, a group's prefix before its names."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Annotated, Any

import tyro
from tyro.constructors import ConstructorRegistry, StructConstructorSpec, StructTypeInfo

from worldmodels.config import Bounds, Config, bounds_of

FLAGS = ConstructorRegistry()
#: Marks a dataclass whose flags tyro makes by itself, for `_with_bounds` to complete.
PLAIN = object()


@FLAGS.struct_rule
def _with_bounds(info: StructTypeInfo) -> StructConstructorSpec | None:
    """Says beside the default of a number where it must lie, begins a group's flags with the group's prefix, and calls a flag
    what its field's mark says, where that is no name of Python's."""
    kind = info.type
    if PLAIN in info.markers or not (isinstance(kind, type) and dataclasses.is_dataclass(kind)):
        return None
    plain = ConstructorRegistry.get_struct_spec(dataclasses.replace(info, markers=(*info.markers, PLAIN)))
    assert isinstance(plain, StructConstructorSpec)
    bounds, prefix = bounds_of(kind), kind.prefix if issubclass(kind, Config) else ""
    called = {field.name: field.metadata["flag"] for field in dataclasses.fields(kind) if "flag" in field.metadata}
    fields = []
    for field in plain.fields:
        name = prefix + field.name if prefix else called.get(field.name)
        hint = _default_and(bounds[field.name]) if field.name in bounds else None
        flag: Any = Annotated[field.type, tyro.conf.arg(name=name, help_behavior_hint=hint)]
        fields.append(dataclasses.replace(field, type=flag) if name or hint else field)
    return dataclasses.replace(plain, fields=tuple(fields))


def _default_and(bounds: Bounds) -> Callable[[str], str]:
    return lambda default: f"(default: {default}; {bounds})"
