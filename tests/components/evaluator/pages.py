"""A page taken apart by Python's own HTML parser, which is the tests' reader of reports."""

from html.parser import HTMLParser
from typing import NamedTuple

BLOCKS = {"td", "th", "li", "dt", "dd", "h3", "p"}  # set apart from what goes before them
VOID = {"meta", "link", "br", "hr", "img", "input", "base"}


class Tag(NamedTuple):
    """An element: its name, attributes, and all text within it."""

    name: str
    attributes: dict[str, str]
    texts: list[str]

    @property
    def text(self) -> str:
        return " ".join("".join(self.texts).split())


class Page(HTMLParser):
    """All elements in order; raises AssertionError where tags are not nested as they should be."""

    def __init__(self, page: str):
        super().__init__()
        self.tags: list[Tag] = []
        self.open: list[Tag] = []
        self.feed(page)
        self.close()
        assert not self.open, [tag.name for tag in self.open]

    def handle_starttag(self, name: str, attributes: list[tuple[str, str | None]]) -> None:
        tag = Tag(name, {key: value or "" for key, value in attributes}, [])
        self.tags.append(tag)
        if name in BLOCKS:
            self.handle_data(" ")
        if name not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, name: str, attributes: list[tuple[str, str | None]]) -> None:
        self.tags.append(Tag(name, {key: value or "" for key, value in attributes}, []))

    def handle_endtag(self, name: str) -> None:
        assert self.open.pop().name == name, (name, self.getpos())

    def handle_data(self, data: str) -> None:
        for tag in self.open:
            tag.texts.append(data)

    def all(self, name: str, style: str = "") -> list[Tag]:
        """Elements of a name, with a class where one is given."""
        return [
            tag
            for tag in self.tags
            if tag.name == name and (not style or style in tag.attributes.get("class", "").split())
        ]

    def section(self, identity: str) -> Tag | None:
        return next((tag for tag in self.all("section") if tag.attributes.get("id") == identity), None)
