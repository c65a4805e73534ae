"""docs/insights.md, from what `GET /insights` says: `python -m worker.definitions [--check]`.

What stands between two marks is written anew; the rest of the page, and its tables, are left alone.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

from worker.insights import catalogue

PAGE = Path(__file__).parents[1] / "docs" / "insights.md"
BEGIN, END = "<!-- definitions: begin -->\n", "<!-- definitions: end -->\n"
SAID_OF = {"lead": "each lead", "ecg": "the whole ECG"}


def page(text: str) -> str:
    """Put the definitions of today into the page."""
    before, _, rest = text.partition(BEGIN)
    _, _, after = rest.partition(END)
    written = "\n".join(map(_written, catalogue()))
    return f"{before}{BEGIN}\n{written}\n{END}{after}"


def _written(insight: dict[str, Any]) -> str:
    said_of = " and ".join(SAID_OF[scope] for scope in insight["scopes"])
    figures = ", ".join(f"`{figure}`" for figure in insight["figures"])
    parts = [
        f"## {insight['name']}\n",
        f"Version {insight['version']}, of {said_of}, in {insight['unit']}. Figures: {figures}.\n",
        f"{insight['definition']}\n",
    ]
    for title in ("limits", "sources"):
        if insight[title]:
            items = "".join(f"- {item}\n" for item in insight[title])
            parts.append(f"**{title.capitalize()}**\n\n{items}")
    return "\n".join(parts)


def main(arguments: list[str]) -> int:
    """Write the page; or, to check, say whether it is as it would be written."""
    text = PAGE.read_text()
    if arguments == ["--check"]:
        return int(page(text) != text)
    PAGE.write_text(page(text))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
