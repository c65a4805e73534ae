"""What a person reads once the stack runs."""

from __future__ import annotations

import shlex
from pathlib import Path

from shared.settings import Settings

FLOWER_USER = "isoline"

# Two commands for bash and zsh alike: no comments, no unquoted patterns, no "!".
_SNIPPET = """\
token=$(curl -fsS {users} -H "x-admin-token: {admin_token}" \\
  -H 'content-type: application/json' -d '{{"username": "ada-'$(date +%s)'"}}' \\
  | sed 's/.*"token": *"\\([^"]*\\)".*/\\1/')
curl -sS {ecgs} -H "x-user-token: $token" -H 'Prefer: wait=5' \\
  -H 'content-type: application/json' \\
  -d '{{"leads": [{{"name": "I", "signal": [1, 0, -1, 0, 1, 0, 0, 1]}}]}}'"""


def snippet(url: str, admin_token_file: Path | None) -> str:
    """Give commands that register a user, upload a small ECG and print its insights.

    Parameters
    ----------
    admin_token_file : where the admin token is; None when it is in ISOLINE_ADMIN_TOKEN.
    """
    # How a shell comes by the token, not the token.
    how = "$ISOLINE_ADMIN_TOKEN"
    if admin_token_file:
        how = f"$(cat {shlex.quote(str(admin_token_file))})"
    # An IPv6 address has brackets, which a shell would take for a pattern.
    users, ecgs = shlex.quote(f"{url}/users"), shlex.quote(f"{url}/ecgs")
    return _SNIPPET.format(users=users, ecgs=ecgs, admin_token=how)


def login(url: str, admin_token_file: Path | None) -> str:
    """Give the command that lets the administrator in with the `isoline` command."""
    command = f"isoline login {shlex.quote(url)} --admin --token-stdin"
    if admin_token_file:
        return f"{command} < {shlex.quote(str(admin_token_file))}"
    return f'echo "$ISOLINE_ADMIN_TOKEN" | {command}'


def exports(settings: Settings) -> str:
    """Give the command that tells another terminal what was chosen here; none when nothing was.

    What may hold a password is named, not shown.
    """
    usual = Settings.from_environ({})
    its_own = Settings.from_environ({"ISOLINE_DATA_DIR": str(settings.data_dir)})
    chosen = {
        "ISOLINE_HOST": settings.host != usual.host and settings.host,
        "ISOLINE_PORT": settings.port != usual.port and str(settings.port),
        "ISOLINE_FLOWER_PORT": settings.flower_port != usual.flower_port
        and str(settings.flower_port),
        "ISOLINE_DATA_DIR": settings.data_dir != usual.data_dir and str(settings.data_dir),
    }
    secret = {
        "ISOLINE_DATABASE_URL": settings.database_url != its_own.database_url,
        "ISOLINE_REDIS_URL": settings.redis_url is not None,
        "ISOLINE_ADMIN_TOKEN": settings.admin_token is not None,
    }
    assignments = [f"{name}={shlex.quote(text)}" for name, text in chosen.items() if text]
    assignments += [f"{name}=…" for name, is_chosen in secret.items() if is_chosen]
    return f"export {' '.join(assignments)}" if assignments else ""


def banner(
    settings: Settings,
    url: str,
    admin_token_file: Path | None,
    flower_url: str | None,
    flower_password_file: Path,
) -> str:
    """Give the text: where everything is, and what to paste. Secrets are named, not shown."""
    flower = f"{flower_url}  (user {FLOWER_USER}, password in {flower_password_file})"
    exported = exports(settings)
    elsewhere = f"""
In another terminal, before any other `make`, which would not find this one by itself:

{exported}
"""
    return f"""
Isoline is running.

  API          {url}
  API docs     {url}/docs
  Flower       {flower if flower_url else "not running (ISOLINE_FLOWER_PORT=0)"}
  Admin token  in {admin_token_file or "ISOLINE_ADMIN_TOKEN"}
{elsewhere if exported else ""}
Paste this into another terminal to register a user and see the insights of a first small ECG:

{snippet(url, admin_token_file)}

Or, with the command (`make client`, then `. .venv/bin/activate`):

{login(url, admin_token_file)}

Below stands who starts and what goes wrong; `make run 2> isoline.log` keeps a line for each request
and each ECG.
Not a medical device: insights are measurements, never diagnoses. Ctrl-C stops everything.
"""
