"""Step 5: the whole campaign in words and as it would be applied; stored, and started after it is said what that does."""

import streamlit

from dashboard import formats
from dashboard.campaign import documents, doubts, fields, plan_answers
from dashboard.campaign.documents import Unwritable, at
from dashboard.client import ApiError, Client
from dashboard.texts import say
from dashboard.views.campaign import doubts_shown, in_words, plan_shown, plan_step, work
from dashboard.views.campaign.widgets import KEPT, Form, show_mistakes
from dashboard.views.campaign.work import Work

ASKED = "campaign_start_asked"


def show(client: Client, form: Form) -> None:
    campaign = form.work
    in_words.show(client, form, plan_step.known_plan(campaign))
    _show_yaml(form)
    show_mistakes(campaign)
    if not at(campaign.document, ("hypothesis",)):
        streamlit.warning(say("new_campaign.no_hypothesis"), icon=":material/edit_note:")
    for warning in campaign.warnings:
        streamlit.warning(formats.plain(warning))
    if campaign.stored_as and campaign.stored == campaign.document:
        stored_as = formats.plain(campaign.stored_as)
        streamlit.success(say("new_campaign.stored", key=stored_as), icon=":material/check:")
    if streamlit.session_state.get(ASKED) == plan_step.plan_name(campaign):
        _confirm(client, campaign)
        return
    if campaign.unfinished:
        streamlit.error(say("new_campaign.unfinished"), icon=":material/error:")
        return
    with streamlit.container(horizontal=True):
        check = streamlit.button(say("new_campaign.check"), icon=":material/fact_check:")
        store = streamlit.button(say("new_campaign.store"), icon=":material/save:")
        launch = streamlit.button(say("new_campaign.launch"), type="primary", icon=":material/rocket_launch:")
    streamlit.caption(say("new_campaign.store_means"))
    if check and plan_step.plan_of(client, campaign) is not None and not campaign.mistakes:
        streamlit.session_state["campaign_checked"] = plan_step.plan_name(campaign)
    stored = (store or launch) and work.store(client, campaign)
    if stored and launch:
        plan_step.plan_of(client, campaign)
        # A plan that cannot be had keeps nobody from starting; mistakes that it finds do.
        if not any(mistake.field for mistake in campaign.mistakes):
            streamlit.session_state[ASKED] = plan_step.plan_name(campaign)
    if check or store or launch:
        streamlit.rerun()
    if (
        streamlit.session_state.get("campaign_checked") == plan_step.plan_name(campaign)
        and not campaign.mistakes
    ):
        _show_checked(client, campaign)


def _show_checked(client: Client, campaign: Work) -> None:
    found = campaign.plans.get(plan_step.plan_name(campaign))
    if found is None:
        return
    if doubts_shown.show(client, campaign, found):
        streamlit.info(say("new_campaign.checked_doubtful"), icon=":material/rule:")
    else:
        streamlit.success(say("new_campaign.checked"), icon=":material/check:")
    plan_shown.show_reach(found, campaign.document)


def _show_yaml(form: Form) -> None:
    campaign = form.work
    text = documents.to_yaml(campaign.document)
    kept = fields.unshown(campaign.document)
    if kept:
        named = ", ".join(f"`{name.replace('`', '')}`" for name in kept[:20])
        streamlit.info(say("new_campaign.unshown", count=len(kept), names=named))
    # What scrolls has the button that copies in it: who has no mouse gets there by the Tab key.
    with streamlit.container(height=360 if text.count("\n") > 16 else "content", border=False):
        streamlit.code(text, language="yaml", wrap_lines=True)
    name = str(at(campaign.document, ("key",), "campaign"))
    streamlit.download_button(
        say("new_campaign.download"),
        text,
        file_name=f"{name}.yaml",
        mime="application/yaml",
        icon=":material/download:",
        on_click="ignore",
    )
    with streamlit.expander(say("new_campaign.edit_yaml")):
        key = form.key("~yaml")
        form.begin(key, text)
        entered = streamlit.text_area(
            say("campaign_field.label.yaml"),
            key=key,
            height=360,
            help=say("campaign_field.help.yaml"),
            persist_state=KEPT,
        )
        if streamlit.button(say("new_campaign.take_yaml"), key=form.key("~take_yaml")):
            try:
                form.remake(documents.from_yaml(entered))
            except Unwritable as error:
                streamlit.error(formats.plain(str(error)), icon=":material/error:")


def _confirm(client: Client, campaign: Work) -> None:
    """What a start does, in numbers, before it is done."""
    plan = campaign.plans.get(plan_step.plan_name(campaign), {})
    reach = plan_answers.reach_of(plan, campaign.document)
    unwritten = doubts.unwritten(plan)
    silenced = [variant for each in unwritten if each.is_for_nobody for variant in each.variants]
    for_nobody = ", ".join(map(formats.plain, silenced))
    says = "new_campaign.start_says_doubtful" if unwritten else "new_campaign.start_says"
    with streamlit.container(border=True):
        name = formats.plain(str(at(campaign.document, ("name",), campaign.key)))
        streamlit.subheader(say("new_campaign.start_question", name=name), anchor=False)
        streamlit.markdown(
            say(
                says if reach.people is not None else "new_campaign.start_cannot_tell",
                people=formats.count(reach.people),
                messages=formats.count(reach.messages),
                taking_part=formats.count(reach.taking_part),
            )
        )
        plan_shown.show_reach(plan, campaign.document)
        plan_shown.show_verdict(plan)
        doubts_shown.show(client, campaign, plan)
        streamlit.markdown(say("new_campaign.cannot_be_undone"))
        agreed = not for_nobody or streamlit.checkbox(say("new_campaign.start_silent", variants=for_nobody))
        with streamlit.container(horizontal=True):
            yes = streamlit.button(
                say("new_campaign.start"),
                type="primary",
                icon=":material/rocket_launch:",
                disabled=not agreed,
            )
            no = streamlit.button(say("new_campaign.not_yet"))
    if yes:
        _start(client, campaign)
    if no:
        del streamlit.session_state[ASKED]
        streamlit.rerun()


def _start(client: Client, campaign: Work) -> None:
    del streamlit.session_state[ASKED]
    try:
        client.move(campaign.stored_as or campaign.key, "start")
    except ApiError as error:
        work.note(campaign, error)
    else:
        # Noted where no word of the browser's can come between: see `deeds`.
        campaign.started = True
    streamlit.rerun()
