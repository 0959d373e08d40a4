"""Fields of a question to the API: each stands in the address, is explained, and has what the API finds wrong with it right below.

`Fields("planner").number("power", ..)` is labelled with the text `planner.label.power` and explained by `planner.help.power`.
"""

from collections.abc import Sequence
from typing import Any

import streamlit

from dashboard import formats
from dashboard.client import ApiError
from dashboard.texts import say
from dashboard.views import addressed, bounded, states


class Fields:
    """The fields of one form, whose texts are those of the page `words`."""

    def __init__(self, words: str) -> None:
        self._words = words
        self._places: dict[str, Any] = {}
        self.are_within = True
        """Whether all numbers so far are within their bounds; else no answer is one to them."""

    def number(
        self,
        name: str,
        *,
        default: float | None = None,
        least: float = 0.0,
        most: float = 1e12,
        step: float = 1.0,
        about: str = "",
        key: str = "",
        **places: object,
    ) -> float | None:
        """A number; None where it was left empty.

        about: the field of the request, where it is not `name`. key: its name in the address, likewise. places: of its label.
        """
        found = streamlit.number_input(
            say(f"{self._words}.label.{name}", **places),
            min_value=float(-bounded.FAR),
            max_value=float(bounded.FAR),
            value=default,
            step=float(step),
            format="%.6g",
            key=key or name,
            bind="query-params",
            help=say(f"{self._words}.help.{name}"),
        )
        self._place(about or name)
        self._check(about or name, found, least, most)
        return None if found is None else float(found)

    def whole(
        self,
        name: str,
        *,
        default: int | None = None,
        least: int = 1,
        most: int = 1_000_000_000,
        about: str = "",
    ) -> int | None:
        """A whole number; None where it was left empty."""
        found = streamlit.number_input(
            say(f"{self._words}.label.{name}"),
            min_value=-bounded.FAR,
            max_value=bounded.FAR,
            value=default,
            step=1,
            key=name,
            bind="query-params",
            help=say(f"{self._words}.help.{name}"),
        )
        self._place(about or name)
        self._check(about or name, found, least, most)
        return None if found is None else int(found)

    def yes(self, name: str) -> bool:
        found = streamlit.toggle(
            say(f"{self._words}.label.{name}"),
            key=name,
            bind="query-params",
            help=say(f"{self._words}.help.{name}"),
        )
        self._place(name)
        return bool(found)

    def one_of(self, name: str, options: Sequence[str], *, words: str) -> str:
        """One of a few, the first if nothing was said; `words` is where the catalogue has what they are called."""
        chosen = addressed.segmented(
            say(f"{self._words}.label.{name}"),
            options,
            name=name,
            shown=lambda option: say(f"{words}.{option}"),
            default=options[0],
            help=say(f"{self._words}.help.{name}"),
        )
        self._place(name)
        return chosen or options[0]

    def tell(self, error: ApiError, *, prefix: str = "") -> None:
        """What the API finds wrong, below the field that it names without `prefix`; the rest as an error of the page."""
        states.leave_if_refused(error)
        rest = []
        for field, message in error.problems:
            place = self._where(field.removeprefix(prefix))
            if place is None:
                rest.append(
                    f"`{field.replace('`', '')}`: {formats.plain(message)}"
                    if field
                    else formats.plain(message)
                )
            else:
                place.markdown(f":red[:material/error: {formats.plain(message)}]")
        if not error.problems:
            rest = [formats.plain(str(error))]
        if rest:
            streamlit.error("\n".join(f"- {words}" for words in rest), icon=":material/error:")
        if error.temporary:
            states.show_try_again()

    def ask_to_mend(self) -> bool:
        """Where a number is beyond its bounds, say so instead of an answer; whether one is."""
        if not self.are_within:
            streamlit.info(say("common.mend_first"), icon=":material/edit:")
        return not self.are_within

    def _check(self, field: str, found: float | None, least: float, most: float) -> None:
        if not bounded.tell(found, least, most, place=self._places[field]):
            self.are_within = False

    def _place(self, field: str) -> None:
        self._places[field] = streamlit.empty()

    def _where(self, field: str) -> Any:
        """The place of a field, or of the one that it is a part of, or of the first of its parts."""
        inside = (
            next((name for name in self._places if name.startswith(f"{field}.")), None) if field else None
        )
        while field:
            if field in self._places:
                return self._places[field]
            field = field.rpartition(".")[0]
        return None if inside is None else self._places[inside]


def said(*names: str) -> bool:
    """Whether the address says something in a part of the form, which is then open."""
    return any(name in streamlit.query_params for name in names)
