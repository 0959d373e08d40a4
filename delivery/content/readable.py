"""What a message's text may read, as values that name what is missing. Pure.

A value that is missing or null is an error that names it wherever it is used, so that nobody is ever greeted as "None".
"""

from collections.abc import Collection, Iterable, Iterator, Mapping
from typing import Any

from jinja2 import StrictUndefined

from experiments.errors import Invalid, Unavailable


class ContentUnavailable(Unavailable):
    """A content source without a fallback did not answer; the message can be made later."""

    def __init__(self, source: str) -> None:
        super().__init__(f"the content source {source!r} does not answer")
        self.source = source


class _Missing(StrictUndefined):
    """A value that is not there: an error wherever it is used, but `{% if user.first_name %}` may ask for it.

    What is read of it is missing as well, so that `{{ events.Signup.plan | default("-") }}` need not ask twice.
    """

    __slots__ = ()

    def __getattr__(self, name: str) -> "_Missing":
        if name.startswith("__"):
            raise AttributeError(name)
        return self

    def __getitem__(self, _name: Any) -> "_Missing":  # type: ignore[override]  # there it is an error
        return self

    def __bool__(self) -> bool:  # type: ignore[override]  # there it is an error too
        return False


class Fields:
    """A record that a template can read by attribute or item, and that names what is missing.

    Not a dict, because `{{ user.items }}` must be the attribute "items" and not a method of dict.
    """

    __slots__ = ("_path", "_values")

    def __init__(self, values: Mapping[str, Any], *, path: str) -> None:
        self._values = values
        self._path = path

    def __getitem__(self, name: str) -> Any:
        return _readable(self._values.get(name), f"{self._path}.{name}")

    def __iter__(self) -> Iterator[str]:
        raise Invalid(f"{self._path} is a record; name one of its fields")

    def __str__(self) -> str:
        raise Invalid(f"{self._path} is a record; name one of its fields")


class Content(Fields):
    """What content sources said; reading one that does not answer puts the whole message off."""

    __slots__ = ("_unavailable",)

    def __init__(self, values: Mapping[str, Any], *, path: str, unavailable: Collection[str]) -> None:
        super().__init__(values, path=path)
        self._unavailable = unavailable

    def __getitem__(self, name: str) -> Any:
        if name in self._unavailable:
            raise ContentUnavailable(name)
        return super().__getitem__(name)


class Items(list[Any]):
    """A list that a template can read, and that names what is missing."""

    __slots__ = ("_path",)

    def __init__(self, values: Iterable[Any], *, path: str) -> None:
        super().__init__(_readable(value, f"{path}[{index}]") for index, value in enumerate(values))
        self._path = path

    def __getitem__(self, index: Any) -> Any:
        if isinstance(index, int) and not -len(self) <= index < len(self):
            return _Missing(hint=f"{self._path}[{index}] is missing")
        return super().__getitem__(index)

    def __str__(self) -> str:
        if any(isinstance(value, Fields) for value in self):
            raise Invalid(f"{self._path} is a list of records; name one of them and its field")
        return super().__str__()


def _readable(value: Any, path: str) -> Any:
    if value is None:
        return _Missing(hint=f"{path} is missing")
    if isinstance(value, Mapping):
        return Fields(value, path=path)
    return Items(value, path=path) if isinstance(value, list) else value
