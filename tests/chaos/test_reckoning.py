"""What is lost, doubled, wrong or failed is found out, whether it came by itself or in a batch."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from typing import Any

import httpx
import pytest
from sqlalchemy import delete, or_, select, update

from shared.database import transaction
from shared.models import FAILED, Ecg, Insights
from shared.models import Batch as BatchRow
from tests.chaos.batches import Batch, spread
from tests.chaos.reckoning import Reckoning
from tests.chaos.uploads import Sample, make_harmless
from tests.door import Door

LINE = Ecg.custom_id == "upload-1"


class Sent:
    """Uploads and batches that were sent to a door and have come to their end."""

    def __init__(self, door: Door) -> None:
        self.engine = door.engine
        self.uploads = [make_harmless(number, 1) for number in range(3)]
        self.batches = spread(6, 2, seed=1, scale=0.0)
        transport = httpx.WSGITransport(app=door.app)
        self.client = httpx.Client(
            transport=transport, base_url="http://door", headers=door.user("chaos")
        )
        self.accepted = {one.number: self.send(one) for one in self.uploads}
        self.accepted_batches = {one.number: self.send(one) for one in self.batches}
        while door.rung:
            door.work()

    def send(self, one: Sample | Batch) -> str:
        answer = one.post(self.client)
        assert answer.is_success, answer.text
        return str(answer.json()["id"])

    def execute(self, statement: Any) -> None:
        with transaction(self.engine) as connection:
            connection.execute(statement)

    def reckon(self) -> tuple[Counter[str], Counter[str]]:
        reckoning = Reckoning(self.client, self.engine.url.render_as_string(hide_password=False))
        # A unary plus leaves out what there is none of.
        return (
            +reckoning.of_uploads(self.uploads, self.accepted),
            +reckoning.of_batches(self.batches, self.accepted_batches),
        )


@pytest.fixture
def sent(sqlite_door: Door) -> Iterator[Sent]:
    sent = Sent(sqlite_door)
    yield sent
    sent.client.close()


def test_all_is_right_that_came_once_and_was_computed(sent: Sent) -> None:
    assert sent.reckon() == (Counter(right=3), Counter(right=6))


def test_what_is_sent_again_is_no_other_one(sent: Sent) -> None:
    for upload in sent.uploads:
        sent.send(upload)
    for batch in sent.batches:
        sent.send(batch)
    assert sent.reckon() == (Counter(right=3), Counter(right=6))


def test_what_is_gone_is_lost(sent: Sent) -> None:
    sent.execute(delete(Ecg).where(or_(Ecg.id == sent.accepted[1], LINE)))
    # And the batch counts one more than there are.
    assert sent.reckon() == (Counter(right=2, lost=1), Counter(right=5, lost=1, wrong=1))


def test_what_was_never_accepted_is_lost(sent: Sent) -> None:
    del sent.accepted[1], sent.accepted_batches[1]
    uploads, lines = sent.reckon()
    assert (uploads["lost"], lines["lost"]) == (1, 3)


def test_what_is_stored_again_is_duplicated(sent: Sent) -> None:
    for table in (Ecg, BatchRow):
        sent.execute(update(table).values(idempotency_key=None))
    sent.send(sent.uploads[1])
    sent.send(sent.batches[1])
    uploads, lines = sent.reckon()
    assert uploads["duplicated"] > 0
    # The batch, and each of its lines.
    assert lines["duplicated"] == 1 + 3


def test_another_figure_is_wrong(sent: Sent) -> None:
    for sample in (sent.uploads[1], sent.batches[1].lines[1]):
        object.__setattr__(sample, "crossings", sample.crossings + 1)
    assert sent.reckon() == (Counter(right=2, wrong=1), Counter(right=5, wrong=1))


def test_a_batch_that_miscounts_its_lines_is_wrong(sent: Sent) -> None:
    sent.execute(update(BatchRow).values(finished=BatchRow.finished - 1))
    assert sent.reckon() == (Counter(right=3), Counter(right=6, wrong=2))


def test_what_has_no_insights_has_failed(sent: Sent) -> None:
    these = or_(Ecg.id == sent.accepted[1], LINE)
    sent.execute(delete(Insights).where(Insights.ecg_id.in_(select(Ecg.id).where(these))))
    sent.execute(update(Ecg).where(these).values(status=FAILED, failure="It exploded."))
    with_line = BatchRow.id == select(Ecg.batch_id).where(LINE).scalar_subquery()
    sent.execute(update(BatchRow).where(with_line).values(failed=1, finished=BatchRow.finished - 1))
    assert sent.reckon() == (Counter(right=2, failed=1), Counter(right=5, failed=1))
