"""What several commands have in common."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import click

from isoline.client import Client
from isoline.config import Access

SAMPLING_RATE = click.option(
    "--fs",
    type=click.FloatRange(min=0, min_open=True),
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


def client_of(context: click.Context, patience_s: float = 0.0) -> Client:
    """A client for the server that was asked for."""
    access: Access = context.obj
    return access.client(patience_s=patience_s)
