"""One step of the wizard with all its fields, on the page of the wizard; and on whatever page comes after it, where it was left in a hurry."""

import streamlit

from dashboard.access import Access
from dashboard.client import Client
from dashboard.views.campaign import (
    audience_step,
    metrics_step,
    plan_step,
    review_step,
    variants_step,
    work,
)
from dashboard.views.campaign.widgets import Form


def show(client: Client, form: Form, step: str) -> None:
    """The fields of a step; when they stand, the document knows what they hold."""
    form.work.begin_step(step)
    if step == "audience":
        audience_step.show(client, form)
    elif step == "variants":
        variants_step.show(client, form)
    elif step == "metrics":
        metrics_step.show(client, form)
    elif step == "plan":
        plan_step.show(client, form)
    else:
        review_step.show(client, form)
    form.work.end_step()


def read_what_was_left(access: Access) -> None:
    """On another page: read what was entered in the wizard as the last thing before it was left, and keep the draft.

    The fields stand once more, for as long as that takes, since they alone know what is in them.
    """
    campaign = work.of_this_tab()
    if campaign is None or campaign.started or not access.may_write:
        return
    late = campaign.unread()
    if late:
        place = streamlit.empty()
        with place.container():
            for step in late:
                show(access.client, Form(campaign, set()), step)
        place.empty()
    work.save(access.client, campaign, elsewhere=True)
