"""How sending is doing, what holds it back, and the switch that stops all of it."""

from typing import Final

import streamlit

from dashboard import access, delivery_charts, formats
from dashboard.calls import delivery as calls
from dashboard.client import Client
from dashboard.texts import say
from dashboard.views import delivery_switches, delivery_tables, states

REFRESH_SECONDS: Final = 5
LINKED: Final = 6
"""Experiments whose messages the page leads to; the list of experiments leads to all."""
FEW: Final = 10
"""Messages a minute that are counted to a tenth."""
SLOW_SECONDS: Final = 600
"""So long may the queue lag behind before it is an alarm (docs/operations.md)."""


def show() -> None:
    streamlit.header(say("app.page.delivery"), anchor=False)
    streamlit.fragment(_show_now, run_every=REFRESH_SECONDS)()


def _show_now() -> None:
    current = access.required()
    seen = states.fetched("delivery", lambda: calls.delivery(current.client))
    if seen is None:
        return
    _show_alarms(seen)
    delivery_switches.show_pause(current, seen)
    if not seen.experiments:
        streamlit.info(say("delivery.nothing"), icon=":material/send:")
        streamlit.page_link("views/new_campaign.py", label=say("app.page.new_campaign"))
    _show_rates(seen)
    delivery_switches.show_fuses(current, seen.fuses)
    _show_messages(seen)
    delivery_tables.show_held(seen)
    delivery_tables.show_failures(seen)
    if seen.experiments:
        streamlit.caption(say("delivery.one_user"))
        streamlit.page_link(
            "views/users.py", label=say("delivery.find_user"), icon=":material/person_search:"
        )
    _show_rest(current.client, seen)
    streamlit.caption(
        say("delivery.counted", when=formats.plain(formats.moment(seen.at)), seconds=REFRESH_SECONDS)
    )


def _show_rest(client: Client, seen: calls.Delivery) -> None:
    known = states.fetched(
        "delivery-numbers", lambda: (calls.numbers(client), calls.policy(client)), is_part=True
    )
    if known is None:
        return
    numbers, policy = known
    delivery_tables.show_numbers(numbers)
    delivery_tables.show_caps(policy)
    delivery_tables.show_workers(seen)


def _show_alarms(seen: calls.Delivery) -> None:
    for each in seen.experiments:
        if not each.holds:
            name = formats.plain(each.experiment)
            streamlit.error(say("delivery.alarm.books", experiment=name), icon=":material/warning:")
    if not seen.workers and seen.queue.due:
        streamlit.error(say("delivery.alarm.nobody_sends"), icon=":material/power_off:")
    elif seen.queue.oldest_seconds > SLOW_SECONDS and not seen.fuses and not seen.paused:
        age = formats.duration(seen.queue.oldest_seconds)
        streamlit.error(say("delivery.alarm.slow", age=age), icon=":material/hourglass_bottom:")
    if seen.webhooks_errors:
        streamlit.warning(
            say("delivery.alarm.webhooks", count=seen.webhooks_errors), icon=":material/webhook:"
        )


def _show_rates(seen: calls.Delivery) -> None:
    streamlit.subheader(say("delivery.now.title"), anchor=False)
    rate, mean = (per_minute(seen.per_minute.get(minutes, 0.0)) for minutes in ("1", "15"))
    reached = formats.count(seen.unique_users)
    if seen.unique_users_limit is not None:
        reached = say("delivery.now.reach_of", count=seen.unique_users, limit=seen.unique_users_limit)
    oldest = formats.duration(seen.queue.oldest_seconds) if seen.queue.due else formats.UNKNOWN
    tiles = (
        ("rate", rate, say("delivery.now.rate_15", rate=mean)),
        ("due", formats.count(seen.queue.due), None),
        ("oldest", oldest, None),
        ("later", formats.count(seen.queue.later + seen.queue.paused), None),
        ("reach", reached, None),
    )
    with streamlit.container(horizontal=True):
        for name, value, beside in tiles:
            streamlit.metric(
                say(f"delivery.now.{name}"),
                value,
                delta=beside,
                delta_color="off",
                delta_arrow="off",
                help=say(f"delivery.now.{name}_help"),
                border=True,
            )


def per_minute(rate: float) -> str:
    """Messages a minute; few of them with a tenth, so that one in a quarter of an hour is not none.

    >>> per_minute(1234.4), per_minute(1 / 15), per_minute(0)
    ('1,234', '0.1', '0')
    """
    return formats.number(rate, 1 if 0 < rate < FEW else 0)


def _show_messages(seen: calls.Delivery) -> None:
    if not seen.experiments:
        return
    streamlit.subheader(say("delivery.messages.title"), anchor=False)
    words = {state: say(f"delivery.messages.{state}") for state in delivery_charts.STATES}
    chart = delivery_charts.by_state(seen.experiments, words=words, axis=say("delivery.messages.axis"))
    if chart is not None:
        streamlit.altair_chart(chart, width="stretch", alt=say("delivery.messages.chart"))
    delivery_tables.show_messages(seen, words)
    with streamlit.container(horizontal=True):
        for each in delivery_tables.busiest(seen)[:LINKED]:
            name = formats.plain(each.experiment)
            streamlit.page_link(
                "views/result.py",
                label=say("delivery.messages.of", experiment=name),
                query_params={"experiment": each.experiment, "show": "messages"},
            )


if __name__ == "__main__":
    show()
