"""What several commands have in common."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager
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
    help="Sampling rate in Hz; goes before what a file says.",
)


def FORM(command: Callable[..., Any]) -> Callable[..., Any]:  # noqa: N802 - an option, like the other
    """`--table`, `--json` or `--csv`; the last one that is given counts."""
    for name, default, words in (
        ("csv", None, "As CSV."),
        ("json", None, "As JSON, one object a line."),
        ("table", "table", "As a table, which is the default."),
    ):
        option = click.option(f"--{name}", "form", flag_value=name, default=default, help=words)
        command = option(command)
    return command


def access_of(context: click.Context) -> Access:
    """The server that was asked for; raises `IsolineError` when the kept one cannot be read."""
    given: Given = context.obj
    return given.access()


@contextmanager
def client_of(
    context: click.Context, patience_s: float = 0.0, *, is_admin: bool = False
) -> Iterator[Client]:
    """A client for the server that was asked for.

    When it is not there, or does not let in, say who named it and the token.

    Parameters
    ----------
    is_admin : whether what is asked is the administrator's.
    """
    access = access_of(context)
    try:
        with access.client(patience_s=patience_s) as client:
            yield client
    except (Unreachable, NotIsoline) as error:
        raise type(error)(
            f"{error} The address comes from {access.url_from or 'nowhere: it is the default'}; "
            "--url, ISOLINE_URL or `isoline login URL` give another."
        ) from None
    except Unauthenticated as error:
        raise IsolineError(f"{error} {access.advice(is_admin=is_admin)}") from None
