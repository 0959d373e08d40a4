"""What Streamlit leaves undone of a page for everybody: the language it says it is in, and colours that can be read."""

from typing import Final

import streamlit

from dashboard import viewer

TAGS: Final = {"en": "en", "zh": "zh-CN"}
STYLE: Final = """<style>
/* The theme's blue on a tint of it, and orange on nearly white: too little contrast. Only there: what Streamlit shows paler, as
   the caption of an answer, would be too pale in this blue. */
[data-testid="stButtonGroup"] [data-selected="true"] p {color: light-dark(#005A8C, #8FD0F5)}
/* Of a table that is too wide for the screen each column would be a letter wide: sentences are to be read, and the table scrolls. */
.st-key-health :is(td, th) {min-width: 5rem}
.st-key-health :is(td, th):is(:nth-child(4), :nth-child(6)) {min-width: 13rem}
[data-testid="stCode"] .token {color: inherit !important}
</style>"""


def show() -> None:
    """For screen readers, and for the shapes of letters: Streamlit says of every page that it is English."""
    tag = TAGS[viewer.language()]
    streamlit.html(
        f"{STYLE}<script>document.documentElement.lang = '{tag}'</script>", unsafe_allow_javascript=True
    )


def begin_at_the_top(part: str) -> None:
    """Show a part of a page from its beginning, once when it comes: the button that leads to it stood at the end of another."""
    # The browser runs it when it reads otherwise than before, so that typing further down moves nothing.
    scroll = "document.querySelector('[data-testid=stMain]').scrollTo(0, 0)"
    streamlit.html(f"<script>/* {part} */ {scroll}</script>", unsafe_allow_javascript=True)
