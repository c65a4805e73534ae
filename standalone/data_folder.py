"""The folder that holds everything Isoline keeps: private, and of one run at a time."""

from __future__ import annotations

import contextlib
import fcntl
import os
import time
from collections.abc import Iterator
from pathlib import Path

from shared.errors import SettingsError

LOCK = "lock"
# The folder may stand in somebody's repository, and has secrets in it.
IGNORED = ".gitignore"
DATABASE = "isoline.db"
# Where the broker of the present run is; a secret, since its password is in it.
BROKER_URL = "broker_url"
# And its doors, for the doctor to knock at.
API_URL = "api_url"
FLOWER_URL = "flower_url"
# How long the processes of a run that was killed may take to end.
LEFTOVERS_S = 20.0


@contextlib.contextmanager
def occupy(folder: Path) -> Iterator[int]:
    """Make the folder if need be, and hold it against every other run.

    Yields
    ------
    int : the descriptor of the lock. Whoever inherits it holds the folder too: no new run begins
        while processes of a killed one still write here.

    Raises
    ------
    SettingsError : Isoline runs here already, or the folder is no place for secrets.
    """
    made = _missing(folder)
    try:
        _make_private(folder)
        if made:
            (folder / IGNORED).write_text("*\n")
        lock = os.open(folder / LOCK, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except OSError as error:
        raise SettingsError(f"{folder} cannot hold Isoline's data: {error.strerror}.") from error
    try:
        _take(lock, folder)
        os.ftruncate(lock, 0)
        os.pwrite(lock, str(os.getpid()).encode(), 0)
        yield lock
    finally:
        _unmake(made, folder)
        os.close(lock)


def is_occupied(folder: Path) -> bool:
    """Say whether Isoline runs on this folder; nothing is made, and nobody kept out."""
    try:
        lock = os.open(folder / LOCK, os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return False
    try:
        fcntl.flock(lock, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    finally:
        os.close(lock)
    return False


def _make_private(folder: Path) -> None:
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    if folder.stat().st_mode & 0o077:
        # Somebody's own folder, given by mistake, must not be closed to its other readers. One
        # that a backup was put into is ours.
        is_ours = (folder / LOCK).exists() or (folder / DATABASE).exists()
        if any(folder.iterdir()) and not is_ours:
            raise SettingsError(
                f"{folder} is open to other users and holds other things; "
                "choose a folder of Isoline's own with ISOLINE_DATA_DIR."
            )
        folder.chmod(0o700)


def _missing(folder: Path) -> list[Path]:
    """The folder and those around it, as far as they are still to be made."""
    return [one for one in (folder, *folder.parents) if not one.exists()]


def _unmake(made: list[Path], folder: Path) -> None:
    """After a start that was refused leave no more behind than there was before."""
    if made and set(os.listdir(folder)) == {LOCK, IGNORED}:
        (folder / LOCK).unlink()
        (folder / IGNORED).unlink()
        for one in made:
            one.rmdir()


def _take(lock: int, folder: Path) -> None:
    end_s = time.monotonic() + LEFTOVERS_S
    while True:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            holder = os.pread(lock, 20, 0).decode()
            if _is_running(holder) or time.monotonic() > end_s:
                raise SettingsError(
                    f"Isoline already runs on {folder} (process {holder or 'unknown'})."
                ) from None
            # The run is dead; what it had started is on its way out.
            time.sleep(0.1)
        else:
            return


def _is_running(process: str) -> bool:
    try:
        os.kill(int(process), 0)
    except PermissionError:
        return True
    except (ValueError, ProcessLookupError):
        return False
    return True
