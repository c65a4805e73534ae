"""Log lines say what happened and where, and quote nobody."""

from __future__ import annotations

import io
import logging
import re

import pytest
import structlog
from celery.worker.consumer.consumer import CONNECTION_ERROR, CONNECTION_RETRY
from kombu.connection import Connection
from kombu.exceptions import OperationalError

from tests.parts import lines_of

CANARY = "a name, a token, a sample"


class Terminal(io.StringIO):
    """Somebody looks at it."""

    def isatty(self) -> bool:
        return True


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


def test_in_a_terminal_what_matters_stands_within_80_columns_and_the_id_last() -> None:
    def act() -> None:
        with structlog.contextvars.bound_contextvars(request_id="an-id-of-36-characters"):
            structlog.get_logger("api.app").info(
                "answered", method="GET", route="/ecgs/<ecg_id>", status=200, took_ms=1.25
            )
            structlog.get_logger("api.app").warning("request refused", reason="Overloaded")

    tasks = logging.getLogger("worker.tasks")
    level = tasks.level
    try:
        lines = re.sub(r"\x1b\[\d*m", "", lines_of(act, Terminal())).splitlines()
    finally:
        tasks.setLevel(level)
    answered, id_ = lines[0].split(" request_id=")
    told = "[info] answered method=GET route=/ecgs/<ecg_id> status=200 took_ms=1.25"
    assert answered.partition(" ")[2] == told
    assert len(answered) <= 80
    assert id_ == "an-id-of-36-characters"
    assert "[api.app]" in lines[1]


@pytest.mark.parametrize("logger", ["celery.app.trace", "celery.worker.request", "kombu.mixins"])
def test_what_celery_quotes_is_left_out(logger: str) -> None:
    def act() -> None:
        context = {"name": "isoline.analyse", "exc": CANARY, "args": [CANARY]}
        logging.getLogger(logger).error(
            "Task %(name)s raised: %(exc)s", context, extra={"data": context}
        )
        logging.getLogger(logger).warning("Could not read %r", CANARY)

    lines = lines_of(act)
    assert "Task ... raised: ..." in lines
    assert "Could not read ..." in lines
    assert CANARY not in lines


def test_of_a_lost_connection_the_broker_and_the_kind_of_error_are_kept() -> None:
    def act() -> None:
        try:
            try:
                raise ConnectionRefusedError(CANARY)
            except ConnectionRefusedError as error:
                raise OperationalError(CANARY) from error
        except OperationalError as caught:
            lost = caught
        of_celery = logging.getLogger("celery.worker.consumer.consumer")
        connection = Connection("redis://:a-password@127.0.0.1:6399/0")  # type: ignore[no-untyped-call]
        url = connection.as_uri()
        of_celery.error(CONNECTION_ERROR, url, lost, "Trying again in 2.00 seconds...")
        of_celery.warning("%s (%r)", CONNECTION_RETRY, lost)

    lines = lines_of(act)
    assert "Cannot connect to 127.0.0.1:6399/0: ConnectionRefusedError." in lines
    assert "Trying again in 2.00 seconds" in lines
    assert "Connection to broker lost" in lines
    assert "(ConnectionRefusedError)" in lines
    assert "%" not in lines
    assert CANARY not in lines
    assert "a-password" not in lines


def test_a_message_that_looks_like_one_of_the_connection_quotes_nothing() -> None:
    def act() -> None:
        logging.getLogger("celery.worker.consumer.consumer").error(
            "Received: %-10.3f, 100%% of %s", 1.5, f"consumer: Cannot connect to {CANARY}"
        )

    lines = lines_of(act)
    assert "Received: ..., 100% of ..." in lines
    assert CANARY not in lines
