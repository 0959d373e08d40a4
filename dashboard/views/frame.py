"""What Streamlit leaves undone of a page for everybody: the language it says it is in, and colours that can be read."""

from typing import Final

import streamlit

from dashboard import viewer

TAGS: Final = {"en": "en", "zh": "zh-CN"}
STYLE: Final = """<style>
/* The theme's blue on a tint of it, and orange on nearly white: too little contrast. Only there: what Streamlit shows paler, as
   the caption of an answer, would be too pale in this blue. */
[data-testid="stButtonGroup"] [data-selected="true"] p {color: light-dark(#005A8C, #8FD0F5)}
[data-testid="stCode"] .token {color: inherit !important}
</style>"""


def show() -> None:
    """For screen readers, and for the shapes of letters: Streamlit says of every page that it is English."""
    tag = TAGS[viewer.language()]
    streamlit.html(
        f"{STYLE}<script>document.documentElement.lang = '{tag}'</script>", unsafe_allow_javascript=True
    )
