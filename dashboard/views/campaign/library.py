"""The library of metrics, as the steps of the form know it."""

import streamlit

from dashboard import formats
from dashboard.calls import campaigns
from dashboard.campaign.documents import Document, at
from dashboard.client import ApiError, Client
from dashboard.views import states
from dashboard.views.remembering import remembered


def definitions(client: Client) -> dict[str, Document]:
    """Metrics that are known by their key: key -> definition. None when they cannot be asked, which stands on the page."""
    try:
        found = remembered("campaign:metrics", "", lambda: campaigns.metrics(client))
    except ApiError as error:
        states.leave_if_refused(error)
        streamlit.warning(formats.plain(str(error)))
        return {}
    return {str(item.get("key")): at(item, ("definition",), {}) for item in found}
