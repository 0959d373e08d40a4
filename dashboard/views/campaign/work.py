"""The campaign that is being written in this browser tab: opened from the address, saved after every change."""

import secrets
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Final

import streamlit

from dashboard.calls import campaigns
from dashboard.calls.campaigns import Draft, Stored
from dashboard.campaign import documents, metrics
from dashboard.campaign.documents import Path, at
from dashboard.campaign.steps import STEPS, Mistake, is_touched, mistakes_of
from dashboard.client import ApiError, Client
from dashboard.texts import say
from dashboard.views import states

_WORK: Final = "campaign_work"
PREFIX: Final = "campaign:"
"""Before the key of a campaign, with which the keys of its widgets begin."""
STEP: Final = "step"
"""What the address calls the step that is shown."""


@dataclass
class Work:
    """`key`: of the draft that is saved. `saved`: the document as it was last saved or stored, `revision` of that draft (0: none).

    `saved_at`: when, as the API says. `stored_as`: the experiment, not yet started, that it was stored as, `stored` its document then and `stored_at` the API's mark of it. `conflict`: what
    somebody else has done to the same meanwhile, `stored_over` if that was to store it. `generations` counts
    how often what is below a place was replaced, so that no widget shows what belongs to another row. `drawn` are the keys of
    the widgets that a browser may have drawn: of the last run that came to its end, and of those since that were cut short.
    `step_of`: the step that a widget is in, by its key. `read`: what widgets held when the document was last told of it.
    `suggested` are texts that the form has filled in by itself, by widget. `mistakes` are the API's, of its last look.
    `started`: it has been, and the page has still to say so.
    `unfinished`: the condition builder holds something that is no condition yet, so the document still has the last one.
    """

    key: str
    document: dict[str, Any]
    saved: dict[str, Any]
    revision: int = 0
    stored_as: str | None = None
    stored: dict[str, Any] | None = None
    stored_at: str = ""
    generations: dict[Path, int] = field(default_factory=dict)
    drawn: set[str] = field(default_factory=set)
    step_of: dict[str, str] = field(default_factory=dict)
    read: dict[str, Any] = field(default_factory=dict)
    mistakes: list[Mistake] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)
    assumptions: dict[str, Any] = field(default_factory=dict)
    saved_at: datetime | None = None
    unfinished: bool = False
    conflict: str | None = None
    stored_over: bool = False
    not_saved: str | None = None
    started: bool = False
    plans: dict[str, Mapping[str, Any]] = field(default_factory=dict)
    suggested: dict[str, set[str]] = field(default_factory=dict)
    _drawing: set[str] = field(default_factory=set)
    _step: str = ""

    def replace(self, document: Mapping[str, Any], place: Path = ()) -> None:
        """Another document, whose rows below `place` may stand elsewhere: every widget there is made anew."""
        self.document = dict(document)
        self.generations[place] = self.generations.get(place, 0) + 1

    def doubt(self, place: str) -> None:
        """Something was changed there: what was said of that place is no longer known to be true."""
        self.mistakes = [each for each in self.mistakes if not is_touched(each, place)]

    def generation(self, place: Path) -> int:
        """How often what stands at `place` was replaced, by itself or with what it is in."""
        return sum(self.generations.get(place[:depth], 0) for depth in range(len(place) + 1))

    def begin_run(self) -> None:
        self._drawing = set()

    def begin_step(self, step: str) -> None:
        """The widgets that are drawn from here on are of this step."""
        self._step = step

    def draw(self, key: str) -> None:
        self._drawing.add(key)
        self.drawn.add(key)
        self.step_of[key] = self._step

    def end_step(self) -> None:
        """The document knows what the widgets of this step hold."""
        held = self._held()
        self.read |= {key: value for key, value in held.items() if self._place_of(key) == self._step}

    def unread(self, *, but: str = "") -> list[str]:
        """The steps other than `but` in which something was entered that the document does not know yet.

        Who types into a field and presses at once what leads to another step says both in one breath: by the time Streamlit
        runs the page, it is the other step that is to be shown (docs/decisions/0073).
        """
        places = {self._place_of(key) for key, value in self._held().items() if self.is_unread(key, value)}
        return [step for step in STEPS if step in places and step != but]

    def is_unread(self, key: str, value: Any) -> bool:
        return key in self.read and bool(self.read[key] != value)

    def _held(self) -> dict[str, Any]:
        """What the memory of the tab has of the widgets of this campaign, by key."""
        begins = f"{PREFIX}{self.key}:"
        names = [str(name) for name in streamlit.session_state if str(name).startswith(begins)]
        return {name: streamlit.session_state[name] for name in names}

    def _place_of(self, key: str) -> str | None:
        """The step of a widget: its own, or that of the form that it is in."""
        while key and key not in self.step_of:
            key = key.rpartition(":")[0]
        return self.step_of.get(key)

    def end_run(self) -> None:
        """The page stands whole: what is not on it is in no browser any more."""
        self.drawn = set(self._drawing)


def current(client: Client) -> Work | None:
    """The campaign that the address names, else the one of this tab, else a new one. None: the error is on the page."""
    work = of_this_tab()
    draft, copy = streamlit.query_params.get("draft"), streamlit.query_params.get("copy")
    try:
        if copy:
            work = _copied(client, copy)
            del streamlit.query_params["copy"]
        elif draft and (work is None or work.key != draft):
            work = _opened(client, draft)
        elif work is None:
            work = _new(metrics.begun())
    except ApiError as error:
        states.show_error(error)
        return None
    if work.revision or work.stored_as:
        streamlit.query_params["draft"] = work.key
    streamlit.session_state[_WORK] = work
    return work


