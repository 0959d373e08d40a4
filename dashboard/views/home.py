"""The first page: what calls for somebody, what runs and how it does, what went out today. One request."""

from typing import Final

import streamlit

from dashboard import access, formats
from dashboard.calls import overview as calls
from dashboard.overview import Alert, Overview, Today
from dashboard.texts import catalogue, say
from dashboard.views import experiment_rows, states

# Alerts that are shown at once; the others on request.
FIRST: Final = 6
CAPS: Final = ("day", "week", "month")


def show() -> None:
    current = access.required()
    title, refresh = streamlit.columns([5, 1], vertical_alignment="bottom")
    title.header(say("app.page.home"), anchor=False)
    refresh.button(say("home.refresh"), icon=":material/refresh:", width="stretch")
    found = states.fetched("overview", lambda: calls.overview(current.client))
    if found is None:
        return
    _show_alerts(found)
    if not sum(found.counts.values()):
        _show_empty(may_write=current.may_write)
    else:
        _show_today(found.today)
        _show_live(found)
    streamlit.caption(say("home.as_of", when=formats.moment(found.at)))


def _show_alerts(found: Overview) -> None:
    if not found.alerts:
        streamlit.success(say("home.quiet"), icon=":material/check_circle:")
    for alert in found.alerts[:FIRST]:
        _show_alert(alert)
    rest = found.alerts[FIRST:]
    if rest:
        more = len(rest) + found.alerts_left_out
        with streamlit.expander(say("home.more_alerts", count=more)):
            for alert in rest:
                _show_alert(alert)
            if found.alerts_left_out:
                streamlit.caption(say("home.left_out", count=found.alerts_left_out))
    if found.not_looked_at:
        streamlit.warning(say("home.not_looked_at", count=found.not_looked_at))


def _show_alert(alert: Alert) -> None:
    words, link = streamlit.columns([6, 1.6], vertical_alignment="center")
    box, icon = (
        (streamlit.error, ":material/warning:") if alert.is_red else (streamlit.warning, ":material/info:")
    )
    with words:
        box(alert_words(alert), icon=icon)
    if alert.page is not None:
        link.page_link(
            f"views/{alert.page}.py", label=say(f"home.look_{alert.page}"), query_params=alert.address
        )


def alert_words(alert: Alert) -> str:
    """An alert in one sentence of Markdown; a kind that is not known here in the API's own words."""
    key = f"home.alert.{alert.kind}"
    told = {name: formats.plain(getattr(alert, name)) for name in ("name", "subject", "detail")}
    if key not in catalogue():
        said = (alert.kind.replace("_", " "), alert.name, alert.subject, alert.detail)
        return formats.plain(": ".join(part for part in said if part))
    return say(key, **told, when=formats.moment(alert.at))


def _show_today(today: Today) -> None:
    messages, people, due, sending = streamlit.columns(4)
    messages.metric(say("home.messages"), formats.count(today.messages), help=say("home.messages_help"))
    people.metric(say("home.people"), _people(today), help=say("home.people_help"))
    if today.people_limit:
        share = min(1.0, today.people / today.people_limit)
        people.progress(share, text=say("home.share", share=formats.percent(share, 0)))
    due.metric(say("home.due"), formats.count(today.due), help=say("home.due_help"))
    state = "paused" if today.paused else "running" if today.workers else "nobody"
    sending.metric(say("home.sending"), say(f"home.sending_{state}"), help=say("home.sending_help"))
    caps = [
        say(f"home.cap_{span}", count=today.caps[span]) for span in CAPS if today.caps.get(span) is not None
    ]
    streamlit.caption(say("home.caps", caps=", ".join(caps)) if caps else say("home.no_caps"))
    streamlit.page_link("views/delivery.py", label=say("home.to_delivery"), icon=":material/send:")


def _people(today: Today) -> str:
    if today.people_limit is None:
        return formats.count(today.people)
    return say("home.of", part=formats.count(today.people), whole=formats.count(today.people_limit))


def _show_live(found: Overview) -> None:
    running, paused = found.counts.get("running", 0), found.counts.get("paused", 0)
    streamlit.subheader(say("home.live", running=running, paused=paused), anchor=False)
    if not found.live:
        streamlit.info(say("home.nothing_runs"), icon=":material/science:")
    experiment_rows.show(found.live)
    total = sum(found.counts.values())
    streamlit.page_link("views/experiments.py", label=say("home.all", count=total))


def _show_empty(*, may_write: bool) -> None:
    streamlit.info(say("home.empty" if may_write else "home.empty_reader"), icon=":material/science:")
    if may_write:
        streamlit.page_link(
            "views/import_quality.py", label=say("home.import"), icon=":material/upload_file:"
        )
        streamlit.page_link("views/new_campaign.py", label=say("home.design"), icon=":material/add:")


if __name__ == "__main__":
    show()
