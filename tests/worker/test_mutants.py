"""`make mutants` takes minutes; that its mutants still fit the source is seen at once."""

from __future__ import annotations

from tests.worker.mutants import unfit


def test_every_mutant_still_fits() -> None:
    assert unfit() == []
