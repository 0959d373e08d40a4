"""New campaign: a wizard over the document of a campaign. `?draft=KEY` opens one, `?copy=KEY` copies one, `&step=` names the step."""

import streamlit

from dashboard import access, formats
from dashboard.campaign import steps
from dashboard.client import ApiError, Client
from dashboard.texts import say
from dashboard.views import addressed, asking, frame, states
from dashboard.views.campaign import drafts, one_step, work
from dashboard.views.campaign.widgets import Form
from dashboard.views.campaign.work import STEP, Work


def show() -> None:
    streamlit.header(say("app.page.new_campaign"), anchor=False)
    current = access.required()
    if not current.may_write:
        streamlit.info(say("new_campaign.readers"), icon=":material/lock:")
        streamlit.page_link("views/experiments.py", label=say("app.page.experiments"))
        return
    if _show_started():
        return
    campaign = work.current(current.client)
    if campaign is None:
        if streamlit.button(say("new_campaign.begin"), icon=":material/add:"):
            work.leave()
            streamlit.rerun()
        return
    asking.show_note("campaign")
    campaign.begin_run()
    others = streamlit.container()
    chosen = _choose_step(campaign)
    # What was entered last in a step is read from its fields before another step, or another campaign, takes their place.
    step = next(iter(campaign.unread(but=chosen)), chosen)
    frame.begin_at_the_top(step)
    streamlit.caption(say(f"new_campaign.step_means.{step}"))
    problems = streamlit.container()
    told: set[steps.Mistake] = set()
    one_step.show(current.client, Form(campaign, told), step)
    if step != "review":
        _show_rest(problems, campaign, step, told)
    _show_ways(step)
    work.save(current.client, campaign)
    _show_saved(current.client, campaign)
    with others:
        drafts.show(current.client, campaign)
    campaign.end_run()
    if step != chosen:
        streamlit.rerun()


def _choose_step(campaign: Work) -> str:
    counts = {name: len(found) for name, found in steps.by_step(campaign.mistakes).items()}

    names = {
        step: f"{place}. {say(f'new_campaign.step.{step}')}"
        + (f" :red[:material/error: {counts[step]}]" if counts[step] else "")
        for place, step in enumerate(steps.STEPS, start=1)
    }
    chosen = addressed.segmented(
        say("new_campaign.steps"),
        steps.STEPS,
        name=STEP,
        shown=lambda step: names[step],
        default=steps.STEPS[0],
    )
    return str(chosen)


def _show_rest(place: object, campaign: Work, step: str, told: set[steps.Mistake]) -> None:
    """Mistakes of this step that stand beside no field."""
    with place:  # type: ignore[attr-defined]  # a container of Streamlit
        for mistake in steps.by_step(campaign.mistakes)[step]:
            if mistake not in told:
                field = f"`{mistake.field.replace('`', '')}`: " if mistake.field else ""
                streamlit.error(f"{field}{formats.plain(mistake.message)}", icon=":material/error:")


def _show_ways(step: str) -> None:
    back, on = steps.beside(step, -1), steps.beside(step, 1)
    streamlit.divider()
    with streamlit.container(horizontal=True, horizontal_alignment="distribute"):
        if back:
            streamlit.button(
                say("new_campaign.back", step=say(f"new_campaign.step.{back}")),
                icon=":material/arrow_back:",
                on_click=_go,
                args=(back,),
                key="campaign_back",
            )
        if on:
            streamlit.button(
                say("new_campaign.on", step=say(f"new_campaign.step.{on}")),
                type="primary",
                icon=":material/arrow_forward:",
                on_click=_go,
                args=(on,),
                key="campaign_on",
            )


def _go(step: str) -> None:
    streamlit.query_params[STEP] = step


def _show_saved(client: Client, campaign: Work) -> None:
    """Whether the draft is kept; who else has written to it."""
    if campaign.conflict:
        streamlit.warning(formats.plain(campaign.conflict), icon=":material/group:")
        with streamlit.container(horizontal=True):
            theirs = streamlit.button(say("new_campaign.open_theirs"))
            mine = streamlit.button(say("new_campaign.keep_mine"))
        if mine:
            work.save(client, campaign, over=True)
            streamlit.rerun()
        if theirs:
            try:
                work.open_theirs(client, campaign)
            except ApiError as error:
                states.show_error(error, is_part=True)
                return
            streamlit.rerun()
    elif campaign.not_saved:
        streamlit.warning(
            say("new_campaign.not_saved", reason=formats.plain(campaign.not_saved)),
            icon=":material/cloud_off:",
        )
    elif campaign.stored_as and campaign.document == campaign.stored:
        streamlit.caption(say("new_campaign.stored", key=formats.plain(campaign.stored_as)))
    elif campaign.saved_at is not None:
        streamlit.caption(say("new_campaign.saved", when=formats.moment(campaign.saved_at)))
    else:
        streamlit.caption(say("new_campaign.saves_itself"))


def _show_started() -> bool:
    """What was started a moment ago, once; whether there was something."""
    key = work.started()
    if not key:
        return False
    streamlit.success(say("new_campaign.started", key=formats.plain(key)), icon=":material/check:")
    streamlit.page_link(
        "views/result.py", label=say("new_campaign.see_result"), query_params={"experiment": key}
    )
    streamlit.button(say("new_campaign.begin"), icon=":material/add:", key="campaign_another")
    return True


if __name__ == "__main__":
    show()
