"""Insights as a row for each lead, in the columns of the server's own tables."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, TypeAlias

from isoline.answers import Definition, Insights

# The name of a column → what it is said of ("lead" or "ecg"), by which insight, and its figure.
Columns: TypeAlias = Mapping[str, tuple[str, str, str]]


def columns_of(catalogue: Sequence[Definition]) -> Columns:
    """The columns for what is measured: first what is said of a lead, then of the whole ECG."""
    return {
        f"{prefix}{definition.name}_{figure}": (scope, definition.name, figure)
        for scope, prefix in (("lead", ""), ("ecg", "ecg_"))
        for definition in catalogue
        if scope in definition.scopes
        for figure in ("version", *definition.figures, "problem")
    }


def lead_rows(insights: Insights, columns: Columns, **first: Any) -> Iterator[dict[str, Any]]:
    """A row for each lead, with the cells of which there is something to say."""
    for number, lead in enumerate(insights.leads):
        said = {"lead": lead.insights, "ecg": insights.insights}
        cells = {
            column: _cell(said[scope].get(insight, {}), figure)
            for column, (scope, insight, figure) in columns.items()
        }
        known = {column: cell for column, cell in cells.items() if cell is not None}
        yield {**first, "lead": number, "name": lead.name, **known}


def _cell(figures: Mapping[str, Any], figure: str) -> Any:
    if figure == "problem":
        return figures.get("not_computable", figures.get(figure))
    return figures.get(figure)
