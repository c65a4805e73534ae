"""Secrets that are made once, and kept in files that only their owner may read."""

from __future__ import annotations

import os
import secrets
from pathlib import Path

from shared.errors import SettingsError
from shared.settings import SHORTEST_ADMIN_TOKEN

_BYTES = 32


def keep(path: Path) -> str:
    """Read the secret in this file, which is made when there is none.

    Raises
    ------
    SettingsError : the file holds something else.
    """
    try:
        secret = path.read_text("ascii", errors="replace").strip()
    except FileNotFoundError:
        secret = secrets.token_urlsafe(_BYTES)
        write_private(path, secret + "\n")
    except OSError as error:
        raise SettingsError(f"{path} cannot be read.") from error
    # Also what keeps it harmless in a URL, a header and a configuration file.
    if len(secret) < SHORTEST_ADMIN_TOKEN or not secret.replace("-", "").replace("_", "").isalnum():
        raise SettingsError(
            f"{path} must hold at least {SHORTEST_ADMIN_TOKEN} letters, digits, '-' or '_'; "
            "delete it to have a new one made."
        )
    path.chmod(0o600)
    return secret


def write_private(path: Path, text: str) -> None:
    """Write all or nothing: a crash leaves no half a secret, and nobody else ever reads it."""
    draft = path.with_name(f".{path.name}.{os.getpid()}")
    descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "w") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    draft.replace(path)
