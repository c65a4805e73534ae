"""Which files are taken for recordings, and that nothing is left out without a word."""

from __future__ import annotations

import os
from pathlib import Path

from isoline.finding import Findings, find_sources
from isoline.formats import read
from isoline.reading import key_of


def names(findings: Findings) -> list[str]:
    return [source.custom_id for source in findings.sources]


def make(folder: Path, *files: str) -> None:
    for name in files:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).touch()


def record(folder: Path, name: str, header: str) -> Path:
    path = folder / f"{name}.hea"
    path.write_text(header)
    return path


def test_folders_are_walked_in_order(tmp_path: Path) -> None:
    make(tmp_path, "b.csv", "a/z.csv", "a/r.hea", "a/r.dat", "a/r.atr")
    found = find_sources([tmp_path])
    assert names(found) == ["b.csv", "a/r.hea", "a/z.csv"]
    assert found.summary() is None
    assert names(find_sources([tmp_path / "b.csv", tmp_path / "a"])) == [
        *("b.csv", "a/r.hea", "a/z.csv")
    ]


def test_what_is_no_recording_is_counted(tmp_path: Path) -> None:
    make(tmp_path, "a.csv", "LICENSE", "a/README.txt", "a/b.TXT", "a/b.png", "a/orphan.dat")
    make(tmp_path, ".hidden/c.csv", "a/.d.csv")
    os.mkfifo(tmp_path / "pipe.csv")
    found = find_sources([tmp_path])
    assert names(found) == ["a.csv"]
    assert found.summary() == (
        "8 files were left out: hidden (2), .txt (2), without an ending (1), "
        "no files (1), .png (1), .dat (1)."
    )
    # What was named is never left out: it is for the reader to say what is wrong with it.
    assert names(find_sources([tmp_path / "LICENSE"])) == ["LICENSE"]


def test_recordings_of_other_formats_are_called_by_their_names(tmp_path: Path) -> None:
    make(tmp_path, "a.csv", "b.dcm", "c.xml")
    assert find_sources([tmp_path]).summary() == (
        "2 files are not in a format that is read here and were left out: .dcm (1), .xml (1). "
        "Not read here: DICOM, aECG (XML)."
    )


def test_many_kinds_are_still_one_line(tmp_path: Path) -> None:
    make(tmp_path, *(f"a.x{number}" for number in range(20)), "a.\x1b[2J")
    summary = find_sources([tmp_path]).summary()
    assert summary is not None
    assert summary.startswith("21 files are not in a format that is read here")
    assert len(summary) < 200
    assert summary.isprintable()


def test_links_out_of_the_folder_are_not_followed(tmp_path: Path) -> None:
    make(tmp_path, "in/a.csv", "out/secret.csv", "out/more/x.csv")
    (tmp_path / "in" / "b.csv").symlink_to(tmp_path / "out" / "secret.csv")
    (tmp_path / "in" / "c").symlink_to(tmp_path / "out" / "more")
    (tmp_path / "in" / "gone.csv").symlink_to(tmp_path / "in" / "nothing.csv")
    (tmp_path / "in" / "loop.csv").symlink_to("loop.csv")
    found = find_sources([tmp_path / "in"])
    assert names(found) == ["a.csv"]
    assert found.left_out == {"links out of the folder": 1, "links to folders": 1, "no files": 2}
    # Who names it, means it.
    assert names(find_sources([tmp_path / "in" / "b.csv"])) == ["b.csv"]


def test_links_to_what_is_sent_are_left_out_and_told(tmp_path: Path) -> None:
    make(tmp_path, "c.csv", "in/c.csv")
    for link in ("a.csv", "d.csv", "in/a.csv"):
        (tmp_path / link).symlink_to(tmp_path / "c.csv")
    found = find_sources([tmp_path])
    assert names(found) == ["c.csv", "in/c.csv"]
    assert found.summary() == "3 files were left out: links to files that are sent (3)."
    # So with what was named; a link that was named alone is all that there is of its file.
    found = find_sources([tmp_path / "c.csv", tmp_path / "d.csv", tmp_path / "in" / ".." / "c.csv"])
    assert names(found) == ["c.csv"]
    assert found.left_out == {"links to files that are sent": 1}
    assert names(find_sources([tmp_path / "d.csv"])) == ["d.csv"]


