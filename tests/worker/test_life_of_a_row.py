"""The life of a row as a game: whatever happens in whatever order, the rules hold.

Plays against the real statements on a real SQLite. Two jobs are enough for every rule to be
broken; more only make rare what matters. They are the two lines of one batch, whose counts add up
at every moment.
"""

from __future__ import annotations

import atexit
import functools
import itertools
import shutil
import tempfile
from pathlib import Path
from typing import Any

from hypothesis import settings
from hypothesis.stateful import (
    Bundle,
    RuleBasedStateMachine,
    initialize,
    invariant,
    multiple,
    rule,
)
from hypothesis.strategies import integers, sampled_from
from sqlalchemy import insert, select, update

from api.recompute import ask_again
from shared import database
from shared.database import now_s, reading, transaction
from shared.jobs import LEASE_S
from shared.migrations import schema
from shared.models import FAILED, FINISHED, PENDING, RUNNING, Batch, Ecg, Insights, User
from shared.states import IS_WAITING
from worker import claims as acts
from worker import endings, ringing
from worker.clock import heed_the_clock

JOBS = ("0" * 36, "1" * 36)
BATCH = "a batch"
MESSAGES = ("a message", "another")
# What follows the message in the name of whoever got it; its loss is told by the message alone.
DELIVERY = ":1"
# Longer than a game takes.
LONG_S = 3600.0


@functools.cache
def empty_database() -> Path:
    """A migrated database to copy: migrating costs more than an example."""
    path = Path(tempfile.mkdtemp()) / "isoline.db"
    atexit.register(shutil.rmtree, path.parent)
    engine = database.connect(f"sqlite:///{path}")
    schema.upgrade(engine)
    engine.dispose()
    return path


