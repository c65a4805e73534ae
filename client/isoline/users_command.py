"""`isoline users …`: what the administrator does."""

from __future__ import annotations

import click

from isoline.errors import Conflict, IsolineError
from isoline.options import FORM, client_of
from isoline.output import Form, say, show
from isoline.screen import typed


@click.group(epilog="Example: isoline users add ada | isoline login --token-stdin")
def users() -> None:
    """Administer users; needs the administrator's token."""


@users.command("list", epilog="Example: isoline users list")
@FORM
@click.pass_context
def list_users(context: click.Context, form: Form) -> None:
    """List the users by name."""
    with client_of(context, is_admin=True) as client:
        rows = (
            {"username": user.username, "created_at": user.created_at} for user in client.users()
        )
        show(rows, form, columns=["username", "created_at"], nothing="No users.")


@users.command("add", epilog="Example: isoline users add ada")
@click.argument("username")
@click.pass_context
def add_user(context: click.Context, username: str) -> None:
    """Register a user; the token is printed this once."""
    with client_of(context, is_admin=True) as client:
        try:
            print(client.register(username).token)
        except Conflict as error:
            rotate = typed(f"isoline users rotate {username} | isoline login --token-stdin")
            raise IsolineError(
                f"{error} For another token, of which the old one dies: {rotate}"
            ) from None


@users.command("rotate", epilog="Example: isoline users rotate ada")
@click.argument("username")
@click.pass_context
def rotate_token(context: click.Context, username: str) -> None:
    """Give a user a new token, printed this once; the old one dies."""
    with client_of(context, is_admin=True) as client:
        print(client.rotate_token(username).token)


@users.command("erase", epilog="Example: isoline users erase ada")
@click.argument("username")
@click.option("--yes", is_flag=True, help="Do not ask.")
@click.pass_context
def erase_user(context: click.Context, username: str, yes: bool) -> None:
    """Erase a user with every ECG of theirs."""
    if not (yes or _is_sure(username)):
        raise IsolineError("Nothing was erased.")
    with client_of(context, is_admin=True) as client:
        client.erase_user(username)
    say(f"Erased {username}.")


def _is_sure(username: str) -> bool:
    try:
        return click.confirm(f"Erase {username} and every ECG of theirs?", err=True)
    except click.Abort as abort:
        # Ctrl-C is another one.
        if isinstance(abort.__context__, EOFError):
            raise click.UsageError("Nobody is here to be asked: say --yes.") from None
        raise
