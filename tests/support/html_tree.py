"""Pages as browsers read them, for tests: whatever HTML 5 calls an error fails."""

from __future__ import annotations

from collections.abc import Iterator

import html5lib
from bs4 import BeautifulSoup, Tag

__all__ = ["Node", "parse"]


class Node:
    """An element."""

    def __init__(self, element: Tag) -> None:
        self._element = element

    def __getitem__(self, name: str) -> str:
        return self.attributes[name]

    @property
    def tag(self) -> str:
        """Its name."""
        return self._element.name

    @property
    def attributes(self) -> dict[str, str]:
        """Values by name."""
        return {name: " ".join(v) if isinstance(v, list) else v for name, v in self._element.attrs.items()}

    @property
    def classes(self) -> list[str]:
        """Names in its attribute ``class``."""
        return self.attributes.get("class", "").split()

    @property
    def text(self) -> str:
        """All its text, with single spaces."""
        text = self._element.string if self.tag in ("script", "style") else self._element.get_text(" ")
        return " ".join((text or "").split())

    def walk(self) -> Iterator[Node]:
        """All elements in it."""
        return (Node(found) for found in self._element.find_all(True))

    def all(self, tag: str, cls: str = "") -> list[Node]:
        """Elements in it of a tag, and a class if one is named."""
        return [node for node in self.walk() if node.tag == tag and (not cls or cls in node.classes)]

    def one(self, tag: str, cls: str = "") -> Node:
        """The only such element."""
        (found,) = self.all(tag, cls)
        return found


def parse(html: str) -> Node:
    """Tree of a page that is valid: `html5lib` raises `ParseError` of any other."""
    html5lib.HTMLParser(strict=True).parse(html)
    return Node(BeautifulSoup(html, "html5lib"))
