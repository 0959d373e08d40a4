"""Reads a page as strictly as the standard library can: every tag is closed, where it was opened."""

from html.parser import HTMLParser

VOID = frozenset({"meta", "br", "hr", "img", "input", "link"})


class Page(HTMLParser):
    """`text` is what a reader sees, `tags` every element in order, `attributes` all of them."""

    def __init__(self, source: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.attributes: list[tuple[str, str | None]] = []
        self.text = ""
        self._open: list[str] = []
        self.declared = ""
        self.feed(source)
        self.close()
        assert self._open == [], f"never closed: {self._open}"

    def handle_decl(self, decl: str) -> None:
        self.declared = decl

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.handle_startendtag(tag, attrs)
        if tag not in VOID:
            self._open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        assert len({name for name, _ in attrs}) == len(attrs), f"an attribute twice in {tag}: {attrs}"
        self.tags.append(tag)
        self.attributes += attrs

    def handle_endtag(self, tag: str) -> None:
        assert self._open, f"{tag} closed, and nothing is open"
        assert self._open.pop() == tag, f"{tag} closed out of order"

    def handle_data(self, data: str) -> None:
        if self._open[-1:] != ["style"]:
            self.text += data