def of_this_tab() -> Work | None:
    """The campaign that is being written in this tab, if there is one."""
    work: Work | None = streamlit.session_state.get(_WORK)
    return work


def started() -> str | None:
    """The experiment that the campaign of this tab has become; the tab is done with it."""
    work = of_this_tab()
    if work is None or not work.started:
        return None
    leave()
    return work.stored_as or work.key


def leave() -> None:
    """Forget the campaign of this tab; what is saved stays with the API."""
    streamlit.session_state.pop(_WORK, None)
    for name in ("draft", "copy", STEP):
        streamlit.query_params.pop(name, None)


def save(client: Client, work: Work, *, over: bool = False, elsewhere: bool = False) -> None:
    """Keep the document with the API when it has changed. over: also what somebody else has saved since. elsewhere: from another page.

    What keeps it from being saved is noted in `work`; the next run tries again.
    """
    if (work.document == work.saved and not over) or (work.conflict and not over):
        return
    try:
        kept = campaigns.save_draft(client, work.key, work.document, revision=None if over else work.revision)
    except ApiError as error:
        states.leave_if_refused(error)
        if error.status == 409:
            work.conflict = str(error)
        else:
            work.not_saved = str(error)
        return
    work.saved, work.revision, work.saved_at = work.document, kept.revision, kept.updated_at
    work.conflict, work.not_saved, work.stored_over = None, None, False
    if not elsewhere:
        streamlit.query_params["draft"] = work.key


def store(client: Client, work: Work) -> bool:
    """Store the document as an experiment that has not started. False: the mistakes are noted in `work`."""
    try:
        if work.stored_as is not None and _is_theirs(client, work, work.stored_as):
            return False
        kept = campaigns.store(client, work.document, key=work.stored_as)
    except ApiError as error:
        note(work, error)
        return False
    work.warnings, work.stored_at = list(kept.warnings), kept.changed_at
    key = str(at(work.document, ("key",), work.key))
    try:
        campaigns.forget_draft(client, work.key)
    except ApiError as error:
        states.leave_if_refused(error)
        work.not_saved = str(error)
    work.key = work.stored_as = key
    work.stored = work.saved = work.document
    work.revision, work.mistakes, work.conflict = 0, [], None
    streamlit.query_params["draft"] = key
    return True


def _is_theirs(client: Client, work: Work, key: str) -> bool:
    """Whether somebody else has stored it since; who has been told so may store over it. Raises ApiError."""
    now = campaigns.stored(client, key).changed_at
    if now == work.stored_at:
        return False
    work.conflict, work.stored_over, work.stored_at = say("new_campaign.stored_meanwhile"), True, now
    return True


def open_theirs(client: Client, work: Work) -> None:
    """Go on with what somebody else has made of it. Raises ApiError."""
    if work.stored_over:
        # What they have stored is shown only where no draft of mine is before it.
        campaigns.forget_draft(client, work.key)
    leave()
    streamlit.query_params["draft"] = work.key


def note(work: Work, error: ApiError) -> None:
    """The fields that the API finds wrong; an error that names none is told as it is."""
    states.leave_if_refused(error)
    work.mistakes = mistakes_of(error.problems) or [Mistake("", states.refusal_words(error))]


def _new(document: Mapping[str, Any]) -> Work:
    # What nobody has changed yet is not saved: a look at the page leaves nothing behind.
    return Work(key=f"new-{secrets.token_hex(4)}", document=dict(document), saved=dict(document))


def _copied(client: Client, key: str) -> Work:
    document = documents.opened(campaigns.stored(client, key).design)
    name = say("new_campaign.copy_of", name=str(document.get("name") or key))
    made = _new(documents.copied(document, name=name[:200]))
    made.document["key"] = documents.key_from(f"{key}-copy")
    made.saved = {}
    return made


def _opened(client: Client, key: str) -> Work:
    draft = _found(client, key)
    kept = _stored(client, key)
    stored = documents.opened(kept.design) if kept is not None and kept.status == "draft" else None
    if draft is None and stored is None:
        words = "new_campaign.has_started" if kept else "new_campaign.no_such_draft"
        raise ApiError(say(words, key=key), status=404)
    document: dict[str, Any] = dict(draft.document) if draft is not None else stored or {}
    try:
        documents.check_shape(document)
    except documents.Unwritable as error:
        raise ApiError(say("new_campaign.no_form", key=key, reason=str(error)), status=422) from error
    return Work(
        key=key,
        document=document,
        saved=document,
        revision=draft.revision if draft else 0,
        stored_as=key if stored is not None else None,
        stored=stored,
        stored_at=kept.changed_at if kept is not None else "",
        saved_at=draft.updated_at if draft else None,
    )


def _found(client: Client, key: str) -> Draft | None:
    try:
        return campaigns.draft(client, key)
    except ApiError as error:
        if error.status in {404, 422}:  # no draft has such a key
            return None
        raise


def _stored(client: Client, key: str) -> Stored | None:
    try:
        return campaigns.stored(client, key)
    except ApiError as error:
        if error.status in {404, 422}:
            return None
        raise
