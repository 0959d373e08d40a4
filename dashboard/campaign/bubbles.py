"""A message as its reader would see it in WhatsApp, as HTML. Pure.

Everything is escaped; each text finds its own direction (`dir="auto"`), so that Arabic runs from the right beside English.
"""

import re
from collections.abc import Mapping
from html import escape
from typing import Any, Final

from dashboard.campaign.documents import at, items_at

# WhatsApp's own marks, where they stand at the edge of a word.
_MARKS: Final = (
    (re.compile(r"```(.+?)```", re.DOTALL), "code"),
    (re.compile(r"(?<![\w*])\*(?=\S)([^*\n]*?[^\s*])\*(?![\w*])"), "strong"),
    (re.compile(r"(?<![\w_])_(?=\S)([^_\n]*?[^\s_])_(?![\w_])"), "em"),
    (re.compile(r"(?<![\w~])~(?=\S)([^~\n]*?[^\s~])~(?![\w~])"), "s"),
)
_BUBBLE: Final = (
    "max-width:22rem;background:#ffffff;color:#111b21;border-radius:0.6rem;padding:0.5rem 0.7rem;"
    "box-shadow:0 1px 2px rgba(11,20,26,.35);font-size:0.95rem;line-height:1.45;overflow-wrap:anywhere"
)
_GROUND: Final = "background:#efeae2;border-radius:0.6rem;padding:0.8rem"
_TEXT: Final = "white-space:pre-wrap;text-align:start"
_BUTTON: Final = (
    "border-top:1px solid #d1d7db;color:#006d5b;text-align:center;padding:0.4rem 0 0.3rem;margin-top:0.4rem"
)


def marked(text: str) -> str:
    """WhatsApp's *bold*, _italic_, ~struck~ and ```code``` as HTML; everything else is escaped.

    >>> marked("*50%* off <now>")
    '<strong>50%</strong> off &lt;now&gt;'
    """
    html = escape(text)
    for pattern, tag in _MARKS:
        html = pattern.sub(rf"<{tag}>\1</{tag}>", html)
    return html


def bubble(shown: Mapping[str, Any], *, attachment: str) -> str:
    """The HTML of one user's preview. attachment: what stands for a picture or a file of the header."""
    kind, header = at(shown, ("header_kind",)), at(shown, ("header",))
    parts = []
    if kind and str(kind).lower() != "text":
        box = "background:#d1d7db;color:#111b21;border-radius:0.4rem;padding:1.2rem;text-align:center"
        parts.append(f'<div style="{box}">{escape(attachment)}</div>')
    elif header:
        parts.append(_line(str(header), "font-weight:600"))
    body = at(shown, ("body",))
    if body is not None:
        parts.append(_line(str(body)))
    else:
        # The registry does not have the template: there are only the values that would fill it.
        parts += [_line(str(value)) for value in items_at(shown, ("parameters",))]
    if footer := at(shown, ("footer",)):
        parts.append(_line(str(footer), "color:#54656f;font-size:0.85rem"))
    parts += [
        f'<div dir="auto" style="{_BUTTON}">{escape(str(at(button, ("text",), "")))}</div>'
        for button in items_at(shown, ("buttons",))
    ]
    language = escape(str(at(shown, ("language",), "")).replace("_", "-"))
    return f'<div style="{_GROUND}"><div lang="{language}" style="{_BUBBLE}">{"".join(parts)}</div></div>'


def _line(text: str, style: str = "") -> str:
    # Each paragraph by itself: an English line below an Arabic one keeps its own direction.
    return "".join(
        f'<div dir="auto" style="{_TEXT};{style}">{marked(paragraph) or "&nbsp;"}</div>'
        for paragraph in text.split("\n")
    )
