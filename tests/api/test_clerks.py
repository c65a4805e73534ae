"""Single uploads are worked on one at a time, wait for no large one, and users take turns."""

from __future__ import annotations

import threading

from api.clerks import LARGE_BYTES, Clerks
from tests.parts import wait_until

SMALL, LARGE = b" " * LARGE_BYTES, b" " * (LARGE_BYTES + 1)
ADA, BOB = 1, 2


def hand_in(clerks: Clerks, user_id: int, done: list[int]) -> threading.Thread:
    """Another upload of this user, by a thread of its own."""

    def wait() -> None:
        with clerks.one_for(user_id, SMALL):
            done.append(user_id)

    before = members(clerks)
    thread = threading.Thread(target=wait)
    thread.start()
    wait_until(lambda: members(clerks) > before, what="for it to queue")
    return thread


def members(clerks: Clerks) -> int:
    return sum(queue.members for queue in list(clerks._queues.values()))


def test_each_clerk_works_on_one_upload_at_a_time_and_waits_for_no_other_clerk() -> None:
    clerks = Clerks()
    done: list[int] = []
    with clerks.one_for(ADA, SMALL):
        waiting = [hand_in(clerks, ADA, done), hand_in(clerks, BOB, done)]
        with clerks.one_for(ADA, LARGE):
            assert clerks._counters[True].locked()
        assert not done
    for thread in waiting:
        thread.join(30)
    assert sorted(done) == [ADA, BOB]
    assert not clerks._queues


def test_of_one_user_only_one_waits_for_a_clerk() -> None:
    clerks = Clerks()
    done: list[int] = []
    with clerks.one_for(ADA, SMALL):
        waiting = [hand_in(clerks, ADA, done) for _ in range(20)]
        waiting.append(hand_in(clerks, BOB, done))
    for thread in waiting:
        thread.join(30)
    # Not behind all of hers: behind those that were quicker to the counter.
    assert done.index(BOB) < 10


def test_who_breaks_off_leaves_no_queue_behind() -> None:
    clerks = Clerks()
    try:
        with clerks.one_for(ADA, SMALL):
            raise MemoryError
    except MemoryError:
        assert not clerks._queues
