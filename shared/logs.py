"""Structured log lines: JSON where a machine reads them, plain where a person does."""

from __future__ import annotations

import logging
import re
import sys
import traceback
from typing import Any

import structlog

# What stands in a template for an argument.
_PLACE = re.compile(r"%(?:%|(?:\(\w+\))?[-#0 +]*\d*(?:\.\d+)?[a-zA-Z])")
# Of the broker, and not of a message.
_OF_THE_CONNECTION = ("consumer: Cannot connect to", "consumer: Connection to broker lost")
# Of a URL all but the place: the name of a transport says nothing, the password too much.
_BEFORE_THE_PLACE = re.compile(r"\S+://(?:\S*@)?")
# For a terminal: things in the order in which they were said, and no room between them.
_CLOSE_TOGETHER: dict[str, Any] = {"sort_keys": False, "pad_event_to": 0, "pad_level": False}


def configure() -> None:
    """Send the lines of structlog and of the standard library down the same road, to stderr."""
    to_a_person = sys.stderr.isatty()
    processors: list[structlog.typing.Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_log_level,
        structlog.stdlib.add_logger_name,
        structlog.stdlib.ExtraAdder(),
        structlog.processors.TimeStamper(fmt="%H:%M:%S" if to_a_person else "iso", utc=True),
        _quote_nothing,
        _say_where,
    ]
    structlog.configure(
        processors=[*processors, structlog.stdlib.ProcessorFormatter.wrap_for_formatter],
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.stdlib.BoundLogger,
        cache_logger_on_first_use=True,
    )
    handler = logging.StreamHandler()
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=processors,
            pass_foreign_args=True,
            processors=[
                structlog.stdlib.ProcessorFormatter.remove_processors_meta,
                *(
                    [_put_first_things_first, structlog.dev.ConsoleRenderer(**_CLOSE_TOGETHER)]
                    if to_a_person
                    else [structlog.processors.JSONRenderer()]
                ),
            ],
        )
    )
    root = logging.getLogger()
    root.handlers = [handler]
    root.setLevel(logging.INFO)
    # Celery tells of each message twice; our own line tells of each ecg.
    for chatter in ("celery.worker.strategy", "celery.app.trace", "alembic"):
        logging.getLogger(chatter).setLevel(logging.WARNING)
    if to_a_person:
        # Who watches a batch of ten thousand wants to see what is wrong, not a line for each ecg.
        logging.getLogger("worker.tasks").setLevel(logging.WARNING)


def _put_first_things_first(
    logger: object, method: str, event: structlog.typing.EventDict
) -> structlog.typing.EventDict:
    """For a terminal: what is long and seldom read goes last, or away."""
    if event.get("level") == "info":
        event.pop("logger", None)
    if "request_id" in event:
        event["request_id"] = event.pop("request_id")
    return event


def _quote_nothing(
    logger: object, method: str, event: structlog.typing.EventDict
) -> structlog.typing.EventDict:
    """Of what Celery and kombu complain of, keep the complaint and leave out what they quote.

    That is a message, or the text of an error, in which a driver may have quoted a row. What they
    say of the connection names the broker, and the kind of error.
    """
    arguments = event.pop("positional_args", None)
    record: logging.LogRecord | None = event.get("_record")
    if (
        record is not None
        and record.levelno >= logging.WARNING
        and record.name.startswith(("celery", "kombu"))
    ):
        event["event"] = " ".join(_complaint(str(record.msg), arguments).split())
        event.pop("data", None)
    return event


def _complaint(template: str, arguments: object) -> str:
    if not arguments:
        return template
    if isinstance(arguments, tuple):
        # One template is "%s (%r)", and its first argument the sentence.
        is_sentence = template.startswith("%s") and isinstance(arguments[0], str)
        sentence = arguments[0] if is_sentence else template
        if sentence.startswith(_OF_THE_CONNECTION):
            words = tuple(_kind_of(x) if isinstance(x, BaseException) else x for x in arguments)
            return _BEFORE_THE_PLACE.sub("", template.replace("%r", "%s") % words)
    return _PLACE.sub(lambda place: "%" if place[0] == "%%" else "...", template)


def _kind_of(error: BaseException) -> str:
    """Name the type of what the system said, if it said anything: refused is not unreachable."""
    kind = type(error)
    while cause := error.__cause__ or error.__context__:
        error = cause
        if isinstance(error, OSError):
            kind = type(error)
    return kind.__qualname__


def _say_where(
    logger: object, method: str, event: structlog.typing.EventDict
) -> structlog.typing.EventDict:
    """Turn an exception into its type and place, for itself and for what caused it.

    Its message is left out, as are local variables: libraries like to quote what they choked on,
    and that may be a token, a name or a sample.
    """
    info = event.pop("exc_info", None)
    error = info[1] if isinstance(info, tuple) else info
    if info is True:
        error = sys.exc_info()[1]
    lines: list[str] = []
    while isinstance(error, BaseException):
        lines += [*traceback.format_tb(error.__traceback__), f"{type(error).__qualname__}\n"]
        error = error.__cause__ or error.__context__
    if lines:
        event["exception"] = "".join(lines)
    return event
