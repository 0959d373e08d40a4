"""One rule: what it says, whether it is on, whom it would hit, whom it did, who changed what."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any, Final

import streamlit

from dashboard import access, formats, rule_fields
from dashboard.access import Access
from dashboard.calls import rules
from dashboard.calls.rules import MOST_COUNTED, DryRun, Firing, Rule, Version
from dashboard.client import Client
from dashboard.texts import say, told
from dashboard.views import asking, rule_dry_run, states

PAGE: Final = "views/rules.py"
COLOURS: Final = {"on": "green", "off": "gray", "parked": "red"}
ICONS: Final = {"on": "check_circle", "off": "pause_circle", "parked": "warning"}


@dataclass(frozen=True, slots=True)
class Seen:
    """Everything the page shows, as it was last heard; firings and versions each with where the next page begins."""

    item: Rule
    firings: tuple[list[Firing], str | None]
    versions: tuple[list[Version], str | None]


def state_badge(state: str) -> str:
    """On, off or parked as a coloured word of Markdown."""
    icon = ICONS.get(state, "help")
    return (
        f":{COLOURS.get(state, 'gray')}-badge[:material/{icon}: {formats.plain(told('rules.state', state))}]"
    )


def fired_words(item: Rule) -> str:
    """How often it fired, and when last, as Markdown."""
    if not item.fired:
        return f":gray[{say('rules.never_fired')}]"
    more = "+" if item.fired >= MOST_COUNTED else ""
    return f"**{formats.count(item.fired)}{more}**  \n:small[{say('rules.last', when=formats.moment(item.last_fired_at))}]"


def show(key: str) -> None:
    current = access.required()
    streamlit.page_link(PAGE, label=say("rules.all"), icon=":material/arrow_back:")
    at = {name: streamlit.query_params.get(name, "") for name in ("firings", "versions")}
    seen = states.fetched(f"rule:{key}:{at}", lambda: _fetch(current.client, key, **at))
    if seen is None:
        return
    item = seen.item
    _show_head(item)
    if item.experiment:
        streamlit.info(
            say("rules.of_experiment", key=formats.plain(item.experiment)), icon=":material/science:"
        )
        streamlit.page_link(
            "views/result.py",
            label=say("rules.to_experiment", key=formats.plain(item.experiment)),
            query_params={"experiment": item.experiment},
        )
    elif current.may_write:
        _show_actions(current, item)
    streamlit.subheader(say("rules.dry.title"), anchor=False)
    streamlit.caption(say("rules.dry.about"))
    rule_dry_run.show(current.client, f"rule:dry:{key}", key=key)
    _show_firings(seen)
    _show_versions(seen)


def _fetch(client: Client, key: str, *, firings: str, versions: str) -> Seen:
    return Seen(
        rules.find(client, key),
        rules.firings(client, key, cursor=firings),
        rules.versions(client, key, cursor=versions),
    )


def _show_head(item: Rule) -> None:
    streamlit.header(formats.plain(item.name), anchor=False)
    version = say("rules.version", number=item.version)
    streamlit.markdown(f"{state_badge(item.state)} · `{item.key}` · {version}")
    if item.error:
        streamlit.error(say("rules.parked", reason=formats.plain(item.error)), icon=":material/warning:")
    lines = [
        (say("rules.column.trigger"), item.words.trigger),
        (say("rules.column.condition"), item.words.condition or say("rules.everybody")),
        (say("rules.column.actions"), "; ".join(item.words.actions)),
        (say("rules.form.how_often"), "; ".join(item.words.limits) or say("rules.no_limits")),
    ]
    streamlit.markdown("\n".join(f"- **{heading}**: {formats.plain(words)}" for heading, words in lines))
    streamlit.markdown(f"**{say('rules.column.fired')}**: {fired_words(item)}".replace("  \n", " · "))


def _show_actions(current: Access, item: Rule) -> None:
    moves = {name: f"rule:{name}:{item.key}" for name in ("on", "off", "delete")}
    with streamlit.container(horizontal=True, vertical_alignment="center"):
        move = "off" if item.state == "on" else "on"
        icon = ":material/pause:" if move == "off" else ":material/play_arrow:"
        if streamlit.button(
            say(f"rules.turn_{move}"), icon=icon, type="primary" if move == "on" else "secondary"
        ):
            if move == "on":
                # Nobody turns on what they have not seen: the try is part of the question, and its result stays below.
                tried = rule_dry_run.run(current.client, f"rule:dry:{item.key}", key=item.key)
                streamlit.session_state[f"{moves['on']}:tried"] = tried
            asking.ask(moves[move])
        streamlit.page_link(
            PAGE,
            label=say("rules.edit"),
            icon=":material/edit:",
            query_params={"rule": item.key, "edit": "1"},
        )
        if item.fired == 0 and streamlit.button(say("rules.delete"), icon=":material/delete:"):
            asking.ask(moves["delete"])
    name = formats.plain(item.name)
    for on, question in ((True, "rules.on_question"), (False, "rules.off_question")):
        where, said = moves["on" if on else "off"], "rules.switched_on" if on else "rules.switched_off"
        if (item.state == "on") is not on and asking.confirmed(
            where,
            _question(question, name, streamlit.session_state.get(f"{where}:tried")),
            yes=say("rules.on_yes" if on else "rules.off_yes"),
            act=partial(rules.switch, current.client, item.key, on=on),
            done=lambda _, said=said: say(said, name=name),  # type: ignore[misc]  # the words of this move
            area="rules",
        ):
            streamlit.rerun()
    if asking.confirmed(
        moves["delete"],
        say("rules.delete_question", name=name),
        yes=say("rules.delete_yes"),
        act=partial(rules.delete, current.client, item.key),
        done=lambda _: say("rules.deleted", name=name),
        area="rules",
    ):
        streamlit.switch_page(PAGE)


def _question(question: str, name: str, tried: DryRun | None) -> str:
    words = [say(question, name=name), *([rule_dry_run.sentence(tried)] if tried else [])]
    return " ".join(words)


def _show_firings(seen: Seen) -> None:
    item = seen.item
    streamlit.subheader(say("rules.firings"), anchor=False)
    if item.fired == 0:
        streamlit.caption(say("rules.no_firings"))
        return
    firings, following = seen.firings
    rows = [
        {
            say("rules.firing.user"): formats.plain(firing.user_id),
            say("rules.firing.at"): formats.moment(firing.at),
            say("rules.firing.cause"): formats.plain(firing.cause),
            say("rules.firing.version"): str(firing.version),
            say("rules.firing.came_to"): formats.plain(outcome_words(firing.actions)) or formats.UNKNOWN,
        }
        for firing in firings
    ]
    streamlit.table(rows, border="horizontal", hide_index=True, alt=say("rules.firings"))
    if following:
        streamlit.page_link(
            PAGE,
            label=say("rules.next_page"),
            icon=":material/arrow_forward:",
            query_params={"rule": item.key, "firings": following},
        )


def outcome_words(actions: tuple[Mapping[str, Any], ...]) -> str:
    """What the actions of a firing came to, in the viewer's language; reasons in the words of the API."""
    said = [
        f"{told('rules.action', kind)} {thing}: {told('rules.outcome', end)}"
        for kind, thing, end in rule_fields.outcomes(actions)
    ]
    return "; ".join(said)