def test_links_to_what_is_not_sent_keep_their_names(tmp_path: Path) -> None:
    make(tmp_path, ".store/1.csv", "x/r.csv", "y/r.csv")
    for link in ("x/a.csv", "y/a.csv"):
        (tmp_path / link).symlink_to(tmp_path / ".store" / "1.csv")
    every = ["x/a.csv", "x/r.csv", "y/a.csv", "y/r.csv"]
    assert names(find_sources([tmp_path])) == every
    assert names(find_sources([tmp_path / name for name in every])) == every


def test_a_linked_header_with_samples_of_its_own_is_another_record(tmp_path: Path) -> None:
    make(tmp_path, "r.dat", "x/r.dat")
    header = record(tmp_path, "r", "r 1 250 2\nr.dat 16 200 16 0 0 0 0 I\n")
    (tmp_path / "s.hea").symlink_to(header)
    (tmp_path / "x" / "r.hea").symlink_to(header)
    found = find_sources([tmp_path])
    assert names(found) == ["r.hea", "x/r.hea"]
    assert found.left_out == {"links to files that are sent": 1}


def test_folders_that_cannot_be_opened_are_told(tmp_path: Path) -> None:
    make(tmp_path, "a.csv", "in/b.csv")

    class Forgetful(type(tmp_path)):  # type: ignore[misc]
        """A folder that is gone when it is walked."""

        def is_dir(self) -> bool:
            return True

    found = find_sources([Forgetful(tmp_path / "gone")])
    assert found.left_out == {"folders that cannot be opened": 1}


def test_parts_of_a_record_are_no_files_of_their_own(tmp_path: Path) -> None:
    make(tmp_path, "r.dat", "r.atr", "samples.mat", "other.dat", "r.csv")
    record(tmp_path, "r", "r 2 250 2\nr.dat 16 200 16 0 0 0 0 I\nsamples.mat 16 200 16 0 0 0 0 V\n")
    everything = sorted(tmp_path.iterdir())
    assert names(find_sources(everything)) == ["other.dat", "r.csv", "r.hea"]
    found = find_sources([tmp_path])
    assert names(found) == ["r.csv", "r.hea"]
    assert found.left_out == {".dat": 1}
    assert names(find_sources([tmp_path, tmp_path / "r.dat"]))[0].endswith("/r.csv")
    assert len(find_sources([tmp_path, tmp_path / "r.dat"]).sources) == 2
    assert names(find_sources([tmp_path / "r.dat"])) == ["r.dat"]


def test_segments_are_read_once(tmp_path: Path) -> None:
    for name in ("r_1", "r_2"):
        make(tmp_path, f"{name}.dat")
        record(tmp_path, name, f"{name} 1 250 2\n{name}.dat 16 200 16 0 0 0 0 I\n")
    record(tmp_path, "r", "r/2 1 250 4\nr_1 2\nr_2 2\n")
    assert names(find_sources([tmp_path])) == ["r.hea"]
    assert names(find_sources(sorted(tmp_path.iterdir()))) == ["r.hea"]
    assert names(find_sources([tmp_path / "r_1.hea"])) == ["r_1.hea"]


def test_samples_that_change_are_another_submission(tmp_path: Path) -> None:
    make(tmp_path, "r_1.dat")
    record(tmp_path, "r_1", "r_1 1 250 2\nr_1.dat 16 200 16 0 0 0 0 I\n")
    record(tmp_path, "r", "r/1 1 250 2\nr_1 2\n")
    sources = find_sources([tmp_path]).sources
    before = key_of(sources, None)
    assert key_of(sources, None) == before
    (tmp_path / "r_1.dat").write_bytes(bytes(4))
    assert key_of(sources, None) != before


def test_a_header_that_is_none_ends_no_search(tmp_path: Path) -> None:
    record(tmp_path, "a", f"a 1 250 {'9' * 5000}\na.dat 16 200\n")
    record(tmp_path, "b", f"b 1 250 2\nb.dat {'9' * 5000} 200\n")
    (tmp_path / "c.hea").write_bytes(bytes(range(256)))
    (tmp_path / "d.hea").touch()
    assert names(find_sources([tmp_path])) == ["a.hea", "b.hea", "c.hea", "d.hea"]
    assert key_of(find_sources([tmp_path]).sources, None)


