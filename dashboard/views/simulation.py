"""A campaign played many times in a made-up world, under each allocation policy, before anybody is messaged."""

import json
from collections.abc import Mapping
from typing import Any, Final

import streamlit

from dashboard import access, formats
from dashboard.calls import campaigns, planning
from dashboard.campaign import arms
from dashboard.campaign.documents import Unwritable, at, from_yaml, items_at
from dashboard.client import ApiError
from dashboard.policy_advice import policy_name
from dashboard.simulated import POLICIES, Arm, Simulated, World, question, together
from dashboard.texts import say
from dashboard.views import addressed, campaign_choice, simulation_answers, states
from dashboard.views.asked_fields import Fields, said
from dashboard.views.remembering import remembered

SOURCES: Final = ("stored", "pasted")
WAYS: Final = ("rates", "lifts")
LONGEST: Final = 6_000  # letters of a pasted campaign: it stands in the address
SHARES: Final = frozenset({"proportion", "retention"})
_ANSWERED: Final = "simulation:answered"


def show() -> None:
    streamlit.header(say("app.page.simulation"), anchor=False)
    streamlit.caption(say("simulation.intro"))
    source = addressed.segmented(
        say("simulation.source"),
        SOURCES,
        name="source",
        shown=lambda option: say(f"simulation.sources.{option}"),
        default=SOURCES[0],
        help=say("simulation.source_help"),
    )
    document = _pasted() if source == "pasted" else _stored()
    if document is None:
        return
    cells = [cell for cell in arms.cells(document) if cell.key]
    if len(cells) < 2:
        streamlit.warning(say("simulation.two_arms"), icon=":material/alt_route:")
        return
    _ask(document, cells)


def _stored() -> Mapping[str, Any] | None:
    found = campaign_choice.chosen()
    if found is None:
        return None
    campaign_choice.show_link(found[0])
    return found[1]


def _pasted() -> Mapping[str, Any] | None:
    text = streamlit.text_area(
        say("simulation.yaml"),
        height=220,
        max_chars=LONGEST,
        key="yaml",
        bind="query-params",
        help=say("simulation.yaml_help"),
    )
    if not (text or "").strip():
        streamlit.caption(say("simulation.yaml_first"))
        return None
    try:
        return from_yaml(text)
    except Unwritable as error:
        streamlit.error(formats.plain(str(error)), icon=":material/error:")
        return None


def _ask(document: Mapping[str, Any], cells: list[arms.Cell]) -> None:
    fields = Fields("simulation")
    world = _world(fields, cells, is_share=_is_share(document))
    if fields.ask_to_mend():
        return
    asks = question(document, world)
    name = json.dumps(asks, sort_keys=True)
    streamlit.caption(say("simulation.bounded"))
    if streamlit.button(say("simulation.run"), type="primary", icon=":material/play_arrow:"):
        try:
            found = _played(asks)
        except ApiError as error:
            fields.tell(error, prefix="world.")
            return
        streamlit.session_state[_ANSWERED] = (name, found)
    answered = streamlit.session_state.get(_ANSWERED)
    if answered is None:
        streamlit.info(say("simulation.nothing_yet"), icon=":material/casino:")
    elif answered[0] != name:
        streamlit.info(say("simulation.changed"), icon=":material/edit:")
    else:
        simulation_answers.show(answered[1])


def _played(asks: Mapping[str, Any]) -> Simulated:
    """One policy after the other, each shown as it comes. Raises ApiError."""
    client, parts = access.required().client, []
    bar, place = streamlit.empty(), streamlit.empty()
    for number, policy in enumerate(POLICIES):
        words = say("simulation.running", name=policy_name(policy), number=number + 1, all=len(POLICIES))
        bar.progress(number / len(POLICIES), text=words)
        parts.append(planning.simulate(client, asks, policy=policy))
        with place.container():
            simulation_answers.show_so_far(together(parts))
    bar.empty()
    place.empty()
    return together(parts)


def _world(fields: Fields, cells: list[arms.Cell], *, is_share: bool) -> World:
    streamlit.subheader(say("simulation.world"), anchor=False)
    streamlit.caption(say("simulation.world_means"))
    way = fields.one_of("truth", WAYS, words="simulation.truths")
    cells = sorted(cells, key=lambda cell: not cell.control)
    told = [_arm(fields, cell, way=way, is_share=is_share) for cell in cells]
    first, second, third = streamlit.columns(3)
    with first:
        users = fields.whole("users_per_interval", default=1000, most=10_000_000)
    with second:
        intervals = fields.whole("intervals", default=30, most=365)
    with third:
        drift = fields.number("drift", default=1.0, least=0.01, most=100, step=0.1)
    with streamlit.expander(say("simulation.more"), expanded=said("sd", "runs", "seed")):
        first, second, third = streamlit.columns(3)
        with first:
            sd = None if is_share else fields.number("sd")
            runs = fields.whole("runs", least=20, most=10_000)
        with second:
            seed = fields.whole("seed", default=1, least=0)
    return World(
        arms=told,
        users_per_interval=users or 1000,
        intervals=intervals or 30,
        drift=1.0 if drift is None else drift,
        sd=sd,
        runs=runs,
        seed=seed or 0,
    )


def _arm(fields: Fields, cell: arms.Cell, *, way: str, is_share: bool) -> Arm:
    """What is true of one arm. The control always has a rate; of the others it or their lift is said."""
    name, lifted = cell.key, way == "lifts" and not cell.control
    rate = lift = value = None
    with streamlit.container(border=True):
        words = "simulation.control" if cell.control else "simulation.arm"
        streamlit.markdown(say(words, name=formats.plain(name)))
        columns = streamlit.columns(3 if is_share else 4)
        with columns[0]:
            if lifted:
                lift = fields.number(
                    "lift", default=10.0, least=-100, most=10_000, about=f"lift.{name}", key=f"lift.{name}"
                )
            else:
                default = 5.0 if cell.control else 6.0
                rate = fields.number(
                    "rate", default=default, most=100, step=0.5, about=f"rates.{name}", key=f"rate.{name}"
                )
        if not is_share:
            with columns[-3]:
                value = fields.number("value", about=f"values.{name}", key=f"value.{name}")
        with columns[-2]:
            delay = fields.number("delay", default=0.0, most=8760, about=f"delay.{name}", key=f"delay.{name}")
        with columns[-1]:
            lost = 0.0
            if not cell.silent:
                lost = (
                    fields.number(
                        "non_delivery",
                        default=0.0,
                        most=100,
                        about=f"non_delivery.{name}",
                        key=f"lost.{name}",
                    )
                    or 0.0
                )
    return Arm(key=name, rate=rate, lift=lift, value=value, delay=delay, non_delivery=lost)


def _is_share(document: Mapping[str, Any]) -> bool:
    """Whether the metric that traffic follows counts users. A metric of the library is looked up; what is not known is taken for one."""
    wanted = at(document, ("allocation", "metric"))
    for metric in items_at(document, ("metrics",)):
        key = at(metric, ("key",))
        if key == wanted or (wanted is None and at(metric, ("role",)) == "primary"):
            kind = at(metric, ("kind",)) or _kind_in_library(str(key))
            return kind is None or kind in SHARES
    return True


def _kind_in_library(key: str) -> str | None:
    client = access.required().client
    try:
        known = remembered("simulation:metrics", "all", lambda: campaigns.metrics(client))
    except ApiError as error:
        states.leave_if_refused(error)
        return None
    for item in known:
        if item.get("key") == key:
            return str(at(item, ("definition", "kind")) or item.get("kind"))
    return None


if __name__ == "__main__":
    show()
