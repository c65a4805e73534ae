"""Which files are recordings, what each is called, and what was left out."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Container, Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from isoline.escapes import printable
from isoline.formats import MODULES
from isoline.formats.wfdb_headers import named_files

_HEADER = ".hea"
_NO_ENDING = "without an ending"
_MOST_KINDS = 8
# Recordings, too, but none that is read here: whoever has them is told so by name.
_FOREIGN = {".dcm": "DICOM", ".scp": "SCP-ECG", ".xml": "aECG (XML)"}


@dataclass(frozen=True)
class Source:
    """A file with one recording or more."""

    custom_id: str
    path: Path


@dataclass
class Findings:
    """What there is to send, and how many files of each kind are left out.

    Not counted is what belongs to a recording that is sent: the files that its header names, and
    what bears its name, such as annotations.
    """

    sources: list[Source] = field(default_factory=list)
    left_out: Counter[str] = field(default_factory=Counter)

    def summary(self) -> str | None:
        """One sentence on what was left out, if anything was; foreign formats are named.

        Also those of files that were named, and of which their reader says what is wrong.
        """
        kinds_there = {source.path.suffix.lower() for source in self.sources} | {*self.left_out}
        foreign = [name for kind, name in _FOREIGN.items() if kind in kinds_there]
        hint = f"Not read here: {', '.join(foreign)}." if foreign else ""
        number = self.left_out.total()
        if not number:
            return hint or None
        kinds = [f"{kind} ({count})" for kind, count in self.left_out.most_common(_MOST_KINDS)]
        more = ["…"] if len(self.left_out) > _MOST_KINDS else []
        # Of what is hidden, or a link, nobody knows the format.
        is_foreign = all(kind.startswith((".", _NO_ENDING)) for kind in self.left_out)
        what = "1 file was" if number == 1 else f"{number} files were"
        if is_foreign:
            what = "1 file is" if number == 1 else f"{number} files are"
            what += f" not in a format that is read here and {'was' if number == 1 else 'were'}"
        return f"{what} left out: {', '.join([*kinds, *more])}. {hint}".rstrip()


def find_sources(paths: Iterable[Path]) -> Findings:
    """Find what there is to send in files and folders; several folders are told apart by names.

    A file that was named is always taken, unless it belongs to a record that was named too; in
    folders only what is called like a recording. Where names would still be the same, all are
    called by as much of their paths as tells them apart.
    """
    paths = list(paths)
    findings = Findings()
    found: list[Source] = []
    for path in paths:
        if path.is_dir():
            prefix = f"{path.resolve().name}/" if len(paths) > 1 else ""
            for name, file in _walk(path, findings.left_out):
                found.append(Source(printable(prefix + name), file))
        else:
            found.append(Source(printable(path.name), path))
    if not all(path.is_dir() for path in paths):
        belonging = _belonging(source.path for source in found)
        found = [source for source in found if not _belongs(source.path, belonging)]
    # The same file, named twice, is one.
    at = {source.path.parent.resolve() / source.path.name: source for source in found}
    sent = {place: source for place, source in at.items() if not _is_another(place, at)}
    if linked := len(at) - len(sent):
        findings.left_out["links to files that are sent"] += linked
    findings.sources = list(sent.values())
    if len({source.custom_id for source in findings.sources}) < len(sent):
        common = os.path.commonpath([place.parent for place in sent])
        findings.sources = [
            Source(printable(place.relative_to(common).as_posix()), place) for place in sent
        ]
    return findings


def _is_another(place: Path, places: Container[Path]) -> bool:
    """Whether it is a link to a recording that is found under its own name."""
    if not place.is_symlink():
        return False
    target = place.resolve()
    # The same header in another folder is that of other samples.
    return target in places and (place.suffix != _HEADER or target.parent == place.parent)


def _walk(folder: Path, left_out: Counter[str]) -> Iterator[tuple[str, Path]]:
    """Find recordings below a folder, in the order of their names."""

    def count_folder(_: OSError) -> None:
        left_out["folders that cannot be opened"] += 1

    root = folder.resolve()
    for parent, folders, names in os.walk(folder, onerror=count_folder):
        here = Path(parent)
        hidden = [name for name in (*folders, *names) if name.startswith(".")]
        left_out["hidden"] += len(hidden)
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        linked = [name for name in folders if (here / name).is_symlink()]
        left_out["links to folders"] += len(linked)
        files = [here / name for name in sorted(names) if not name.startswith(".")]
        kinds = {file: _kind(file, root) for file in files}
        belonging = _belonging(file for file, kind in kinds.items() if kind is None)
        for file, kind in kinds.items():
            if _belongs(file, belonging):
                continue
            if kind is None:
                yield file.relative_to(folder).as_posix(), file
            else:
                left_out[kind] += 1
    # Nothing counted is nothing to tell.
    for kind in [kind for kind, number in left_out.items() if not number]:
        del left_out[kind]


def _kind(file: Path, root: Path) -> str | None:
    """What a file is instead of a recording, or None when it looks like one."""
    if not file.is_file():
        # Nor is a link that leads to itself, which cannot be resolved.
        return "no files"
    if file.is_symlink() and not file.resolve().is_relative_to(root):
        # Whoever made the folder has not necessarily the right to send what it points to.
        return "links out of the folder"
    if file.suffix.lower() in MODULES:
        return None
    return printable(file.suffix.lower()) or _NO_ENDING


def _belonging(files: Iterable[Path]) -> tuple[set[Path], set[Path]]:
    """The files that WFDB headers among these name, and the headers without their ending."""
    parts: set[Path] = set()
    stems: set[Path] = set()
    for header in (file.absolute() for file in files if file.suffix == _HEADER):
        stems.add(header.with_suffix(""))
        parts |= named_files(header)
    return parts, stems


def _belongs(file: Path, belonging: tuple[set[Path], set[Path]]) -> bool:
    """Whether a file is part of a record: a segment, its samples, or annotations beside them."""
    parts, stems = belonging
    file = file.absolute()
    if file.suffix.lower() in MODULES:
        return file.suffix == _HEADER and file in parts
    return file in parts or file.with_suffix("") in stems
