"""The dashboard's entrance: `streamlit run dashboard/app.py -- --api-url URL` (`touchstone dashboard` does it).

Reads the address of the API from its arguments, asks for a key, and shows the pages in `views/`.
"""

import argparse
import sys
from typing import Final

import streamlit

from dashboard import access, pages, viewer
from dashboard.views import frame, sidebar, sign_in
from dashboard.views.campaign import one_step

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
    viewer.agree_on_language()
    current = access.current()
    # The pages are known before the sign-in too, so that a bookmark survives it.
    page = streamlit.navigation(pages.sections(current), position="sidebar" if current else "hidden")
    sidebar.show(current)
    with streamlit.sidebar:
        # Where it takes no room of the page's own.
        frame.show()
    if current is None:
        sign_in.show(api_url)
        return
    # A link from a page to itself leaves the browser's address as it was, and the next click would run the page of before.
    # Nothing is changed here: an update, even an empty one, tells the browser what the address is.
    streamlit.query_params.update({})
    if page.url_path != pages.ADDRESSES["new_campaign"]:
        one_step.read_what_was_left(current)
    page.run()


if __name__ == "__main__":
    show()