def _show_versions(seen: Seen) -> None:
    item = seen.item
    streamlit.subheader(say("rules.versions"), anchor=False)
    versions, following = seen.versions
    rows = []
    for before, version in zip([None, *versions], versions, strict=False):
        changed = rule_fields.changed_parts(before.definition, version.definition) if before else []
        what = ", ".join(told("rules.part", name) for name in changed)
        if before is None:
            what = say("rules.first_version" if version.version == 1 else "rules.earlier_page")
        rows.append(
            {
                say("rules.firing.version"): str(version.version),
                say("rules.version_at"): formats.moment(version.at),
                say("rules.version_by"): formats.plain(version.actor),
                say("rules.version_changed"): formats.plain(what),
            }
        )
    streamlit.table(rows[::-1], border="horizontal", hide_index=True, alt=say("rules.versions"))
    with streamlit.expander(say("rules.as_stored")):
        number = streamlit.selectbox(
            say("rules.firing.version"),
            [version.version for version in versions][::-1],
            help=say("rules.as_stored_help"),
            width=160,
        )
        chosen = next((version for version in versions if version.version == number), None)
        if chosen is not None:
            streamlit.json(dict(chosen.definition))
    if following:
        streamlit.page_link(
            PAGE,
            label=say("rules.next_page"),
            icon=":material/arrow_forward:",
            query_params={"rule": item.key, "versions": following},
        )
