"""Log lines say what happened and where, and quote nobody."""

from __future__ import annotations

import logging

import pytest
import structlog

from tests.parts import lines_of

CANARY = "a name, a token, a sample"


def test_an_error_leaves_its_type_and_place_and_not_its_words() -> None:
    def act() -> None:
        try:
            raise ValueError(CANARY)
        except ValueError:
            structlog.get_logger("test").exception("it happened")

    lines = lines_of(act)
    assert "ValueError" in lines
    assert "test_logs.py" in lines
    assert CANARY not in lines


@pytest.mark.parametrize("logger", ["celery.app.trace", "celery.worker.request", "kombu.mixins"])
def test_what_celery_quotes_is_left_out(logger: str) -> None:
    def act() -> None:
        context = {"name": "isoline.analyse", "exc": CANARY, "args": [CANARY]}
        logging.getLogger(logger).error(
            "Task %(name)s raised: %(exc)s", context, extra={"data": context}
        )
        logging.getLogger(logger).warning("Could not read %r", CANARY)

    lines = lines_of(act)
    assert "raised" in lines
    assert "Could not read" in lines
    assert CANARY not in lines
