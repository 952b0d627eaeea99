"""Pieces of Markdown."""

import re
from collections.abc import Iterable, Sequence


def page(*paragraphs: str) -> str:
    return "\n\n".join(filter(None, paragraphs))


def table(header: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    lines = [header, ["---"] * len(header), *rows]
    return "\n".join("| " + " | ".join(map(_cell, line)) + " |" for line in lines)


def _cell(text: str) -> str:
    return " ".join(text.split()).replace("|", r"\|")


def sentence(text: str) -> str:
    """Return text with a capital first letter, unless its first word is code or an address."""
    return text if ":" in text.partition(" ")[0] else text[:1].upper() + text[1:]


def prose(text: str) -> str:
    """Return text with single line breaks replaced by spaces; paragraphs stay."""
    return re.sub(r"(?<!\n)\n(?!\n)", " ", text.strip())
