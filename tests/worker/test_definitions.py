"""The page of definitions is what the insights say today, and what else it holds stays."""

from __future__ import annotations

from worker.definitions import BEGIN, END, PAGE, main, page
from worker.insights import catalogue


def test_the_page_is_up_to_date() -> None:
    assert main(["--check"]) == 0, "make insights"


def test_every_insight_is_on_it() -> None:
    text = PAGE.read_text()
    for insight in catalogue():
        assert f"## {insight['name']}\n" in text
        assert insight["definition"] in text
        assert all(item in text for item in (*insight["limits"], *insight["sources"]))


def test_what_is_not_between_the_marks_is_left_alone() -> None:
    text = page(f"before\n{BEGIN}of yore\n{END}after\n")
    assert text.startswith(f"before\n{BEGIN}")
    assert text.endswith(f"{END}after\n")
    assert "of yore" not in text
    assert page(text) == text
