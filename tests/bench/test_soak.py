"""The soak's verdict: what grew is named, and what only warmed up or flickered is not."""

from __future__ import annotations

from dataclasses import replace

from bench.soak import Sample, judge

JOBS = 3_000


def steady(number: int = 31) -> list[Sample]:
    """A worker that stays as it is, looked at so often; both children are soon replaced."""
    one = Sample(
        jobs=0,
        parent_mb=100.0,
        parent_descriptors=30,
        children_mb=120.0,
        children_descriptors=25,
        children=(1, 2),
    )
    return [
        replace(one, jobs=JOBS * n // (number - 1), children=(1, 2) if n < 2 else (3, 4))
        for n in range(number)
    ]


def test_a_worker_that_stays_as_it_is_is_well() -> None:
    assert judge(steady()) == ""


def test_growth_within_a_tenth_is_well() -> None:
    slow = [replace(s, parent_mb=100 + 9 * s.jobs / JOBS) for s in steady()]
    assert judge(slow) == ""


def test_a_parent_that_grows_by_more_than_a_tenth_is_not() -> None:
    grown = [replace(s, parent_mb=100 + 30 * s.jobs / JOBS) for s in steady()]
    assert judge(grown) == "The megabytes of the parent grew from 105 to 125.5."


def test_a_descriptor_that_leaks_is_one_too_many() -> None:
    parent = [replace(s, parent_descriptors=30 + (s.jobs > JOBS // 2)) for s in steady()]
    assert judge(parent) == "The descriptors of the parent grew from 30 to 31."
    child = [replace(s, children_descriptors=25 + (s.jobs > JOBS // 2)) for s in steady()]
    assert judge(child) == "The descriptors of the largest child grew from 25 to 26."


def test_what_children_inherit_when_they_are_forked_later_is_no_leak() -> None:
    inherited = [replace(s, children_descriptors=14 + s.children[0]) for s in steady()]
    assert judge(inherited) == ""


def test_children_that_grow_by_more_than_a_tenth_are_not_well() -> None:
    grown = [replace(s, children_mb=100 + 30 * s.jobs / JOBS) for s in steady()]
    assert judge(grown) == "The megabytes of the largest child grew from 106.5 to 125.5."


def test_children_that_were_never_replaced_cannot_be_judged() -> None:
    assert "largest child" in judge([replace(s, children=(1, 2)) for s in steady()])


def test_one_look_at_a_bad_moment_condemns_nobody() -> None:
    samples = steady()
    samples[-2] = replace(samples[-2], parent_mb=300.0, parent_descriptors=99)
    assert judge(samples) == ""


def test_a_handful_of_samples_is_no_proof() -> None:
    assert "Too few samples" in judge(steady(4))
