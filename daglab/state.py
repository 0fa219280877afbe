"""What a notebook keeps across restarts of its kernel: values under names, with a version, migrations and a check.

Two kernels may use one state at once: each look reads the file, and a change reads and writes it in one go.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from daglab import errors, json_values, state_files

Values = dict[str, Any]
Step = Callable[[Values], Values | None]  # gives back new values, or changes those that it got
Check = Callable[[Values], object]  # raises, or gives back False or a text, for values that are not valid


@dataclass(frozen=True)
class State:
    """The state of a notebook, as `manage` makes it.

    All values handed out are copies. Reading and writing raise `DaglabError`: `NotGood` for a state that can't be read,
    migrated or is not valid, `InvalidInput` for values that are not JSON or not valid and for a version that does not
    fit, `Taken` when another kernel's change takes too long. What could not be changed is as it was.
    """

    path: Path
    notebook: str
    version: int = 1
    migrations: Mapping[int, Step] = field(default_factory=dict)
    validate: Check | None = None
    defaults: Mapping[str, Any] = field(default_factory=dict)

    @property
    def values(self) -> Values:
        """What is stored, in this version, over the defaults."""
        return self._checked(state_files.read(self.path).now)

    @property
    def recovered(self) -> str | None:
        """What has happened, when the file can't be read and the version before it has to do; None when all is well."""
        return state_files.read(self.path).recovered

    def get(self, name: str, default: Any = None) -> Any:
        """The value of this name, else `default`."""
        return self.values.get(name, default)

    def __getitem__(self, name: str) -> Any:
        return self.values[name]

    def __contains__(self, name: object) -> bool:
        return name in self.values

    def __iter__(self) -> Iterator[str]:
        return iter(self.values)

    def set(self, name: str, value: Any) -> None:
        """Store one value."""
        self.update({name: value})

    def update(self, values: Mapping[str, Any] | None = None, /, **more: Any) -> None:
        """Store some values; the others stay."""
        self._change(lambda stored: {**stored, **(values or {}), **more})

    def delete(self, name: str) -> None:
        """Forget a value, if it is there; one that has a default goes back to that."""
        self._change(lambda stored: {key: value for key, value in stored.items() if key != name})

    def change(self, function: Step) -> Values:
        """Store what `function` makes of the values, and give that back; no other kernel writes in between.

        It gets a copy, and gives back new values or changes those. It should be quick: others wait for it.
        """
        return self._change(lambda stored: _made(function, self._over_defaults(stored)))

    def history(self) -> list[state_files.Revision]:
        """The values in force and the earlier ones, newest first, each as it was stored."""
        stored = state_files.read(self.path)
        return [stored.now, *stored.earlier] if stored.now.revision else []

    def rollback(self, revision: int | None = None) -> Values:
        """Bring back the values of an earlier revision (default: the one before) as a new one, and give them back."""
        stored, _ = state_files.rollback(self.path, self.notebook, revision, self._checked)
        return self._checked(stored.now)

    def reset(self) -> None:
        """Go back to the defaults, as a new revision; a state that can't be read is put aside."""
        state_files.reset(self.path, self.notebook, self.version)

    def _change(self, make: Step) -> Values:
        def made(stored: state_files.Stored) -> state_files.Draft:
            values = json_values.checked(make(json_values.copied(self._migrated(stored.now))), "values")
            if said := self._refused(self._over_defaults(values)):
                raise errors.InvalidInput(
                    f"The state of {self.notebook} would not be valid: {said}.", "Nothing was changed: mend the values."
                )
            # A cell that runs again stores the same again; that is no reason for a revision.
            same = self.version == stored.now.version and json_values.text(values) == json_values.text(
                stored.now.values
            )
            return None if same and not stored.recovered else (self.version, values)

        return self._over_defaults(json_values.copied(state_files.change(self.path, self.notebook, made).now.values))

    def _over_defaults(self, values: Values) -> Values:
        return {**json_values.copied(self.defaults), **values}

    def _checked(self, stored: state_files.Revision) -> Values:
        """The values of a revision in this version, over the defaults."""
        values = self._over_defaults(self._migrated(stored))
        if said := self._refused(values):
            raise errors.NotGood(
                f"The state of {self.notebook} in revision {stored.revision} is not valid: {said}.", self._way_back
            )
        return values

    def _migrated(self, stored: state_files.Revision) -> Values:
        """The values of a revision in this version: its own where it has that, or where there are none."""
        values = stored.values
        if values and stored.version > self.version:
            raise errors.InvalidInput(
                f"The state of {self.notebook} has version {stored.version}, and the notebook knows {self.version}.",
                f"Use the newer notebook, or go back: daglab state history {self.notebook}",
            )
        if not values or stored.version == self.version:
            return values
        values = json_values.copied(values)  # a migration may change what it gets
        for version in range(stored.version, self.version):
            values = self._migrate(values, version)
        return values

    def _migrate(self, values: Values, version: int) -> Values:
        step = f"from version {version} to {version + 1}"
        if version not in self.migrations:
            raise errors.InvalidInput(
                f"The state of {self.notebook} needs a migration {step}.",
                f"Give one: migrations={{{version}: function}}; it gets the values and gives back new ones.",
            )
        try:
            return json_values.checked(_made(self.migrations[version], values), "values")
        except Exception as error:  # whatever the notebook's own function raises
            raise errors.NotGood(
                f"The migration of the state of {self.notebook} {step} failed: {_said(error)}.",
                f"Nothing was changed: mend the migration. {self._way_back}",
            ) from error

    def _refused(self, values: Values) -> str | None:
        """Why values are not valid; None when they are."""
        if self.validate is None:
            return None
        try:
            answer = self.validate(json_values.copied(values))
        except Exception as error:  # whatever it is: the check has not passed
            return _said(error)
        if isinstance(answer, str) and answer:
            return answer.rstrip(".")
        return "the check says no" if answer is False else None

    @property
    def _way_back(self) -> str:
        return f"Or `daglab state rollback {self.notebook}`, or `daglab state reset {self.notebook}`."


def manage(
    root: Path,
    notebook: str | Path,
    *,
    defaults: Mapping[str, Any] | None = None,
    version: int = 1,
    migrations: Mapping[int, Step] | None = None,
    validate: Check | None = None,
) -> State:
    """The state of a notebook in the project at `root`; nothing is written before something is stored.

    `notebook` is its path, from `root` when it is relative. `defaults` stand for what was never stored. When the stored
    values are of an older version, `migrations[n]` makes those of version n + 1 of those of n; they are written with
    the next change, so that looking changes nothing. `validate` raises, or gives back False or a text, for values that
    are not valid. Raises `InvalidInput` for defaults that are not JSON, and for a version below 1.
    """
    if type(version) is not int or version < 1:
        raise errors.InvalidInput(f"{version!r} is no version of a state.", "Count from 1: version=1.")
    path, name = state_files.place(root, notebook)
    own = json_values.copied(json_values.checked(dict(defaults or {}), "defaults"))
    return State(path, name, version, dict(migrations or {}), validate, own)


def _made(function: Step, values: Values) -> Values:
    made = function(values)
    return values if made is None else made


def _said(error: Exception) -> str:
    """An exception in a person's words."""
    if isinstance(error, errors.DaglabError):
        return error.message.rstrip(".")
    return f"{type(error).__name__}: {error}".rstrip(": .")
