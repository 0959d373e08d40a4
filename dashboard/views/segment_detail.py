"""One segment: whom it means now, who is in it, what names it; refresh it, upload to it, delete it."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any, Final

import streamlit

from dashboard import access, formats, values
from dashboard.access import Access
from dashboard.calls import conditions, segments
from dashboard.calls.conditions import Preview
from dashboard.calls.segments import Member, Segment
from dashboard.client import Client
from dashboard.texts import say
from dashboard.views import asking, condition_words, states
from dashboard.views.deeds import Deed, deed

PAGE: Final = "views/segments.py"
PAGES: Final = {
    "experiment": ("views/result.py", "experiment"),
    "segment": (PAGE, "segment"),
    "rule": ("views/rules.py", "rule"),
}
"""Kind of what names a segment -> its page, and its name in that page's address."""


@dataclass(frozen=True, slots=True)
class Seen:
    """Everything the page shows, as it was last heard from the API; `following` is where more members begin."""

    item: Segment
    preview: Preview
    members: tuple[Member, ...]
    following: str | None
    uses: tuple[tuple[str, str], ...]


def kind_badge(item: Segment) -> str:
    """List or condition, as a coloured word of Markdown."""
    return f":gray-badge[{say('segments.kind.list' if item.is_list else 'segments.kind.condition')}]"


def show(key: str) -> None:
    current = access.required()
    streamlit.page_link(PAGE, label=say("segments.all"), icon=":material/arrow_back:")
    cursor = streamlit.query_params.get("members", "")
    seen = states.fetched(f"segment:{key}:{cursor}", lambda: _fetch(current.client, key, cursor))
    if seen is None:
        return
    _show_head(current, seen.item)
    if seen.item.is_list and current.may_write:
        _show_upload(current, seen.item)
    streamlit.subheader(say("segments.now"), anchor=False)
    condition_words.show_preview(seen.preview)
    _show_uses(seen.uses)
    _show_members(seen)


def _fetch(client: Client, key: str, cursor: str) -> Seen:
    item = segments.find(client, key)
    preview = conditions.preview(client, {"$inSegment": key}, sample=5)
    members, following = segments.members(client, key, cursor=cursor)
    return Seen(item, preview, tuple(members), following, tuple(segments.uses(client, key)))


def _show_head(current: Access, item: Segment) -> None:
    streamlit.header(formats.plain(item.name), anchor=False)
    facts = [kind_badge(item), f"`{item.key}`"]
    if item.size is not None:
        size = say("segments.members", count=item.size, number=formats.count(item.size))
        facts.append(f"**{size}** {say('segments.as_of', when=formats.moment(item.refreshed_at))}")
    else:
        facts.append(say("segments.never_counted"))
    streamlit.markdown(" · ".join(facts))
    if item.english:
        streamlit.markdown(f"**{say('condition_builder.means')}** {formats.plain(item.english)}")
        with streamlit.expander(say("segments.as_written")):
            streamlit.code(item.text, language=None, wrap_lines=True)
    if current.may_write:
        _show_actions(current, item)


def _show_actions(current: Access, item: Segment) -> None:
    question, refreshed = f"segment:delete:{item.key}", deed(f"segment:refresh:{item.key}")
    with streamlit.container(horizontal=True, vertical_alignment="center"):
        if not item.is_list and streamlit.button(
            say("segments.refresh"), icon=":material/refresh:", key=refreshed.key("segment_refresh")
        ):
            _refresh(current, item, refreshed)
        streamlit.page_link(
            PAGE,
            label=say("segments.edit"),
            icon=":material/edit:",
            query_params={"segment": item.key, "edit": "1"},
        )
        if streamlit.button(say("segments.delete"), icon=":material/delete:"):
            asking.ask(question)
    asking.show_refusal(refreshed)
    if asking.confirmed(
        question,
        say("segments.delete_question", name=formats.plain(item.name)),
        yes=say("segments.delete_yes"),
        act=partial(segments.delete, current.client, item.key),
        done=lambda _: say("segments.deleted", name=formats.plain(item.name)),
        area="segments",
    ):
        streamlit.switch_page(PAGE)


def _refresh(current: Access, item: Segment, refreshed: Deed) -> None:
    def words(done: Mapping[str, Any]) -> str:
        known = values.counts(done)
        numbers = {name: formats.count(known.get(name, 0)) for name in ("size", "joined", "left")}
        return say("segments.refreshed", **numbers)

    with streamlit.spinner(say("segments.refreshing")):
        asking.at_once(
            refreshed, partial(segments.refresh, current.client, item.key), done=words, area="segments"
        )
    streamlit.rerun()


def _show_upload(current: Access, item: Segment) -> None:
    sent = deed(f"segment:upload:{item.key}")
    # What was taken of the file stays below it, though the list is longer now than when the page was drawn.
    with streamlit.expander(say("segments.upload.title"), expanded=not item.size or sent.is_done):
        file = streamlit.file_uploader(
            say("segments.upload.file"), type=["csv", "txt"], help=say("segments.upload.help")
        )
        replace = streamlit.checkbox(say("segments.upload.replace"), help=say("segments.upload.replace_help"))
        if file is None:
            sent.forget()
            return
        if streamlit.button(say("segments.upload.send"), type="primary", key=sent.key("segment_upload")):
            with streamlit.spinner(say("segments.upload.sending")):
                sent.do(
                    lambda: (
                        file.file_id,
                        segments.upload(current.client, item.key, file.getvalue(), replace=replace),
                    )
                )
            streamlit.rerun()
        asking.show_refusal(sent)
        if not sent.is_done or sent.answer[0] != file.file_id:
            return
        done = sent.answer[1]
        known = values.counts(done)
        names = ("size", "added", "removed", "rejected")
        streamlit.success(
            say("segments.upload.done", **{name: formats.count(known.get(name, 0)) for name in names}),
            icon=":material/check:",
        )
        rejects = [
            {
                say("segments.upload.line"): str(reject.get("line", "")),
                say("segments.upload.user"): formats.plain(str(reject.get("user_id", ""))),
                say("segments.upload.reason"): formats.plain(str(reject.get("reason", ""))),
            }
            for reject in values.mappings(done.get("rejects"))
        ]
        if rejects:
            streamlit.table(rejects, border="horizontal", hide_index=True, alt=say("segments.upload.rejects"))


def _show_members(seen: Seen) -> None:
    item = seen.item
    streamlit.subheader(say("segments.members_title"), anchor=False)
    if not item.size:
        streamlit.caption(
            say("segments.no_members" if item.size == 0 or item.is_list else "segments.not_yet")
        )
        return
    rows = [
        {
            say("segments.member.user"): formats.plain(member.user_id),
            say("segments.member.since"): formats.moment(member.added_at),
        }
        for member in seen.members
    ]
    streamlit.table(rows, border="horizontal", hide_index=True, alt=say("segments.members_title"))
    if seen.following:
        streamlit.page_link(
            PAGE,
            label=say("segments.next_page"),
            icon=":material/arrow_forward:",
            query_params={"segment": item.key, "members": seen.following},
        )


def _show_uses(uses: tuple[tuple[str, str], ...]) -> None:
    streamlit.subheader(say("segments.uses.title"), anchor=False)
    if not uses:
        streamlit.caption(say("segments.uses.none"))
    for kind, key in uses:
        if kind in PAGES:
            page, name = PAGES[kind]
            streamlit.page_link(
                page, label=f"{say(f'segments.uses.{kind}')} {formats.plain(key)}", query_params={name: key}
            )
