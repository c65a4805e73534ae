"""Which insights there are, in a word that a row can bear: whoever bears another is out of date."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence

import msgspec
from sqlalchemy import Connection, func, select

from shared.models import Catalogue, Ecg, InsightDefinition
from shared.states import IS_FINAL


def fingerprint(versions: Mapping[str, int]) -> str:
    """Say in 16 characters which insights these are, and in which version."""
    return hashlib.sha256(_written(versions)).hexdigest()[:16]


def catalogue_row(versions: Mapping[str, int]) -> dict[str, str]:
    """The row by which these insights are known from now on."""
    return {"fingerprint": fingerprint(versions), "versions": _written(versions).decode()}


def _written(versions: Mapping[str, int]) -> bytes:
    return json.dumps(versions, sort_keys=True).encode()


def current_versions(connection: Connection) -> dict[str, int]:
    """The insights as the relay last declared them; none before it has."""
    rows = connection.execute(select(InsightDefinition.name, InsightDefinition.version)).all()
    return {row.name: row.version for row in rows}


def stale_fingerprints(
    connection: Connection, current: Mapping[str, int], insight: str | None = None
) -> Sequence[str]:
    """Which fingerprints, of those that finished ecgs bear, are out of date.

    Found in as many steps as there are fingerprints, however many ecgs.

    Parameters
    ----------
    current : the insights there are.
    insight : only what is out of date in this one. What bears a fingerprint of which nothing is
        known is, in all of them.
    """
    borne: list[str] = []
    next_one = select(func.min(Ecg.catalogue)).where(IS_FINAL)
    found = connection.scalar(next_one)
    while found is not None:
        borne.append(found)
        found = connection.scalar(next_one.where(Ecg.catalogue > found))
    fresh = {fingerprint(current)}
    if insight is not None:
        rows = connection.execute(select(Catalogue.fingerprint, Catalogue.versions)).all()
        known = {row.fingerprint: msgspec.json.decode(row.versions) for row in rows}
        fresh |= {
            key for key, versions in known.items() if versions.get(insight) == current[insight]
        }
    return [one for one in borne if one not in fresh]
