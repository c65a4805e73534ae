"""What a person reads once the stack runs."""

from __future__ import annotations

import shlex
from pathlib import Path

FLOWER_USER = "isoline"

# Two commands for bash and zsh alike: no comments, no unquoted patterns, no "!".
_SNIPPET = """\
token=$(curl -fsS {users} -H "x-admin-token: {admin_token}" \\
  -H 'content-type: application/json' -d '{{"username": "ada-'$(date +%s)'"}}' \\
  | sed 's/.*"token": *"\\([^"]*\\)".*/\\1/')
curl -sS {ecgs} -H "x-user-token: $token" -H 'Prefer: wait=5' \\
  -H 'content-type: application/json' \\
  -d '{{"leads": [{{"name": "I", "signal": [1, 0, -1, 0, 1, 0, 0, 1]}}]}}'; echo"""


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


def banner(
    url: str, admin_token_file: Path | None, flower_url: str | None, flower_password_file: Path
) -> str:
    """Give the text: where everything is, and one thing to paste. Secrets are named, not shown."""
    flower = f"{flower_url}  (user {FLOWER_USER}, password in {flower_password_file})"
    return f"""
Isoline is running.

  API          {url}
  API docs     {url}/docs
  Flower       {flower if flower_url else "not running (ISOLINE_FLOWER_PORT=0)"}
  Admin token  in {admin_token_file or "ISOLINE_ADMIN_TOKEN"}

Paste this to register a user and see the insights of a first small ECG:

{snippet(url, admin_token_file)}

Not a medical device: insights are measurements, never diagnoses. Ctrl-C stops everything.
"""
