"""`isoline login`: keeps which server, and what opens it."""

from __future__ import annotations

import sys

import click

from isoline import config
from isoline.config import Access, Given, Kept
from isoline.credentials import check_url
from isoline.errors import IsolineError, Unauthenticated, Unusable
from isoline.output import say
from isoline.screen import typed


@click.command(epilog="Example: isoline login http://localhost:8000")
@click.argument("url", required=False)
@click.option("--admin", is_flag=True, help="Keep the administrator's token instead of a user's.")
@click.option("--token-stdin", is_flag=True, help="Read the token from standard input.")
@click.pass_obj
def login(given: Given, url: str | None, admin: bool, token_stdin: bool) -> None:
    """Keep server and token in a file that only you can read."""
    try:
        kept = config.load()
    except IsolineError as error:
        # The one command that mends it; but which server it was nobody knows any more.
        if not (url or given.url):
            raise
        say(f"{error}")
        kept = Kept()
    usual = given.access(kept).url
    url = check_url(url or usual)
    kept = kept.of(url)
    told, source = given.token, given.token_from
    if admin:
        told, source = given.admin_token, given.admin_token_from
    if url != usual and not source.startswith("--"):
        # What the environment gives is for the server that it names.
        told = None
    known = kept.admin_token if admin else kept.token
    if token_stdin:
        token = sys.stdin.readline().strip()
    elif told:
        token = told
    elif known and _opens(url, known, admin):
        token = known
    else:
        token = _ask()
    if not token:
        raise IsolineError(f"There was no token on standard input. {_advice(admin)}")
    # Whoever has typed it wrong should learn it now.
    _try(url, token, admin)
    if admin:
        kept.admin_token = token
    else:
        kept.token = token
    config.keep(kept)
    whose = "the administrator's" if admin else "a user's"
    say(
        f"{url} knows this token as {whose}. "
        f"Kept in {config.path()}, which only you can read (mode 0600)."
    )


def _ask() -> str:
    """What is typed, or stands on standard input where there is no terminal; nothing at its end."""
    if not sys.stdin.isatty():
        # Nobody can be asked, and what there is may still be it.
        return sys.stdin.readline().strip()
    try:
        token: str = click.prompt("Token", hide_input=True, err=True)
    except click.Abort as abort:
        # Ctrl-C is another one.
        if isinstance(abort.__context__, EOFError):
            return ""
        raise
    return token.strip()


def _advice(admin: bool) -> str:
    """How one comes by a token."""
    if admin:
        pipe = typed("isoline login --admin --token-stdin < FILE")
        return f"The administrator's is in admin_token, in the data folder of the server: {pipe}"
    pipe = typed("isoline users rotate NAME | isoline login --token-stdin")
    return f"Where you have none any more, the administrator makes another: {pipe}"


def _opens(url: str, token: str, admin: bool) -> bool:
    """Whether what is kept still is a token; where it is none any more, that is said."""
    try:
        _try(url, token, admin)
    except (Unauthenticated, Unusable) as error:
        say(f"The token in {config.path()} opens nothing: {error}")
        return False
    return True


def _try(url: str, token: str, admin: bool) -> None:
    """Ask the server something that needs the token; raises what it says of it."""
    access = Access(url, None if admin else token, token if admin else None, url_from="")
    with access.client() as client:
        next(iter(client.users() if admin else client.ecgs()), None)
