"""Pages taken apart, so that a tag that is not closed, or that should not be there, is noticed."""

from __future__ import annotations

from html.parser import HTMLParser

_VOID = {"meta", "br"}


class Tree(HTMLParser):
    """What stands on a page: its elements with the names of their attributes, and all its texts."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.wrong: list[str] = []
        """End tags of what was not open."""
        self.elements: list[tuple[str, ...]] = []
        """Each element, and behind it the names of its attributes."""
        self.texts: list[str] = []
        """What stands between tags, and the values of attributes."""

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.handle_startendtag(tag, attrs)
        if tag not in _VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, *(name for name, _ in attrs)))
        self.texts += [value or "" for _, value in attrs]

    def handle_endtag(self, tag: str) -> None:
        if not self.open or self.open.pop() != tag:
            self.wrong.append(tag)

    def handle_data(self, data: str) -> None:
        self.texts.append(data)

    def handle_comment(self, data: str) -> None:
        self.elements.append(("a comment",))


def tree_of(page: str) -> Tree:
    """Return what stands on a page of which every element is closed."""
    tree = Tree()
    tree.feed(page)
    tree.close()
    assert (tree.open, tree.wrong) == ([], [])
    return tree


def whole(page: str) -> list[str]:
    """Return the names of the elements of a page, each of which is closed."""
    return [tag for tag, *_ in tree_of(page).elements]
