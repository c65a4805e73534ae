"""Reads recordings from files, each format in a module of its own.

Nothing that stands in a file makes a reader open another place: no address, no other folder. Sizes
that a file claims are held against its real size before memory is taken.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import TypeAlias

from isoline.ecg import Ecg
from isoline.errors import UnreadableFile

NOT_SAID_AGAIN = "Of others that are alike this is not said again."


@dataclass(frozen=True)
class LeftOut:
    """Fields of a file that are no part of an upload; it is said of them once."""

    fields: tuple[str, ...]

    def __str__(self) -> str:
        return f"Left out are the fields that no upload has: {', '.join(self.fields)}."


@dataclass(frozen=True)
class AssumedRate:
    """The sampling rate that a format sets for recordings that do not say theirs."""

    sampling_rate_hz: float

    def __str__(self) -> str:
        return (
            f"It does not say its sampling rate, nor does --fs: {self.sampling_rate_hz:g} Hz are "
            f"taken, which its format means then. {NOT_SAID_AGAIN}"
        )


# What there is to say of a recording that can be read.
Notice: TypeAlias = LeftOut | AssumedRate
# What a recording calls itself, if it does, and the recording; or why there is none.
Found: TypeAlias = tuple[str | None, Ecg | UnreadableFile | Notice]
Reader: TypeAlias = Callable[[Path, float | None], Iterator[Found]]

MODULES = {
    ".hea": "wfdb_records",
    ".edf": "edf_files",
    ".csv": "tables",
    ".tsv": "tables",
    ".json": "json_files",
    ".ndjson": "json_files",
    ".jsonl": "json_files",
    ".npy": "arrays",
    ".npz": "arrays",
}


def read(path: Path, sampling_rate_hz: float | None = None) -> Iterator[Found]:
    """Read the recordings in a file, one after the other; nearly always it is one.

    Parameters
    ----------
    sampling_rate_hz : of files that do not say theirs; one that says another is refused.

    Yields
    ------
    The name that the recording has in its file, or None; and the `Ecg`, or an `UnreadableFile`
    that says in one sentence why there is none, or, before them, a `Notice` of what is left
    out of them, or assumed.
    """
    try:
        if path.exists() and not (path.is_file() or path.is_dir()):
            # A pipe would keep its reader waiting for ever.
            raise UnreadableFile("It is no file, but a device or a pipe.")
        yield from _reader(path)(path, sampling_rate_hz)
    except UnreadableFile as error:
        yield None, error
    except FileNotFoundError:
        yield None, UnreadableFile("There is no such file.")
    except OSError as error:
        yield None, UnreadableFile(f"It cannot be opened: {error.strerror or error}.")
    except MemoryError:
        yield None, UnreadableFile("It is larger than the memory of this machine.")
    # Libraries raise whatever they like at a damaged file; the other files go on.
    except Exception as error:  # noqa: BLE001
        yield None, UnreadableFile(f"It is damaged, or something else than its name says: {error}")


def _reader(path: Path) -> Reader:
    name = MODULES.get(path.suffix.lower())
    if name is None:
        if path.with_suffix(".hea").is_file():
            raise UnreadableFile(f"It is a part of {path.stem}.hea: name that.")
        known = ", ".join(sorted(MODULES))
        raise UnreadableFile(f"Its name does not end like that of a recording ({known}).")
    try:
        reader: Reader = import_module(f"{__name__}.{name}").read
    except ImportError as error:
        raise UnreadableFile(
            f"To read it {error.name} is needed: pip install 'isoline[formats]'"
        ) from None
    return reader
