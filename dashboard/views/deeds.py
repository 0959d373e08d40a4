"""What a press of a button does is done once, though somebody presses again, or types, while the API takes its time.

Input ends a run of Streamlit at the run's next word to the page or to the memory of the tab. After a slow answer that is the very word
that would have said what came of it: the action would be done again, or nobody would hear of it. So all of that is noted in a plain object,
which is in the memory before the API is asked; and what starts an action has another key each time (`key`), so that a press of
what was there before is nobody's.
"""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final

import streamlit

from dashboard.client import ApiError

TO_BE_READ: Final = timedelta(seconds=20)
"""How long its end stays on a page that asks again by itself every few seconds."""


@dataclass
class Deed:
    """One thing that can be done at a place of a page, and what came of it the last time.

    times: how often it was tried; successes: how often it was done; is_done: whether it was done and nobody has heard of it (`answer` is the
    API's then); refusal: what the API said against it instead.
    """

    times: int = 0
    successes: int = 0
    is_asked: bool = False
    is_done: bool = False
    answer: Any = None
    refusal: ApiError | None = None
    heard_at: datetime | None = None

    def key(self, name: str) -> str:
        """The key of a button that does it."""
        return f"{name}:{self.times}"

    def fresh(self, name: str) -> str:
        """The key of a field that begins anew once it is done."""
        return f"{name}:{self.successes}"

    def do(self, act: Callable[[], object]) -> bool:
        """Do it; whether it was done. `act` speaks to the API and to nobody else: not to the page, not to the memory, not in words of the catalogue."""
        self.times += 1
        self.is_done, self.answer, self.refusal, self.heard_at = False, None, None, None
        try:
            self.answer = act()
        except ApiError as error:
            self.refusal = error
            return False
        self.is_done, self.is_asked = True, False
        self.successes += 1
        return True

    def forget(self) -> None:
        """Of its end everybody has heard."""
        self.is_asked, self.is_done, self.answer, self.refusal = False, False, None, None

    def hear(self, now: datetime) -> None:
        """Its end is on the page; it is forgotten once there was time to read it."""
        self.heard_at = self.heard_at or now
        if now - self.heard_at > TO_BE_READ:
            self.forget()


def deed(name: str) -> Deed:
    """The deed of that name, of this tab."""
    held = known(name)
    if held is None:
        held = Deed()
        streamlit.session_state[f"deed:{name}"] = held
    return held


def known(name: str) -> Deed | None:
    """The same where there is one: what is only looked at leaves nothing in the memory."""
    held = streamlit.session_state.get(f"deed:{name}")
    return held if isinstance(held, Deed) else None
