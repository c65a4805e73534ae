"""Names and texts of others, written so that a terminal obeys nothing in them."""

from __future__ import annotations


def printable(text: str) -> str:
    r"""The text, with whatever has no shape written as its escape: `\x1b`, `\n`, `\udcff`."""
    if text.isprintable():
        return text
    return "".join(
        letter if letter.isprintable() else letter.encode("unicode_escape").decode()
        for letter in text
    )
