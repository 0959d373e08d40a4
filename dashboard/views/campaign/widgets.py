"""The fields of the form: each shows its place in the document, writes there when it is changed, and says what is wrong with it.

`Form.text(path, name)` is labelled with the text `campaign_field.label.NAME` and explained by `campaign_field.help.NAME`.
"""

from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime, time
from typing import Any, Final, TypeVar

import streamlit

from dashboard import formats, moments, viewer
from dashboard.campaign import fields, steps
from dashboard.campaign.documents import Path, at, with_value, written
from dashboard.campaign.fields import Codec, Duration
from dashboard.campaign.steps import Mistake, is_about
from dashboard.texts import catalogue, say
from dashboard.views import bounded
from dashboard.views.campaign.work import PREFIX, Work

T = TypeVar("T")
Show = Callable[[str, str, str | None], Any]
"""A widget from its key, its label and its explanation."""
_MOST: Final = 1_000_000_000
KEPT: Final = "session"
"""How long Streamlit keeps what the form's widgets show: see `Form.begin`."""
# Streamlit's own are English in every language.
_PLACEHOLDERS: Final = {False: "new_campaign.choose", True: "new_campaign.choose_or_type"}
_A_MOMENT: Final[Codec[Any]] = fields.MOMENT
_A_LOCAL_MOMENT: Final[Codec[Any]] = fields.LOCAL_MOMENT


