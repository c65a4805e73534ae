"""What several commands have in common."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import wraps
from typing import Any

import click

from isoline.client import Client
from isoline.config import Access, Given
from isoline.errors import IsolineError, NotIsoline, Unauthenticated, Unreachable


def _finite(context: click.Context, option: click.Parameter, value: float | None) -> float | None:
    if value is not None and not math.isfinite(value):
        raise click.BadParameter(f"{value} is no sampling rate.")
    return value


SAMPLING_RATE = click.option(
    "--fs",
    type=click.FloatRange(min=0, min_open=True),
    callback=_finite,
    help="Sampling rate in Hz of files that do not say theirs; one that says another is refused.",
)


_FORMS = {
    "table": "As a table, which is the default.",
    "json": "As JSON, one object a line.",
    "csv": "As CSV.",
}


def FORM(command: Callable[..., Any]) -> Callable[..., Any]:  # noqa: N802 - an option, like the other
    """`--table`, `--json` or `--csv`, one of them, as `form`."""

    @wraps(command)
    def with_form(*args: Any, **options: Any) -> Any:
        asked = [name for name in _FORMS if options.pop(f"as_{name}")]
        if len(asked) > 1:
            flags = " and ".join(f"--{name}" for name in asked)
            raise click.UsageError(f"{flags} exclude each other: give one.")
        return command(*args, form=asked[0] if asked else "table", **options)

    chosen: Callable[..., Any] = with_form
    for name, words in reversed(_FORMS.items()):
        chosen = click.option(f"--{name}", f"as_{name}", is_flag=True, help=words)(chosen)
    return chosen


def access_of(context: click.Context) -> Access:
    """The server that was asked for; raises `IsolineError` when the kept one cannot be read."""
    given: Given = context.obj
    return given.access()


@contextmanager
def client_of(
    context: click.Context,
    patience_s: float = 0.0,
    *,
    is_admin: bool = False,
    has_answered: bool = False,
) -> Iterator[Client]:
    """A client for the server that was asked for.

    When it is not there, or does not let in, say who named it and the token.

    Parameters
    ----------
    is_admin : whether what is asked is the administrator's.
    has_answered : whether it has answered this command before: then its address is not at fault.
    """
    access = access_of(context)
    try:
        with access.client(patience_s=patience_s) as client:
            yield client
    except (Unreachable, NotIsoline) as error:
        if has_answered:
            raise
        raise type(error)(
            f"{error} The address comes from {access.url_from or 'nowhere: it is the default'}; "
            "--url, ISOLINE_URL or `isoline login URL` give another."
        ) from None
    except Unauthenticated as error:
        raise IsolineError(f"{error} {access.advice(is_admin=is_admin)}") from None
