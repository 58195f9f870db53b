"""When each criterion was set, and what it was before: read from git, so that a reader need not take our word.

A claims file is committed before the run that it judges. The history of that file and of the published records says,
for every claim, since when its present criterion stands, what it replaced, and whether a record was there already.
Before a chapter had a claims file, only its records say which criteria were used: those count as set with the record.
"""

import json
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from replib import claimsfile
from replib.claims import Claim
from replib.record import Record

# claim -> one line per quantity, sorted: what is compared between commits
Criteria = dict[str, tuple[str, ...]]


@dataclass(frozen=True)
class Change:
    """A criterion that became another one.

    Attributes:
        date, commit: when, and the short hash.
        old, new: one line per quantity that differs.
        after_record: whether a record of the claim was published already.
    """

    date: str
    commit: str
    old: tuple[str, ...]
    new: tuple[str, ...]
    after_record: bool


@dataclass(frozen=True)
class Registration:
    """Since when a claim's criterion stands.

    Attributes:
        date, commit: of the commit that set it; empty if it is not committed yet.
        before_record: whether that was before the first record which it judged; None without a record.
        changes: what it was before, oldest first.
    """

    date: str
    commit: str
    before_record: bool | None
    changes: tuple[Change, ...]

    @property
    def marked(self) -> bool:
        """Whether a reader must be told: not set before its record, or changed after a first one."""
        return self.before_record is False or not self.commit or any(c.after_record for c in self.changes)


@dataclass(frozen=True)
class _Commit:
    date: str
    commit: str
    claims: dict[str, Criteria]  # profile -> criteria, where the commit changed the claims file
    records: dict[str, Criteria]  # profile -> criteria, where it changed a record


def _lines(pairs: Iterator[tuple[str, str]]) -> tuple[str, ...]:
    return tuple(sorted(f"{name}: {criterion}" if name else criterion for name, criterion in pairs))


def declared(claim: Claim) -> tuple[str, ...]:
    """A claim's criteria as they are compared."""
    return _lines((q.name, str(q.criterion)) for q in claim.quantities)


def _of_claims(text: str) -> dict[str, Criteria]:
    try:
        found = claimsfile.parse(text, "")
    except claimsfile.ClaimsError:  # a version that could not be used set no criterion
        return {}
    return {p: {i: declared(c) for i, c in found.claims(p).items()} for p in ("quick", "paper")}


def _of_record(text: str) -> Criteria:
    try:
        return {c["id"]: _lines(c["criteria"].items()) for c in json.loads(text)["claims"]}
    except (ValueError, KeyError, TypeError, AttributeError):
        return {}


class History:
    """What git knows of all claims files and records of a checkout.

    Attributes:
        unknown: why nothing is known; empty if it is.
    """

    def __init__(self, root: Path) -> None:
        self.root = root
        self.unknown = ""
        try:
            if self._git("rev-parse", "--is-shallow-repository").strip() != b"false":
                self.unknown = "this copy has only the newest part of the version history"
        except (OSError, subprocess.CalledProcessError):
            self.unknown = "this copy has no version history"

    def _git(self, *arguments: str, given: str = "") -> bytes:
        command = ["git", *arguments]
        return subprocess.run(command, cwd=self.root, input=given.encode(), capture_output=True, check=True).stdout

    @cached_property
    def _commits(self) -> dict[str, list[_Commit]]:
        """Slug -> commits that changed its claims file or a record, oldest first."""
        if self.unknown:
            return {}
        log = self._git(
            "log", "--reverse", "--topo-order", "--no-renames", "--diff-filter=AM", "--raw", "--no-abbrev", "-m",
            "--first-parent", "--format=%x01%cs %H", "--", "notebooks/*/*.toml", "book/records/*.json",
        ).decode()  # fmt: skip
        touched: list[tuple[str, str, str, str]] = []  # date, commit, path, blob
        for block in log.split("\x01")[1:]:
            head, *rows = block.strip().splitlines()
            for row in filter(None, rows):
                fields, path = row.split("\t", 1)
                date, commit = head.split(" ")
                touched.append((date, commit[:10], path, fields.split(" ")[3]))
        texts = self._blobs({blob for *_, blob in touched})
        found: dict[str, dict[str, _Commit]] = {}
        for date, commit, path, blob in touched:
            name = Path(path)
            slug = name.stem.split(".")[0]
            entry = found.setdefault(slug, {}).setdefault(commit, _Commit(date, commit, {}, {}))
            if name.suffix == ".toml":
                entry.claims.update(_of_claims(texts[blob]))
            else:
                entry.records[name.stem.split(".")[-1]] = _of_record(texts[blob])
        return {slug: list(commits.values()) for slug, commits in found.items()}

    def _blobs(self, names: set[str]) -> dict[str, str]:
        """The texts of many objects, read by one process."""
        done = self._git("cat-file", "--batch", given="".join(f"{name}\n" for name in sorted(names)))
        texts, at = {}, 0
        while at < len(done):
            end = done.index(b"\n", at)
            name, _, size = done[at:end].decode().split(" ")
            texts[name] = done[end + 1 : end + 1 + int(size)].decode("utf-8", "replace")
            at = end + 2 + int(size)
        return texts

    def of(self, slug: str, profile: str, claim: Claim) -> Registration | None:
        """Since when the present criterion of a claim stands in a profile; None where the history is not known."""
        if self.unknown:
            return None
        present = declared(claim)
        text, since, recorded, judged = None, None, False, None
        changes: list[Change] = []

        def change(date: str, commit: str, new: tuple[str, ...]) -> Change:
            old = tuple(line for line in text if line not in new)
            return Change(date, commit, old, tuple(line for line in new if line not in text), recorded)

        for commit in self._commits.get(slug, []):
            # of one commit the claims file counts first, yet not as there before the record
            for source in (commit.claims, commit.records):
                new = source.get(profile, {}).get(claim.id)
                if new is None:
                    continue
                if new != text:
                    if text is not None:
                        changes.append(change(commit.date, commit.commit, new))
                    text, since, judged = new, commit, None
                if source is commit.records:
                    recorded, judged = True, judged or commit
        if text != present:
            if text is not None:
                changes.append(change("", "", present))
            return Registration("", "", False if recorded else None, tuple(changes))
        return Registration(since.date, since.commit, None if judged is None else judged is not since, tuple(changes))


def summary(found: Registration | None, record: Record | None) -> str:
    """In words: ``criterion of 2026-11-21, run of 2026-11-22``."""
    run = "not run" if record is None else f"run of {record.environment.date}"
    if found is None:
        return f"criterion of an unknown date, {run}"
    if not found.commit:
        return f"criterion not committed yet, {run}"
    return f"criterion of {found.date}, {run}"
