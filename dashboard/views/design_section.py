"""The design as text, and the way to a copy of it."""

import streamlit

from dashboard import access
from dashboard.campaign import documents
from dashboard.documents import Experiment
from dashboard.texts import say


def show(experiment: Experiment) -> None:
    streamlit.caption(say("result.design.help"))
    if access.required().may_write:
        streamlit.page_link(
            "views/new_campaign.py",
            label=say("result.design.duplicate"),
            icon=":material/content_copy:",
            query_params={"copy": experiment.key},
        )
    streamlit.code(documents.to_yaml(documents.opened(experiment.design)), language="yaml", wrap_lines=True)