def test_a_record_that_names_itself_is_not_lost(tmp_path: Path) -> None:
    record(tmp_path, "r", "r/1 1 250 2\nr 2\n")
    assert names(find_sources([tmp_path])) == ["r.hea"]


def reasons(findings: Findings) -> list[str]:
    """Of everything that is sent, why it cannot be read."""
    return [str(found) for source in findings.sources for _, found in read(source.path)]


def test_records_that_name_each_other_are_not_lost(tmp_path: Path) -> None:
    for name, other in ("ab", "bc", "ca"):
        record(tmp_path, name, f"{name}/1 1 250 10\n{other} 10\n")
    found = find_sources([tmp_path])
    assert names(found) == ["a.hea", "b.hea", "c.hea"]
    assert reasons(found) == ["A segment consists of segments."] * 3
    assert names(find_sources(sorted(tmp_path.iterdir()))) == names(found)


def test_records_that_take_each_other_for_samples_are_not_lost(tmp_path: Path) -> None:
    for name, other in ("ab", "ba"):
        record(tmp_path, name, f"{name} 1 250 10\n{other}.hea 16 200 16 0 0 0 0 I\n")
    found = find_sources([tmp_path])
    assert names(found) == ["a.hea", "b.hea"]
    assert reasons(found) == [
        "A signal of it is said to stand in b.hea, which is a header.",
        "A signal of it is said to stand in a.hea, which is a header.",
    ]


def test_segments_of_what_is_not_sent_are_sent(tmp_path: Path) -> None:
    make(tmp_path, "in/r_1.dat", "out/none")
    record(tmp_path / "in", "r_1", "r_1 1 250 2\nr_1.dat 16 200 16 0 0 0 0 I\n")
    (tmp_path / "in" / "r.hea").symlink_to(record(tmp_path / "out", "r", "r/1 1 250 2\nr_1 2\n"))
    found = find_sources([tmp_path / "in"])
    assert names(found) == ["r_1.hea"]
    assert found.left_out == {"links out of the folder": 1}
    # Nor does a record take with it what only a part that cannot be one names.
    record(tmp_path / "in", "s", "s/1 1 250 2\nt 2\n")
    record(tmp_path / "in", "t", "t/1 1 250 2\nr_1 2\n")
    assert names(find_sources([tmp_path / "in"])) == ["s.hea", "t.hea"]


def test_a_folder_that_is_called_like_a_recording_is_walked(tmp_path: Path) -> None:
    make(tmp_path, "x.hea/a.csv")
    assert names(find_sources([tmp_path])) == ["x.hea/a.csv"]


def test_names_are_what_a_terminal_can_show(tmp_path: Path) -> None:
    for name in (b"a\nb.csv", b"\x1b[31mred.csv", b"\xff.csv", "µ.csv".encode()):
        Path(os.fsdecode(os.fsencode(tmp_path) + b"/" + name)).touch()
    assert names(find_sources([tmp_path])) == [
        *("\\x1b[31mred.csv", "a\\nb.csv", "µ.csv", "\\udcff.csv")
    ]


def test_recordings_of_the_same_name_are_told_apart(tmp_path: Path) -> None:
    paths = [tmp_path / name for name in ("a/x/r.csv", "b/x/r.csv", "b/x/s.csv")]
    for path in paths:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("1\n")

    def named(*asked: str) -> list[str]:
        return names(find_sources([tmp_path / name for name in asked]))

    assert named("a/x/r.csv", "b/x/s.csv") == ["r.csv", "s.csv"]
    assert named("a/x/r.csv", "b/x/r.csv") == ["a/x/r.csv", "b/x/r.csv"]
    assert named("a/x", "b/x") == ["a/x/r.csv", "b/x/r.csv", "b/x/s.csv"]
    assert named("a/x", "b") == ["x/r.csv", "b/x/r.csv", "b/x/s.csv"]
    # One file is one recording, however often it is named.
    assert named("b", "b/x/s.csv") == ["b/x/r.csv", "s.csv"]
