"""What a setting is: its bounds, its marks, and what all tables of settings can do."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, NamedTuple, Self, get_args, get_type_hints

from worldmodels.base.errors import UserError, nearest

RUNTIME = {"runtime": True}
#: Names what the fingerprint has by its hash, among the stage's inputs: the name itself stays out of it.
BY_HASH = {"runtime": True}
#: Who does the work and where it is kept meanwhile: a matter of one command, which no file of the run remembers.
PLACE = {"runtime": True, "place": True}
#: Settings that older runs did not have: at their default value they stay out of the fingerprint, so that those runs go on.
ADDED = {"added": True}
#: Sizes, where 0 stands for the task's own: older runs, which did not have them as settings, had those.
OWN = {"added": True, "own": True}


def check_number(name: str, value: float, low: float, high: float) -> None:
    """Raises `UserError` for a value below ``low`` or above ``high``."""
    if not low <= value <= high:  # refuses NaN too
        raise UserError(f"{name} is {value}; it must lie between {as_written(low)} and {as_written(high)}")


def as_written(number: float) -> str:
    """Returns a number as people write it: 1,073,741,824 and 0.5 and 1e-8."""
    if number == int(number):
        return f"{int(number):,}"
    return f"{number:g}".replace("e-0", "e-")


@dataclass(frozen=True)
class Bounds:
    """Where a number must lie, both ends included."""

    low: float
    high: float
    or_zero: bool = False
    """0 is allowed too, and stands for something else."""

    def __str__(self) -> str:
        return f"{as_written(self.low)} to {as_written(self.high)}" + ", or 0" * self.or_zero

    def check(self, name: str, value: float) -> None:
        """Raises `UserError` for a value outside, NaN included."""
        if not (self.or_zero and value == 0):
            check_number(name, value, self.low, self.high)


def bounds_of(kind: type) -> dict[str, Bounds]:
    """Returns the bounds of a dataclass's fields, by name; fields without bounds are left out."""
    hints = get_type_hints(kind, include_extras=True)
    return {name: part for name, hint in hints.items() for part in get_args(hint) if isinstance(part, Bounds)}


class Setting(NamedTuple):
    """A setting of a stage, wherever it is grouped: its name in files and on the command line, its value, and its field's
    default and marks."""

    name: str
    value: Any
    default: Any
    marks: Mapping[str, Any]

    @property
    def first_name(self) -> str:
        """Its name in the fingerprint: the one that it had first, so that a renamed setting is the same one."""
        return str(self.marks.get("formerly", self.name))


@dataclass(frozen=True)
class Config:
    """Common to all stages: JSON in and out, with every key and type checked."""

    prefix: ClassVar[str] = ""
    """Begins the names of a group's settings in files and on the command line."""
    gone: ClassVar[Mapping[str, Any]] = {}
    """Settings of older runs that are none any more, with the value that today's code stands for: still in the fingerprint."""

    def settings(self) -> Iterator[Setting]:
        """Yields the settings, those of the groups in their places; what marks a group marks all that is in it."""
        for f in dataclasses.fields(self):
            value = getattr(self, f.name)
            if isinstance(value, Config):
                for inner in value.settings():
                    yield inner._replace(marks={**f.metadata, **inner.marks})
            else:
                yield Setting(self.prefix + f.name, value, f.default, f.metadata)

    def to_dict(self) -> dict[str, Any]:
        """Returns the settings as JSON-ready values, but for those that are marked ``PLACE``."""
        return {setting.name: setting.value for setting in self.settings() if not setting.marks.get("place")}

    def fingerprint_fields(self) -> dict[str, Any]:
        """Returns the settings that decide the stage's result, by their first names."""
        decisive = {
            setting.first_name: setting.value
            for setting in self.settings()
            if not setting.marks.get("runtime") and not (setting.marks.get("added") and setting.value == setting.default)
        }
        return {**decisive, **self.gone}

    @classmethod
    def kinds(cls) -> dict[str, Any]:
        """Returns the type of every setting, by its name in files."""
        found: dict[str, Any] = {}
        hints = get_type_hints(cls)
        for f in dataclasses.fields(cls):
            kind = hints[f.name]
            found |= kind.kinds() if _is_group(kind) else {cls.prefix + f.name: kind}
        return found

    @classmethod
    def _made_of(cls, values: Mapping[str, Any]) -> Self:
        """Returns the configuration, groups and all, with these settings, by their names in files."""
        hints = get_type_hints(cls)
        own: dict[str, Any] = {}
        for f in dataclasses.fields(cls):
            if _is_group(hints[f.name]):
                own[f.name] = hints[f.name]._made_of(values)
            elif cls.prefix + f.name in values:
                own[f.name] = values[cls.prefix + f.name]
        return cls(**own)

    @classmethod
    def named_today(cls, data: Mapping[str, Any], where: str) -> dict[str, Any]:
        """Returns settings of an older run by today's names, without those that have gone.

        Raises:
            UserError: one that has gone had another value than today's code stands for, or one has two values.
        """
        names = {setting.first_name: setting.name for setting in cls().settings()}
        found: dict[str, Any] = {}
        for name, value in data.items():
            if name in cls.gone:
                if value != cls.gone[name]:
                    raise UserError(
                        f"{where}: '{name}' is {value!r}, which has gone; this version goes on with {cls.gone[name]!r} alone: "
                        f"use another --run"
                    )
                continue
            today = names.get(name, name)
            if today in found:
                raise UserError(f"{where}: '{today}' is there twice; '{name}' is its older name")
            found[today] = value
        return found

    @classmethod
    def from_dict(cls, data: Any, where: str) -> Self:
        """Builds the configuration from JSON values, also an older run's; ``where`` names the source in errors.

        Raises:
            UserError: on an unknown key, a value of the wrong type or one out of range.
        """
        if not isinstance(data, dict):
            raise UserError(f"{where}: expected a table of settings, found {type(data).__name__}")
        kinds, data = cls.kinds(), cls.named_today(data, where)
        for key, value in data.items():
            if key not in kinds:
                raise UserError(f"{where}: unknown setting '{key}'{nearest(str(key), kinds)}")
            kind = kinds[key]
            allowed = get_args(kind)
            if allowed:
                good = value in allowed
            elif kind is float:
                good = isinstance(value, int | float) and not isinstance(value, bool)
            else:
                good = type(value) is kind
            if not good:
                wanted = f"one of {', '.join(map(str, allowed))}" if allowed else kind.__name__
                raise UserError(f"{where}: '{key}' is {value!r}; expected {wanted}")
        config = cls._made_of(data)
        config.validate()
        return config

    def validate(self) -> None:
        """Raises `UserError` when a value lies outside its bounds, or two values do not go together."""
        bounds = bounds_of(type(self))
        for f in dataclasses.fields(self):
            value = getattr(self, f.name)
            if isinstance(value, Config):
                value.validate()
            elif f.name in bounds and value is not None:
                bounds[f.name].check(self.prefix + f.name, value)


def _is_group(kind: Any) -> bool:
    return isinstance(kind, type) and issubclass(kind, Config)
