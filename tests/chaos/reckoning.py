"""What became of everything that was accepted, as its sender and the tables see it."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

import httpx
from sqlalchemy import create_engine, select

from shared.models import Batch as BatchRow
from shared.models import Ecg, Insights
from tests.chaos.batches import Batch
from tests.chaos.uploads import Sample


def find_left(database_url: str) -> list[tuple[str, str, int]]:
    """What has not ended yet, with status and attempts."""
    engine = create_engine(database_url)
    columns = Ecg.id, Ecg.status, Ecg.attempts
    with engine.connect() as connection:
        found = connection.execute(select(*columns).where(Ecg.status.in_(["pending", "running"])))
        left = [(row.id, row.status, row.attempts) for row in found]
    engine.dispose()
    return left


class Reckoning:
    """The tables when all has settled, and a client to ask for what its owner is told."""

    def __init__(self, client: httpx.Client, database_url: str) -> None:
        self._client = client
        engine = create_engine(database_url)
        with engine.connect() as connection:
            columns = Ecg.id, Ecg.idempotency_key, Ecg.batch_id, Ecg.custom_id
            rows = connection.execute(select(*columns)).all()
            self._documents = Counter(connection.scalars(select(Insights.ecg_id)))
            self._batches = connection.scalars(select(BatchRow.id)).all()
        engine.dispose()
        self._known = {row.id for row in rows}
        self._keys = Counter(row.idempotency_key for row in rows if row.batch_id is None)
        self._lines = Counter(row.custom_id for row in rows if row.batch_id is not None)

    def of_uploads(self, samples: Sequence[Sample], accepted: Mapping[int, str]) -> Counter[str]:
        """How many of them were lost, duplicated, wrong, failed or right."""
        tally: Counter[str] = Counter()
        for sample in samples:
            ecg_id = accepted.get(sample.number)
            if ecg_id is None or ecg_id not in self._known:
                tally["lost"] += 1
                continue
            answer = self._client.get(f"/ecgs/{ecg_id}/insights")
            found = json.loads(answer.content) if answer.status_code == 200 else None
            tally[_judge(sample, found)] += 1
            tally["duplicated"] += self._keys[sample.key] != 1 or self._documents[ecg_id] > 1
        tally["duplicated"] += self._keys.total() - len(self._keys)
        return tally

    def of_batches(self, batches: Sequence[Batch], accepted: Mapping[int, str]) -> Counter[str]:
        """The same of all lines; a batch that does not count them right is wrong, too."""
        tally: Counter[str] = Counter(duplicated=len(self._batches) - len(set(accepted.values())))
        for batch in batches:
            batch_id = accepted.get(batch.number)
            found = self._find_lines(batch_id) if batch_id else []
            by_name = {line["custom_id"]: line for line in found}
            tally["duplicated"] += len(found) - len(by_name)
            for line in batch.lines:
                tally[_judge(line, by_name.get(line.key))] += 1
                tally["duplicated"] += self._lines[line.key] > 1
            if batch_id:
                counts = self._client.get(f"/batches/{batch_id}").json()["counts"]
                finished = sum("leads" in line for line in found)
                is_right = (counts["total"], counts["finished"]) == (len(batch.lines), finished)
                tally["wrong"] += not is_right
        return tally

    def _find_lines(self, batch_id: str) -> list[Any]:
        paths = [f"/batches/{batch_id}/{what}" for what in ("insights", "errors")]
        texts = [self._client.get(path).text for path in paths]
        return [json.loads(line) for text in texts for line in text.splitlines()]


def _judge(sample: Sample, found: Any) -> str:
    if found is None:
        return "lost"
    if "leads" not in found or found.get("status") == "failed":
        return "poison failed" if sample.is_deadly and found["detail"] else "failed"
    [lead] = found["leads"]
    is_right = lead["number_of_zero_crossings"] == sample.crossings and not sample.is_deadly
    return "right" if is_right else "wrong"
