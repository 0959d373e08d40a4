"""What Streamlit leaves undone of a page for everybody: the language it says it is in, colours that can be read, and the order of what a press says."""

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

# Streamlit sends what was typed in a turn of its own, after the field has been left, but a change of the page at once: of a press on a
# link that leaves a field, the page came first, and the value after it called the browser back (docs/decisions/0073). So the field is
# left when the press begins, and the page changes when what was typed has been sent. A press that opens another tab stays what it is.
LINKS: Final = """<script>if (!window.touchstoneLinks) {
  window.touchstoneLinks = true
  const link = event => event.target.closest?.('[data-testid=stSidebarNavLink], [data-testid=stPageLink-NavLink]')
  document.addEventListener('pointerdown', event => link(event) && document.activeElement?.blur(), true)
  document.addEventListener('click', event => {
    const pressed = link(event)
    const plain = !(event.button || event.ctrlKey || event.metaKey || event.shiftKey || event.altKey)
    if (!pressed || !event.isTrusted || !plain || pressed.target === '_blank') return
    event.preventDefault()
    event.stopPropagation()
    setTimeout(() => pressed.click())
  }, true)
}</script>"""


def show() -> None:
    """For screen readers, and for the shapes of letters: Streamlit says of every page that it is English."""
    tag = TAGS[viewer.language()]
    language = f"<script>document.documentElement.lang = '{tag}'</script>"
    streamlit.html(f"{STYLE}{language}{LINKS}", unsafe_allow_javascript=True)


def begin_at_the_top(part: str) -> None:
    """Show a part of a page from its beginning, once when it comes: the button that leads to it stood at the end of another."""
    # The browser runs it when it reads otherwise than before, so that typing further down moves nothing.
    scroll = "document.querySelector('[data-testid=stMain]').scrollTo(0, 0)"
    streamlit.html(f"<script>/* {part} */ {scroll}</script>", unsafe_allow_javascript=True)
