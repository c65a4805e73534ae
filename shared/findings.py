"""What the doctor's page is made of."""

from __future__ import annotations

from dataclasses import dataclass

AWAY = {
    "database": "Start it, or mend ISOLINE_DATABASE_URL; until then uploads are answered 503.",
    "broker": "Start it, or mend ISOLINE_REDIS_URL. Uploads are safe meanwhile; no insights come.",
    "disk": "Look at the data folder: not even its free space can be read.",
}

RESTORE = "Stop Isoline, keep what is there aside, and restore a backup: see docs/operations.md."


@dataclass(frozen=True)
class Finding:
    """One line of the page, and what to do when it is not well."""

    what: str
    says: str
    advice: str = ""
    # What has happened and cannot be undone is told, and is no reason to be called out of bed.
    is_past: bool = False

    @property
    def is_well(self) -> bool:
        """Whether nobody needs to do anything now."""
        return not self.advice or self.is_past

    def __str__(self) -> str:
        """The line as it is printed, with the advice below it."""
        mark = "--" if self.is_past else "ok" if self.is_well else "!!"
        line = f"{mark}  {self.what:<14} {self.says}"
        return f"{line}\n{'':<18} → {self.advice}" if self.advice else line


def span(seconds: float) -> str:
    """Seconds in the unit that a person would use."""
    for unit, size_s in (("d", 86_400), ("h", 3600), ("min", 60)):
        if seconds >= 2 * size_s:
            return f"{seconds / size_s:.0f} {unit}"
    return f"{seconds:.0f} s"
