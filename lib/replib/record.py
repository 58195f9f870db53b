"""The record of one run: what a chapter claims, measured, cost and ran on.

The record travels from the notebook to the site as a MIME bundle in the report cell's output and
is stored as JSON. Its shape is versioned: a record of another version is refused, never guessed at.
"""

import json
import math
import os
import tempfile
from pathlib import Path
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from replib.claims import Verdict

SCHEMA_VERSION = 1
RECORD_MIME = "application/vnd.replib.record+json"
FIGURE_MIME = "application/vnd.replib.figure+json"

PROFILES = ("smoke", "quick", "paper")
Profile = Literal["smoke", "quick", "paper"]
Slug = Annotated[str, Field(pattern=r"^[a-z][a-z0-9]*_[a-z0-9_]+$")]
Id = Annotated[str, Field(pattern=r"^[a-z][a-z0-9-]*$")]
Finite = Annotated[float, Field(allow_inf_nan=False)]


class RecordError(ValueError):
    """A record that cannot be used; the message says why and what to do."""


class _Model(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class QuantityRecord(_Model):
    """One judged number of a claim."""

    name: str
    criterion: str
    judged: bool
    value: Finite
    low: Finite
    high: Finite
    n: int = Field(ge=1)
    method: str
    values: list[Finite]
    tolerance: Finite = Field(ge=0)
    timed: bool = False
    verdict: Verdict


class ClaimRecord(_Model):
    """A claim or a control with its verdict."""

    id: Id
    statement: str
    paper: str
    source: str
    note: str
    needs: list[Id]
    criteria: dict[str, str]
    quantities: list[QuantityRecord]
    verdict: Verdict
    reason: str

    @property
    def timed(self) -> bool:
        """Whether the verdict rests on times, and so may differ from machine to machine."""
        return any(q.timed and q.judged for q in self.quantities)


class DataRecord(_Model):
    """A data set the run read."""

    name: str
    sha256: str
    bytes: int = Field(ge=0)


class Cost(_Model):
    """What the run took, without the imports that come before ``begin``."""

    wall_s: Finite
    cpu_s: Finite
    peak_mib: Finite
    download_mib: Finite


class Environment(_Model):
    """What the run ran on; the likely causes when two runs differ."""

    python: str
    packages: dict[str, str]
    platform: str
    cpu: str
    cpu_capability: str
    cores: int
    threads: int
    gpu: str
    date: str


class Provenance(_Model):
    """What was run; filled in by the build, which alone knows the files."""

    digest: str
    source_sha256: str
    claims_sha256: str = ""  # records of before claims files have none
    modules: dict[str, str]
    lock_sha256: str
    commit: str


class Record(_Model):
    """One run of one chapter."""

    schema_version: Literal[1] = SCHEMA_VERSION
    slug: Slug
    profile: Profile
    seed: int = Field(ge=0)
    seeds: list[int]
    claims: list[ClaimRecord]
    controls: list[ClaimRecord]
    data: list[DataRecord]
    cost: Cost
    environment: Environment
    provenance: Provenance | None = None

    @model_validator(mode="after")
    def _ids_are_unique(self) -> "Record":
        ids = [c.id for c in (*self.claims, *self.controls)]
        repeated = {i for i in ids if ids.count(i) > 1}
        if repeated:
            raise ValueError(f"ids used twice: {', '.join(sorted(repeated))}")
        return self

    def counts(self) -> dict[Verdict, int]:
        """Number of claims per verdict, every verdict listed."""
        return {v: sum(c.verdict is v for c in self.claims) for v in Verdict}


def parse(payload: object, origin: str) -> Record:
    """Validate decoded JSON as a record.

    Raises:
        RecordError: not a record, or one of another schema version; names ``origin``.
    """
    if not isinstance(payload, dict):
        raise RecordError(f"{origin} holds no record: expected a JSON object. Run the chapter again to make one.")
    version = payload.get("schema_version")
    if version != SCHEMA_VERSION:
        raise RecordError(
            f"{origin} has schema version {version!r}, this library reads version {SCHEMA_VERSION}. "
            "Run the chapter again, or use the library of the commit that wrote it."
        )
    try:
        return Record.model_validate(payload)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(map(str, first["loc"])) or "top level"
        raise RecordError(
            f"{origin} is not a valid record: {where}: {first['msg']} "
            f"({error.error_count()} problem(s)). Run the chapter again to replace it."
        ) from None


def read(path: Path) -> Record:
    """Read and validate a record file.

    Raises:
        RecordError: missing, unreadable, not JSON, or not a record; the file is left as it is.
    """
    path = Path(path)
    try:
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError:
        raise RecordError(f"there is no record at {path}: run the chapter first.") from None
    except (OSError, UnicodeDecodeError) as error:
        raise RecordError(f"the record {path} cannot be read: {error}") from None
    try:
        payload = json.loads(text)
    except (json.JSONDecodeError, RecursionError) as error:
        raise RecordError(f"the record {path} is damaged: {error}. Run the chapter again to replace it.") from None
    return parse(payload, str(path))


def dump(record: Record) -> str:
    """The record as JSON text; equal records give equal text."""
    return json.dumps(record.model_dump(mode="json"), indent=1, ensure_ascii=False) + "\n"


def write_atomically(path: Path, text: str) -> None:
    """Replace ``path`` by ``text`` in one step: a reader sees the old file or the new, never half.

    Raises:
        RecordError: the folder cannot be written; an existing file stays as it was.
    """
    path = Path(path)
    temporary = None
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
        with os.fdopen(handle, "w", encoding="utf-8") as stream:
            stream.write(text)
            stream.flush()
            os.fsync(stream.fileno())
        # mkstemp makes private files; published ones are readable by all
        os.chmod(temporary, 0o644)
        os.replace(temporary, path)
    except OSError as error:
        if temporary is not None and os.path.exists(temporary):
            os.unlink(temporary)
        raise RecordError(
            f"{path} cannot be written ({error.strerror or error}): "
            "make its folder writable or free some space, then run again. Nothing was changed."
        ) from None


class Agreement(_Model):
    """How one quantity, or one verdict, of two runs compares."""

    claim: str
    quantity: str
    state: Literal["same bits", "within tolerance", "a time", "differs"]
    ours: str
    theirs: str


def _compare_quantity(claim: str, ours: QuantityRecord, theirs: QuantityRecord) -> Agreement:
    if ours.timed and theirs.timed:
        state = "a time"
    elif (ours.value, ours.values) == (theirs.value, theirs.values):
        state = "same bits"
    elif ours.n == theirs.n and math.isclose(ours.value, theirs.value, rel_tol=0.0, abs_tol=ours.tolerance):
        state = "within tolerance"
    else:
        state = "differs"
    return Agreement(
        claim=claim,
        quantity=ours.name,
        state=state,
        ours=f"{ours.value:.6g} [{ours.low:.6g}, {ours.high:.6g}], n = {ours.n}",
        theirs=f"{theirs.value:.6g} [{theirs.low:.6g}, {theirs.high:.6g}], n = {theirs.n}",
    )


def compare(published: Record, other: Record) -> list[Agreement]:
    """Compare two runs claim by claim: each verdict, then each quantity within the published tolerance.

    Times, and verdicts that rest on them, are shown but never differ.

    Raises:
        RecordError: the records are of different chapters, profiles or seeds.
    """
    for name in ("slug", "profile", "seed"):
        a, b = getattr(published, name), getattr(other, name)
        if a != b:
            raise RecordError(f"these runs cannot be compared: {name} is {a!r} in one and {b!r} in the other.")
    rows: list[Agreement] = []
    theirs = {c.id: c for c in (*other.claims, *other.controls)}
    for claim in (*published.claims, *published.controls):
        mate = theirs.pop(claim.id, None)
        verdict = "no such claim" if mate is None else str(mate.verdict)
        otherwise = "a time" if mate is not None and claim.timed else "differs"
        rows.append(
            Agreement(
                claim=claim.id,
                quantity="verdict",
                state="same bits" if verdict == claim.verdict else otherwise,
                ours=str(claim.verdict),
                theirs=verdict,
            )
        )
        quantities = {} if mate is None else {q.name: q for q in mate.quantities}
        for quantity in claim.quantities:
            if quantity.name in quantities:
                rows.append(_compare_quantity(claim.id, quantity, quantities.pop(quantity.name)))
            else:
                rows.append(_one_sided(claim.id, quantity.name, "measured", "not measured"))
        rows += [_one_sided(claim.id, name, "not measured", "measured") for name in quantities]
    rows += [_one_sided(i, "verdict", "no such claim", str(c.verdict)) for i, c in theirs.items()]
    return rows


def _one_sided(claim: str, quantity: str, ours: str, theirs: str) -> Agreement:
    return Agreement(claim=claim, quantity=quantity, state="differs", ours=ours, theirs=theirs)


def likely_causes(published: Record, other: Record) -> list[str]:
    """What is different between two runs, most likely cause of different bits first."""
    a, b = published.environment, other.environment
    causes = []
    pa, pb = published.provenance, other.provenance
    if pa and pb and pa.source_sha256 != pb.source_sha256:
        causes.append("the chapter's text is another")
    if pa and pb and pa.claims_sha256 != pb.claims_sha256:
        causes.append("the chapter's claims file is another")
    if pa and pb and pa.modules != pb.modules:
        changed = sorted(m for m in pa.modules.keys() | pb.modules.keys() if pa.modules.get(m) != pb.modules.get(m))
        causes.append(f"library modules differ: {', '.join(changed)}")
    if [(d.name, d.sha256) for d in published.data] != [(d.name, d.sha256) for d in other.data]:
        causes.append("the data are not the same")
    for label, x, y in (
        ("threads", a.threads, b.threads),
        ("CPU capability", a.cpu_capability, b.cpu_capability),
        ("GPU", a.gpu or "none", b.gpu or "none"),
        *(
            (f"version of {name}", a.packages.get(name, "absent"), b.packages.get(name, "absent"))
            for name in sorted(a.packages.keys() | b.packages.keys())
        ),
        ("Python", a.python, b.python),
        ("CPU", a.cpu, b.cpu),
        ("platform", a.platform, b.platform),
    ):
        if x != y:
            causes.append(f"{label}: {x} in the published run, {y} in this one")
    return causes
