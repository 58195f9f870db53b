"""The outcome of a run: its record, or how it failed. What the ledger and the site are made from."""

import json
from dataclasses import asdict, dataclass

from replib.press.digest import sha256
from replib.press.extract import extract, read_notebook, record_in
from replib.press.layout import BuildError, Layout
from replib.press.status import Status, read_status
from replib.record import Record, RecordError, compare, dump, parse, read, write_atomically


@dataclass(frozen=True)
class Outcome:
    """One chapter in one profile.

    Attributes:
        status: how the run ended.
        record: None unless the run ended well.
    """

    status: Status
    record: Record | None


def write(layout: Layout, slug: str, profile: str) -> Outcome:
    """Make the outcome of a finished run; a notebook without a valid record is a failure too."""
    status = read_status(layout.status(slug, profile))
    if status is None:
        raise BuildError(f"{layout.status(slug, profile)} is missing or damaged: run the chapter again")
    record = None
    if status.state == "ok":
        try:
            record = extract(layout, slug, profile, status.inputs)
        except (RecordError, BuildError) as error:
            status = Status(slug, profile, "failed", status.seconds, status.inputs, str(error))
            # remembered as a failure, so that the next build tries again
            write_atomically(layout.status(slug, profile), json.dumps(asdict(status), indent=1) + "\n")
    payload = {"status": asdict(status), "record": None if record is None else record.model_dump(mode="json")}
    write_atomically(layout.outcome(slug, profile), json.dumps(payload, indent=1, ensure_ascii=False) + "\n")
    return Outcome(status, record)


def load(layout: Layout, slug: str, profile: str) -> Outcome:
    """Read the outcome of a run.

    Raises:
        RecordError: missing or damaged.
    """
    path = layout.outcome(slug, profile)
    try:
        payload = json.loads(path.read_text(encoding="utf-8"))
        status = Status(**payload["status"])
        record = payload["record"]
    except (OSError, ValueError, TypeError, KeyError) as error:
        raise RecordError(f"the outcome {path} is missing or damaged ({error}): run the build again.") from None
    return Outcome(status, None if record is None else parse(record, str(path)))


def is_current(layout: Layout, slug: str, profile: str) -> bool:
    """Whether a run ended well, is of the chapter as it is now and can be read; by content, not by times."""
    status = read_status(layout.status(slug, profile))
    try:
        expected = json.loads(layout.digest(slug, profile).read_text(encoding="utf-8"))["digest"]
        if status is None or status.state != "ok" or status.inputs.get("digest") != expected:
            return False
        record_in(read_notebook(layout.executed(slug, profile)), slug)
        return not layout.outcome(slug, profile).exists() or load(layout, slug, profile).record is not None
    except (OSError, ValueError, KeyError, RecordError):
        return False


def published(layout: Layout, slug: str, profile: str) -> Record | None:
    """The committed record, None where there is none."""
    path = layout.published(slug, profile)
    return read(path) if path.exists() else None


def accept(layout: Layout, slug: str, profile: str) -> str:
    """Make a fresh record the published one; says which file, and what is other than in the one before.

    Raises:
        BuildError: the run failed, its record is not that of the last run, or it ran another text of the chapter.
    """
    outcome = load(layout, slug, profile)
    if outcome.record is None:
        raise BuildError(f"{slug} ({profile}) {outcome.status.state}: a failed run has no record to publish")
    if read_status(layout.status(slug, profile)) not in (None, outcome.status):
        raise BuildError(
            f"{slug} ({profile}) was run again since its record was made: extract it first (record {profile})"
        )
    made = outcome.record.provenance
    if (
        made is None
        or made.source_sha256 != sha256(layout.chapter(slug))
        or (made.claims_sha256 and made.claims_sha256 != sha256(layout.claims(slug)))
    ):
        raise BuildError(f"{slug} ({profile}) has changed since this run: run it again")
    before, path = published(layout, slug, profile), layout.published(slug, profile)
    write_atomically(path, dump(outcome.record))
    return f"published {path.relative_to(layout.root)}: {_changes(before, outcome.record)}"


def _changes(before: Record | None, now: Record) -> str:
    if before is None:
        return "its first record"
    rows = compare(before, now)
    other = [row for row in rows if row.state in ("differs", "within tolerance")]
    if not other:
        return f"all {len(rows)} verdicts and numbers are as before"
    lines = [f"    {row.claim} {row.quantity}: {row.ours} -> {row.theirs}" for row in other]
    return "\n".join([f"{len(other)} of {len(rows)} verdicts and numbers changed", *lines])
