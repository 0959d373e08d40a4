"""The dashboard's entrance: `streamlit run dashboard/app.py -- --api-url URL` (`touchstone dashboard` does it).

Reads the address of the API from its arguments, asks for a key, and shows the pages in `views/`.
"""

import argparse
import sys
from typing import Final

import streamlit

from dashboard import access
from dashboard.views import sign_in

DEFAULT_API_URL: Final = "http://127.0.0.1:8000"


def read_arguments(arguments: list[str]) -> str:
    """The address of the API. Arguments that are not ours are left to whoever started us."""
    parser = argparse.ArgumentParser(prog="dashboard", allow_abbrev=False)
    parser.add_argument("--api-url", default=DEFAULT_API_URL, help="address of the Touchstone API")
    known, _ = parser.parse_known_args(arguments)
    return str(known.api_url)


def show() -> None:
    streamlit.set_page_config(page_title="Touchstone", layout="wide")
    api_url = read_arguments(sys.argv[1:])
    signed_in = access.current() is not None
    # No icons on pages or tab: browsers would fetch them from a font server, and this page speaks only to the API.
    # The pages are known before the sign-in too, so that a bookmark survives it.
    page = streamlit.navigation(
        [
            streamlit.Page(
                "views/experiments.py",
                title="Experiments",
                url_path="experiments",
                default=True,
            ),
            streamlit.Page("views/result.py", title="Result", url_path="result"),
            streamlit.Page("views/data_quality.py", title="Data quality", url_path="data-quality"),
            streamlit.Page("views/import_quality.py", title="Import", url_path="import"),
        ],
        position="hidden",
    )
    if not signed_in:
        sign_in.show(api_url)
        return
    _show_bar()
    page.run()


def _show_bar() -> None:
    pages, who = streamlit.columns([1, 1], vertical_alignment="center")
    with pages.container(horizontal=True, vertical_alignment="center"):
        streamlit.page_link(
            "views/experiments.py", label="**Touchstone** · all experiments", icon=":material/balance:"
        )
        streamlit.page_link("views/data_quality.py", label="Data quality", icon=":material/fact_check:")
    with who.container(horizontal=True, horizontal_alignment="right", vertical_alignment="center"):
        rights = "may look and act" if access.required().may_write else "may look"
        streamlit.caption(f"This key {rights}.", width="content")
        streamlit.button("Sign out", icon=":material/logout:", type="tertiary", on_click=access.sign_out)


if __name__ == "__main__":
    show()