class Form:
    """Over the document of `work`, at or below `root`: paths given to its fields start there."""

    def __init__(self, work: Work, told: set[Mistake], root: Path = ()) -> None:
        self.work = work
        self.told = told
        self.root = root

    def below(self, *path: str | int) -> "Form":
        return Form(self.work, self.told, (*self.root, *path))

    def value(self, *path: str | int, default: Any = None) -> Any:
        return at(self.work.document, (*self.root, *path), default)

    def put(self, value: Any, *path: str | int) -> None:
        """Write a value, or take the field away (None). Widgets below keep what they show: see `remake`."""
        self._write(with_value(self.work.document, (*self.root, *path), value), (*self.root, *path))

    def _write(self, document: dict[str, Any], path: Path) -> None:
        """Go on with a document that was changed at `path`; what was said of that place is no longer known to be true."""
        if document != self.work.document:
            self.work.doubt(written(path))
        self.work.document = document

    def remake(self, document: Mapping[str, Any], *path: str | int) -> None:
        """Go on with another document, and make every widget at or below `path` anew.

        The others stay: what somebody is entering in them meanwhile is not lost.
        """
        self.remake_all(document, *self.root, *path)

    def remake_all(self, document: Mapping[str, Any], *place: str | int) -> None:
        """As `remake`, with a place of the whole document."""
        self.work.replace(document, place)
        streamlit.rerun()

    def keep(self, *path: str | int) -> None:
        """Say that what stands there stays, though the form has no words for it; and what is wrong with it."""
        streamlit.caption(say("new_campaign.kept_as_it_is", value=formats.plain(str(self.value(*path)))))
        self.tell(*path)

    def suggest(self, text: str, *path: str | int) -> None:
        """Write a text where nobody has typed one: the field shows it, and follows while the suggestion changes."""
        key = self.key(*path)
        suggested = self.work.suggested.setdefault(key, {""})
        written_there = self.value(*path, default="")
        shown = streamlit.session_state.get(key, written_there) if key in self.work.drawn else written_there
        # A browser may still show an earlier suggestion, when its input ended the run that told the last one.
        if text and shown != text and shown in suggested:
            self.put(text, *path)
            streamlit.session_state[key] = text
        suggested.add(text)

    def key(self, *path: str | int, kind: str = "") -> str:
        """The key of a widget in the memory of the tab. kind: tells two kinds of widgets of one field apart."""
        whole = (*self.root, *path)
        return f"{PREFIX}{self.work.key}:{self.work.generation(whole)}{kind}:{written(whole)}"

    def begin(self, key: str, value: Any) -> None:
        """Let the widget with this key begin with a value; one that has been drawn before shows what somebody entered.

        The value is not given to the widget as its default, since a field with one cannot be emptied. Every widget that begins
        so is drawn with `persist_state` (`KEPT`): then Streamlit tells the value again to a browser that has not heard of the
        widget yet, because its input ended the run that told it (docs/decisions/0066). What it keeps of a widget that was
        away meanwhile is older than the document, unless it was entered as the last thing before the widget went away (0073).
        """
        held = streamlit.session_state.get(key)
        is_known = key in streamlit.session_state and (
            key in self.work.drawn or self.work.is_unread(key, held)
        )
        if not is_known:
            streamlit.session_state[key] = value
        self.work.draw(key)

    def tell(self, *path: str | int, inside: bool = True) -> None:
        """What the API says of this field. inside: also of what is in it."""
        place = written((*self.root, *path))
        for mistake in self.work.mistakes:
            about = is_about(mistake, place) if inside else mistake.field == place
            if about and mistake not in self.told:
                self.told.add(mistake)
                streamlit.markdown(f":red[:material/error: {formats.plain(mistake.message)}]")

    def text(self, path: Path, name: str, *, area: bool = False, **options: Any) -> str:
        """A text; an empty one takes the field away."""
        widget = streamlit.text_area if area else streamlit.text_input

        def show(key: str, label: str, help: str | None) -> Any:  # noqa: A002  # as Streamlit calls it
            return widget(label, key=key, help=help, persist_state=KEPT, **options) or ""

        return str(self._field(path, name, fields.TEXT, "", show))

    def number(
        self,
        path: Path,
        name: str,
        *,
        codec: Codec[Any] = fields.NUMBER,
        default: Any = None,
        least: float = 0,
        most: float = _MOST,
        step: float = 1.0,
        format: str | None = None,  # noqa: A002  # as Streamlit calls it
        kind: str = "",
    ) -> Any:
        """A number. Without a default it may be left empty. What is not from `least` to `most` is told, kept, and refused by the API. kind: see `key`."""
        whole = codec is fields.WHOLE
        of: Callable[[float], float] = int if whole else float

        def show(key: str, label: str, help: str | None) -> Any:  # noqa: A002
            return streamlit.number_input(
                label,
                min_value=of(-bounded.FAR),
                max_value=of(bounded.FAR),
                value=None,
                step=of(step),
                format=format,
                key=key,
                help=help,
                persist_state=KEPT,
            )

        shown = fields.within(codec, -bounded.FAR, bounded.FAR)
        chosen = self._field(path, name, shown, default, show, kind=kind)
        bounded.tell(chosen, least, most)
        return chosen

    def percent(
        self,
        path: Path,
        name: str,
        *,
        default: float | None = None,
        most: float = 100,
        step: float = 1.0,
        kind: str = "",
    ) -> Any:
        """A share, shown as percent. kind: see `key`."""
        return self.number(
            path, name, codec=fields.PERCENT, default=default, most=most, step=step, format="%.6g", kind=kind
        )

    def yes(self, path: Path, name: str, *, default: bool = False) -> bool:
        def show(key: str, label: str, help: str | None) -> Any:  # noqa: A002
            return streamlit.toggle(label, key=key, help=help, persist_state=KEPT)

        return bool(self._field(path, name, fields.YES, default, show))

    def one_of(
        self,
        path: Path,
        name: str,
        options: Sequence[str],
        *,
        default: str = "",
        words: str | None = None,
        new: bool = False,
    ) -> str:
        """One of some texts. words: the prefix of what they are called in the catalogue. new: others can be typed."""
        there = fields.shown(self.work.document, (*self.root, *path), fields.TEXT, default)
        offered = list(dict.fromkeys([*([] if there in options or not there else [there]), *options]))

        def show(key: str, label: str, help: str | None) -> Any:  # noqa: A002
            self.begin(key, there or None)
            chosen = streamlit.selectbox(
                label,
                offered,
                index=None,
                format_func=names_of(words, offered),
                key=key,
                help=help,
                accept_new_options=new,
                placeholder=say(_PLACEHOLDERS[new]),
                persist_state=KEPT,
            )
            return chosen or ""

        return str(self._field(path, name, fields.TEXT, default, show, begun=True))

    def some_of(
        self, path: Path, name: str, options: Sequence[str], *, words: str | None = None, new: bool = False
    ) -> tuple[str, ...]:
        there = fields.shown(self.work.document, (*self.root, *path), fields.TEXTS, ())
        offered = list(dict.fromkeys([*options, *there]))

        def show(key: str, label: str, help: str | None) -> Any:  # noqa: A002
            chosen = streamlit.multiselect(
                label,
                offered,
                format_func=names_of(words, offered),
                key=key,
                help=help,
                accept_new_options=new,
                placeholder=say(_PLACEHOLDERS[new]),
                persist_state=KEPT,
            )
            return tuple(chosen)

        return tuple(self._field(path, name, fields.TEXTS, (), show))

    def duration(self, path: Path, name: str, *, default: Duration = Duration(0, "d")) -> Duration:  # noqa: B008  # frozen
        """So many of a unit. 0: none, and the field is taken away."""

        def show(key: str, label: str, help: str | None) -> Any:  # noqa: A002
            given = fields.shown(self.work.document, (*self.root, *path), fields.DURATION, default)
            for part, value in (("number", given.number), ("unit", given.unit)):
                self.begin(f"{key}:{part}", value)
            with streamlit.container(horizontal=True, gap="small", vertical_alignment="bottom"):
                number = streamlit.number_input(
                    label,
                    min_value=-bounded.FAR,
                    max_value=bounded.FAR,
                    step=1,
                    key=f"{key}:number",
                    help=help,
                    persist_state=KEPT,
                )
                unit = streamlit.selectbox(
                    say("campaign_field.label.unit"),
                    fields.UNITS,
                    format_func=names_of("new_campaign.unit", fields.UNITS),
                    key=f"{key}:unit",
                    persist_state=KEPT,
                )
            return Duration(int(number), unit)

        chosen: Duration = self._field(path, name, fields.DURATION, default, show, begun=True)
        bounded.tell(chosen.number, 0, fields.LONGEST)
        return chosen

    def clock(self, path: Path, name: str, *, default: time) -> time:
        def show(key: str, label: str, help: str | None) -> Any:  # noqa: A002
            chosen = streamlit.time_input(label, value=None, key=key, help=help, persist_state=KEPT)
            return chosen or default

        chosen: time = self._field(path, name, fields.TIME, default, show)
        return chosen

    def moment(self, path: Path, name: str) -> datetime | None:
        """A moment, shown in the viewer's zone; empty where none is named."""
        zone, zone_name = viewer.zone(), viewer.zone_name()
        given = fields.shown(self.work.document, (*self.root, *path), _A_MOMENT, None)

        def show(key: str, label: str, help: str | None) -> Any:  # noqa: A002
            local = None if given is None else moments.on_clock(given.isoformat(), zone)
            self.begin(key, local)
            chosen = _datetime_input(f"{label} ({zone_name})", key, help)
            if chosen is None or chosen == local:
                return None if chosen is None else given
            return chosen.replace(tzinfo=zone).astimezone(UTC)

        # In another zone the field shows another time: it is not to be taken for a change.
        chosen: datetime | None = self._field(path, name, _A_MOMENT, None, show, begun=True, kind=zone_name)
        return chosen

    def local_moment(self, path: Path, name: str) -> datetime | None:
        """A day and a time on each user's own clock."""

        def show(key: str, label: str, help: str | None) -> Any:  # noqa: A002
            return _datetime_input(label, key, help)

        # A time of day may have stood in this very field.
        chosen: datetime | None = self._field(path, name, _A_LOCAL_MOMENT, None, show, kind="day")
        return chosen

    def choice(self, name: str, options: Sequence[str], now: str, *, words: str, place: str = "") -> str:
        """One of a few ways, as buttons side by side; it stands for no single field. `now` while none is chosen, though it be no option."""
        key = self.key(f"~{name}{place}")
        self.begin(key, now if now in options else None)
        chosen = streamlit.segmented_control(
            say(f"campaign_field.label.{name}"),
            options,
            required=True,
            format_func=names_of(words, options),
            key=key,
            help=explained(name),
            persist_state=KEPT,
        )
        return now if chosen is None else str(chosen)

    def _field(
        self,
        path: Path,
        name: str,
        codec: Codec[Any],
        default: Any,
        show: Show,
        *,
        begun: bool = False,
        kind: str = "",
    ) -> Any:
        """What a widget shows and gets. begun: it sets by itself what its widgets show at first. kind: see `key`."""
        whole = (*self.root, *path)
        assert fields.is_shown(whole), written(whole)  # noqa: S101  # `fields.SHOWN` says what the form has
        key = self.key(*path, kind=kind)
        was = fields.shown(self.work.document, whole, codec, default)
        if not begun:
            self.begin(key, was)
        chosen = show(key, say(f"campaign_field.label.{name}"), explained(name))
        if chosen is None and default is not None:
            chosen = default  # a number that was emptied is as if nothing had been said
        if chosen is None:
            if was is not None:
                self._write(with_value(self.work.document, whole, None), whole)
        elif fields.hidden(self.work.document, whole, codec) and chosen == default:
            streamlit.caption(say("new_campaign.kept_as_it_is", value=formats.plain(str(self.value(*path)))))
        else:
            self._write(fields.edited(self.work.document, whole, codec, default, chosen), whole)
        self.tell(*path)
        return chosen