class LifeOfARow(RuleBasedStateMachine):
    """Workers that claim, finish, fail, die and come back too late; a relay that sweeps."""

    claims = Bundle("claims")

    def __init__(self) -> None:
        super().__init__()
        self._folder = tempfile.TemporaryDirectory()
        path = Path(self._folder.name) / "isoline.db"
        shutil.copy(empty_database(), path)
        self.engine = database.connect(f"sqlite:///{path}")
        # What the rules of the game say, beside what the database says.
        self.stored: dict[str, bytes] = {}
        self.ended: dict[str, str] = {}
        self.begun = dict.fromkeys(JOBS, 0)
        # What is finished and was asked for again, and how often it had been begun before that; and
        # where it was in vain.
        self.asked: dict[str, int] = {}
        self.in_vain: set[str] = set()
        # Whoever has begun last and not ended yet, and those of them who have lost their lease.
        self.holder: dict[str, acts.Claim | None] = dict.fromkeys(JOBS)
        self.out_of_lease: set[str] = set()
        self.message: dict[str, str] = {}
        # What was given back and is not due yet.
        self.resting: set[str] = set()
        # What was given back and not rung for since.
        self.unheard: set[str] = set()
        self.is_cancelled = False
        self.number = itertools.count()

    def teardown(self) -> None:
        self.engine.dispose()
        self._folder.cleanup()

    @initialize()
    def upload(self) -> None:
        with transaction(self.engine) as connection:
            connection.execute(
                insert(User).values(id=1, username="a", token_sha256=b"a", created_at_s=0)
            )
            counts = {"total": len(JOBS), "rejected": 0, "finished": 0, "failed": 0}
            connection.execute(
                insert(Batch).values(
                    id=BATCH,
                    user_id=1,
                    reception=1,
                    last_number=2,
                    created_at_s=0,
                    received_at_s=0,
                    **counts,
                )
            )
            for line, ecg_id in enumerate(JOBS):
                connection.execute(
                    insert(Ecg).values(
                        id=ecg_id,
                        batch_id=BATCH,
                        line=line,
                        user_id=1,
                        created_at_s=0,
                        recorded_at_s=0,
                        baseline=0,
                        leads="[]",
                        number_of_leads=0,
                        request_id="",
                        status=PENDING,
                        attempts=0,
                        rung_at_s=now_s(),
                    )
                )

    def row(self, ecg_id: str) -> Any:
        with reading(self.engine) as connection:
            return connection.execute(select(Ecg.__table__).where(Ecg.id == ecg_id)).one()

    @rule(target=claims, ecg_id=sampled_from(JOBS), message=sampled_from(MESSAGES))
    def deliver(self, ecg_id: str, message: str) -> Any:
        """A message arrives: for the first time, again, or long after its time."""
        claims = acts.claim(self.engine, [ecg_id], message + DELIVERY).claims
        if not claims:
            assert not self._may_begin(ecg_id), "what waits was not given out"
            return multiple()
        self._begin(claims[0], message)
        return claims[0]

    @rule(target=claims, message=sampled_from(MESSAGES))
    def deliver_together(self, message: str) -> Any:
        """A message that names both: of them, what has been begun before is left for another."""
        expected = [i for i in JOBS if self._may_begin(i) and not self._attempts(i)]
        claims = acts.claim(self.engine, JOBS, message + DELIVERY).claims
        assert [claim.ecg_id for claim in claims] == expected
        for claim in claims:
            self._begin(claim, message)
        return multiple(*claims)

    def _may_begin(self, ecg_id: str) -> bool:
        return self._waits(ecg_id) and (ecg_id in self.asked or not self.is_cancelled)

    def _attempts(self, ecg_id: str) -> int:
        return self.begun[ecg_id] - self.asked.get(ecg_id, 0)

    def _begin(self, claim: acts.Claim, message: str) -> None:
        ecg_id = claim.ecg_id
        assert claim.is_redo == (ecg_id in self.asked)
        assert claim.is_redo or not self.is_cancelled, "work on what was cancelled"
        assert claim.is_redo or ecg_id not in self.ended, "work on what has ended"
        assert ecg_id not in self.resting, "work before its time"
        assert not self.holder[ecg_id], "two at work on one row"
        self.begun[ecg_id] += 1
        assert claim.attempt == self.begun[ecg_id]
        assert self._attempts(ecg_id) <= acts.MAX_ATTEMPTS
        self.holder[ecg_id] = claim
        self.message[ecg_id] = message
        self.unheard.discard(ecg_id)

    @rule(claim=claims)
    def finish(self, claim: acts.Claim) -> None:
        """A worker stores its result: in time, too late, or twice."""
        self._finish([claim])

    @rule(first=claims, second=claims)
    def finish_together(self, first: acts.Claim, second: acts.Claim) -> None:
        """A worker stores two results at once, of which one may come too late."""
        if first.ecg_id != second.ecg_id:
            self._finish([first, second])

    def _finish(self, claims: list[acts.Claim]) -> None:
        documents = [(claim, str(next(self.number)).encode()) for claim in claims]
        stood = endings.finish(self.engine, documents)
        assert stood == {c.ecg_id for c in claims if self.holder[c.ecg_id] == c}, "the fence"
        for claim, document in documents:
            if claim.ecg_id in stood:
                self.stored[claim.ecg_id] = document
                self._end(claim, FINISHED)

    @rule(ecg_id=sampled_from(JOBS))
    def ask_again(self, ecg_id: str) -> None:
        """An insight has changed: what is finished is to be analysed again."""
        with transaction(self.engine) as connection:
            connection.execute(update(Ecg).where(Ecg.id == ecg_id).values(catalogue="older"))
            asked = ask_again(connection, Ecg.id == ecg_id)
        is_finished = self.ended.get(ecg_id) == FINISHED and ecg_id not in self.asked
        assert asked == ([ecg_id] if is_finished else [])
        if is_finished:
            self.asked[ecg_id] = self.begun[ecg_id]
            self.in_vain.discard(ecg_id)
            self.unheard.add(ecg_id)

    @rule(
        target=claims,
        ecg_id=sampled_from(JOBS),
        message=sampled_from(MESSAGES),
        is_cancelled=sampled_from([False, False, False, True]),
    )
    def begin_again(self, ecg_id: str, message: str, is_cancelled: bool) -> Any:
        """A row has come through and is begun again; left to chance alone, that is too rare."""
        claims = self._finish_and_ask_again(ecg_id, message)
        if is_cancelled:
            self._cancel()
        claim = self.deliver(ecg_id, message)
        return multiple(*claims, *([claim] if isinstance(claim, acts.Claim) else []))

    @rule(ecg_id=sampled_from(JOBS), message=sampled_from(MESSAGES))
    def begin_again_what_is_damaged(self, ecg_id: str, message: str) -> None:
        """What was analysed once has samples that a later insight cannot read."""
        self._finish_and_ask_again(ecg_id, message)
        claim = self.deliver(ecg_id, message)
        if isinstance(claim, acts.Claim):
            self.fail(claim)

    @rule(
        target=claims,
        ecg_id=sampled_from(JOBS),
        message=sampled_from(MESSAGES),
        times=integers(acts.MAX_ATTEMPTS - 1, acts.MAX_ATTEMPTS + 1),
    )
    def begin_again_in_vain(self, ecg_id: str, message: str, times: int) -> Any:
        """One worker after the other dies of what the first one had come through with."""
        claims = self._finish_and_ask_again(ecg_id, message)
        return multiple(*claims, *self.lose_again_and_again(ecg_id, times).values)

    def _finish_and_ask_again(self, ecg_id: str, message: str) -> list[acts.Claim]:
        claim = self.deliver(ecg_id, message)
        claims = [claim] if isinstance(claim, acts.Claim) else []
        for one in claims:
            self.finish(one)
        self.ask_again(ecg_id)
        return claims

    @rule()
    def cancel(self) -> None:
        """The owner has seen enough; now and then, so that there is a game left to play."""
        if next(self.number) % 4 == 0:
            self._cancel()

    def _cancel(self) -> None:
        with transaction(self.engine) as connection:
            connection.execute(update(Batch).values(cancelled_at_s=now_s()))
        self.is_cancelled = True

    @rule()
    def retire(self) -> None:
        """The relay ends what waits in a batch that was cancelled."""
        if not self.is_cancelled:
            return
        waiting = [i for i in JOBS if not self.holder[i] and i not in self.ended]
        assert endings.retire(self.engine, BATCH, 1) == len(waiting)
        for ecg_id in waiting:
            self.ended[ecg_id] = FAILED
            self._let_go(ecg_id)
            self.resting.discard(ecg_id)
            self.unheard.discard(ecg_id)

    @rule(claim=claims)
    def fail(self, claim: acts.Claim) -> None:
        """The samples were at fault."""
        endings.fail(self.engine, claim, "reason")
        if self.holder[claim.ecg_id] == claim:
            self._fail(claim.ecg_id)
            self._let_go(claim.ecg_id)

    @rule(claim=claims)
    def give_back(self, claim: acts.Claim) -> None:
        """Something of ours went wrong."""
        endings.give_back(self.engine, claim, "reason")
        if self.holder[claim.ecg_id] == claim:
            self._take_back(claim.ecg_id)

    @rule(message=sampled_from(MESSAGES))
    def mourn(self, message: str) -> None:
        """The process that had this message was killed."""
        held = [i for i in JOBS if self.holder[i] and self.message[i] == message]
        assert sorted(endings.take_back(self.engine, message, JOBS, "reason")) == held
        for ecg_id in held:
            self._take_back(ecg_id)

    @rule(ecg_id=sampled_from(JOBS))
    def the_pause_is_over(self, ecg_id: str) -> None:
        """What was given back may be tried again."""
        with transaction(self.engine) as connection:
            connection.execute(update(Ecg).where(Ecg.id == ecg_id).values(due_at_s=now_s() - 1))
        self.resting.discard(ecg_id)

    @rule(ecg_id=sampled_from(JOBS))
    def the_clock_goes_on(self, ecg_id: str) -> None:
        """A lease runs out, because its worker died or dawdled."""
        if self.holder[ecg_id] is None:
            return
        with transaction(self.engine) as connection:
            connection.execute(
                update(Ecg).where(Ecg.id == ecg_id).values(lease_until_s=now_s() - 1)
            )
        self.out_of_lease.add(ecg_id)

    @rule()
    def the_clock_is_set_back(self) -> None:
        """By an hour: what was written down is an hour ahead, until the relay sees to it."""
        ahead = {
            name: getattr(Ecg, name) + 3600.0 for name in ("due_at_s", "rung_at_s", "lease_until_s")
        }
        with transaction(self.engine) as connection:
            connection.execute(update(Ecg).values(**ahead))
        heed_the_clock(self.engine)
        self.resting.clear()
        self.out_of_lease.clear()
        self.unheard |= {ecg_id for ecg_id in JOBS if self._waits(ecg_id)}
        with reading(self.engine) as connection:
            late = connection.scalars(
                select(Ecg.id).where(Ecg.lease_until_s > now_s() + LEASE_S + 1.0)
            ).all()
        assert not late, "a lease without end"

    @rule(target=claims, ecg_id=sampled_from(JOBS), times=integers(1, acts.MAX_ATTEMPTS + 1))
    def lose_again_and_again(self, ecg_id: str, times: int) -> Any:
        """One worker after the other dies of it; left to chance alone, that is too rare."""
        begun = []
        for _ in range(times):
            claim = self.deliver(ecg_id, MESSAGES[0])
            if isinstance(claim, acts.Claim):
                begun.append(claim)
            self.the_clock_goes_on(ecg_id)
            self.sweep()
            self.the_pause_is_over(ecg_id)
        return multiple(*begun)

    @rule(
        target=claims,
        ecg_id=sampled_from(JOBS),
        message=sampled_from(MESSAGES),
        end=sampled_from(["finish", "fail", "give_back"]),
    )
    def come_back_too_late(self, ecg_id: str, message: str, end: str) -> Any:
        """One worker dawdles, another one begins, and only then does the first one end."""
        late = self.lose_again_and_again(ecg_id, 1).values
        claim = self.deliver(ecg_id, message)
        for one in late:
            getattr(self, end)(one)
        return multiple(*late, *([claim] if isinstance(claim, acts.Claim) else []))

    @rule()
    def sweep(self) -> None:
        """The relay takes back what ran out, and nothing else."""
        endings.sweep(self.engine)
        for ecg_id in list(self.out_of_lease):
            self._take_back(ecg_id)
        for ecg_id in JOBS:
            expected = self.ended.get(ecg_id, RUNNING if self.holder[ecg_id] else PENDING)
            assert self.row(ecg_id).status == expected

    @rule()
    def ring_again(self) -> None:
        """The relay rings once, and soon, for what was given back, as soon as it is due."""
        rung: list[str] = []
        ringing.ring_again(self.engine, IS_WAITING, rung.extend, 8, LONG_S, [])
        assert sorted(rung) == [i for i in JOBS if self._waits(i) and i in self.unheard]
        self.unheard -= set(rung)

    @rule()
    def ring_for_all(self) -> None:
        """The broker has lost every message: the relay rings for exactly those that wait."""
        rung: list[str] = []
        ringing.ring_again(self.engine, IS_WAITING, rung.extend, 8, -1, [])
        assert sorted(rung) == [i for i in JOBS if self._waits(i)]
        self.unheard -= set(rung)

    def _waits(self, ecg_id: str) -> bool:
        is_done = ecg_id in self.ended and ecg_id not in self.asked
        return not (self.holder[ecg_id] or is_done or ecg_id in self.resting)

    @invariant()
    def only_what_is_worked_on_is_held(self) -> None:
        for ecg_id in JOBS:
            row, holder = self.row(ecg_id), self.holder[ecg_id]
            is_first = holder is not None and ecg_id not in self.asked
            assert (row.status == RUNNING) == is_first
            assert row.held_by == (self.message[ecg_id] + DELIVERY if holder else None)
            assert (row.lease_until_s is None) == (holder is None)

    @invariant()
    def what_has_ended_stays_as_it_is(self) -> None:
        with reading(self.engine) as connection:
            stored = dict(connection.execute(select(Insights.ecg_id, Insights.document)).all())
        assert stored == self.stored
        for ecg_id, status in self.ended.items():
            row = self.row(ecg_id)
            assert row.status == status
            assert (row.failure is None) == (status == FINISHED and ecg_id not in self.in_vain)
            assert row.finished_at_s is not None
            assert (row.redo_after is not None) == (ecg_id in self.asked)
            # Neither a new document nor an attempt in vain leaves it out of date.
            if status == FINISHED and ecg_id not in self.asked:
                assert row.catalogue == endings.our_fingerprint()

    @invariant()
    def the_counts_of_the_batch_add_up(self) -> None:
        with reading(self.engine) as connection:
            batch = connection.execute(select(Batch.__table__)).one_or_none()
        if batch is None:
            return
        ended = list(self.ended.values())
        assert (batch.finished, batch.failed) == (ended.count(FINISHED), ended.count(FAILED))
        assert (batch.finished_at_s is not None) == (len(ended) == len(JOBS))

    def _end(self, claim: acts.Claim, status: str) -> None:
        self.ended[claim.ecg_id] = status
        self.asked.pop(claim.ecg_id, None)
        self._let_go(claim.ecg_id)

    def _fail(self, ecg_id: str) -> None:
        """It ends without a document, or with the one it has."""
        if self.asked.pop(ecg_id, None) is None:
            self.ended[ecg_id] = FAILED
        else:
            self.in_vain.add(ecg_id)

    def _take_back(self, ecg_id: str) -> None:
        if self._attempts(ecg_id) == acts.MAX_ATTEMPTS:
            self._fail(ecg_id)
        else:
            self.resting.add(ecg_id)
            self.unheard.add(ecg_id)
            doubled_s = endings.FIRST_PAUSE_S * 2 ** (self._attempts(ecg_id) - 1)
            with reading(self.engine) as connection:
                due_in_s = self.row(ecg_id).due_at_s - connection.scalar(select(now_s()))
            # Some time has gone by since.
            assert 0.5 * doubled_s - 3.0 <= due_in_s <= 1.5 * doubled_s, "the rest does not double"
        self._let_go(ecg_id)

    def _let_go(self, ecg_id: str) -> None:
        self.holder[ecg_id] = None
        self.out_of_lease.discard(ecg_id)


TestLifeOfARow = LifeOfARow.TestCase
TestLifeOfARow.settings = settings(max_examples=100, stateful_step_count=20, deadline=None)
