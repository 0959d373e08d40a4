"""Named here, so that the pages know each other's addresses."""

import streamlit

from dashboard.texts import say


def show() -> None:
    streamlit.header(say("app.page.simulation"), anchor=False)


if __name__ == "__main__":
    show()
