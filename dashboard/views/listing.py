"""A page that lists what has a key and a name: the heading with a way to a new one, the search, the rows, the way on."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import TypeVar

import streamlit
from streamlit.delta_generator import DeltaGenerator

from dashboard import access, formats
from dashboard.texts import say
from dashboard.views import addressed, states

T = TypeVar("T")


def show_cells(area: str, cells: Iterable[tuple[DeltaGenerator, str, str]]) -> None:
    """Each value under its own heading, so that on a narrow screen it is known what stands below what. Cells: (column, heading, words).

    A heading is the text `area.column.HEADING`.
    """
    for column, heading, words in cells:
        column.markdown(f":small[:gray[{say(f'{area}.column.{heading}')}]]  \n{words}")


@dataclass(frozen=True, slots=True)
class Listing:
    """`area` names the texts of the catalogue (`rules.new`, `rules.empty` ..), `page` the file to which everything leads back."""

    area: str
    page: str
    icon: str

    def show(
        self,
        fetch: Callable[[str, str], T],
        items_of: Callable[[T], tuple[Sequence[object], str | None]],
        show_row: Callable[..., None],
    ) -> T | None:
        """The list. fetch: what a search and a cursor find; items_of: its rows, and the cursor of the next page.

        None when there is nothing, of which the reader has been told.
        """
        may_write = access.required().may_write
        title, button = streamlit.columns([5, 1], vertical_alignment="bottom")
        title.header(say(f"app.page.{self.area}"), anchor=False)
        if may_write:
            with button:
                self._link_to_new("new")
        search = streamlit.text_input(
            say(f"{self.area}.search.label"),
            help=say(f"{self.area}.search.help"),
            key="search",
            bind="query-params",
            width=400,
            # Where a page of one search begins means nothing in another.
            on_change=addressed.forget,
            args=("cursor",),
        )
        cursor = streamlit.query_params.get("cursor", "")
        found = states.fetched(f"{self.area}:{search}:{cursor}", lambda: fetch(search or "", cursor))
        if found is None:
            return None
        items, following = items_of(found)
        if not items:
            self._show_empty(search or "", may_write=may_write)
            return None
        for item in items:
            show_row(item)
        if following:
            query = {"cursor": following, **({"search": search} if search else {})}
            streamlit.page_link(
                self.page,
                label=say(f"{self.area}.next_page"),
                icon=":material/arrow_forward:",
                query_params=query,
            )
        return found

    def _link_to_new(self, text: str) -> None:
        streamlit.page_link(
            self.page,
            label=say(f"{self.area}.{text}"),
            icon=":material/add:",
            query_params={"new": "1"},
        )

    def _show_empty(self, search: str, *, may_write: bool) -> None:
        if search:
            words = say(f"{self.area}.none_found", search=formats.plain(search))
            streamlit.info(words, icon=":material/search_off:")
            return
        streamlit.info(say(f"{self.area}.empty"), icon=self.icon)
        if may_write:
            self._link_to_new("first")
