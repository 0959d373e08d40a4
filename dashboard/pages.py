"""Every page: its file, its address, and where it stands in the navigation.

No page has an icon: browsers would fetch one from a font server, and this dashboard speaks only to the API.
"""

from typing import Final

import streamlit
from streamlit.navigation.page import StreamlitPage

from dashboard.access import Access
from dashboard.texts import say

SECTIONS: Final[dict[str, tuple[str, ...]]] = {
    "watch": ("home", "experiments", "result"),
    "design": ("new_campaign", "planner", "simulation"),
    "audience": ("users", "segments", "rules", "import_quality", "data_quality"),
    "machine": ("delivery", "access"),
}
"""The names of files in `views/`, section by section."""
ADDRESSES: Final = {
    "new_campaign": "new-campaign",
    "import_quality": "import",
    "data_quality": "data-quality",
}
"""Where a page's address is not its name."""
NOT_IN_NAVIGATION: Final = frozenset({"result"})
FOR_ADMINS: Final = frozenset({"access"})


def sections(access: Access | None) -> dict[str, list[StreamlitPage]]:
    """The pages by the title of their section. A page that this role cannot use is not in the navigation."""
    return {
        say(f"app.section.{section}"): [_page(name, access) for name in names]
        for section, names in SECTIONS.items()
    }


def _page(name: str, access: Access | None) -> StreamlitPage:
    barred = name in FOR_ADMINS and not (access and access.may_administer)
    return streamlit.Page(
        f"views/{name}.py",
        title=say(f"app.page.{name}"),
        url_path=ADDRESSES.get(name, name),
        default=name == "home",
        visibility="hidden" if barred or name in NOT_IN_NAVIGATION else "visible",
    )