def _datetime_input(label: str, key: str, help: str | None) -> datetime | None:  # noqa: A002
    return streamlit.datetime_input(
        label,
        value=None,
        min_value=moments.FIRST,
        max_value=moments.LAST,
        key=key,
        help=help,
        persist_state=KEPT,
    )


def names_of(words: str | None, options: Sequence[str]) -> Callable[[str], str]:
    """What options are called, in the language of this run; one that was typed is called what it is."""
    names = {option: called(words, option) for option in options}
    return lambda option: names.get(option, option)


def called(words: str | None, option: str) -> str:
    """What an option is called: its text in the catalogue, or itself."""
    key = f"{words}.{option}"
    return say(key) if words and key in catalogue() else option


def explained(name: str) -> str | None:
    """The explanation of a field; every field has one but those that are explained by their label alone."""
    key = f"campaign_field.help.{name}"
    return say(key) if key in catalogue() else None


def show_mistakes(campaign: Work) -> None:
    """What the API finds wrong, by step."""
    if not campaign.mistakes:
        return
    streamlit.error(say("new_campaign.mistakes", count=len(campaign.mistakes)), icon=":material/error:")
    for step, mistakes in steps.by_step(campaign.mistakes).items():
        for mistake in mistakes:
            place = steps.place_of(campaign.document, mistake.field).replace("`", "") if mistake.field else ""
            field = f"`{place}` " if place else ""
            streamlit.markdown(
                f"- **{say(f'new_campaign.step.{step}')}** {field}{formats.plain(mistake.message)}"
            )
