"""A chapter's claims as data: ``notebooks/<part>/<slug>.toml``, committed before the judged run.

::

    [[control]]
    id = "noise"
    statement = "A measurement of nothing finds nothing."
    criterion = "< 0.5"

    [[claim]]
    id = "c1"
    statement = "Deeper networks collapse more often."
    paper = "0.4 at six layers"
    source = "Table 1"
    needs = ["noise"]
    quantities = [
        { id = "collapse", each = [2, 4, 6], name = "{} layers: share collapsed", criterion = "> 0.2" },
        { id = "growth", name = "slope in the depth", criterion = { quick = "> 0", paper = "> 0.1" } },
    ]

A quantity's id is what the notebook says: ``chapter.measure("c1", collapse={2: ..., 4: ..., 6: ...}, growth=...)``; its
name is what readers see. What differs between profiles is a table by profile; ``smoke`` is as ``quick`` where it is
not named, and a quantity without a criterion for a profile does not exist there.
"""

import keyword
import re
import tomllib
from collections.abc import Iterator
from importlib import metadata
from itertools import chain
from pathlib import Path
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator

from replib.claims import Claim, Criterion, Quantity

PROFILES = ("smoke", "quick", "paper")
Profile = Literal["smoke", "quick", "paper"]
SLUG = re.compile(r"[a-z][a-z0-9]*_[a-z0-9_]+")
SLUG_RULE = "a slug is author2024_topic: small letters, digits and _, a letter first, with at least one _"
_ID_RULE = "an id has small letters, digits and -, a letter first, such as 'c1' or 'wrong-rule'"
_QUANTITY_RULE = "a quantity's id is a Python name in small letters, such as 'test_accuracy', since notebooks say it"

Text = Annotated[str, Field(min_length=1)]
Member = str | int | float
ByProfile = dict[Profile, Text]


class ClaimsError(ValueError):
    """A claims file that cannot be used; the message names file, claim and key."""


class _Entry(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)


def _of(value: object, profile: str) -> object:
    """What holds in a profile: smoke is as quick where it is not named."""
    if isinstance(value, dict):
        return value.get(profile, value.get("quick") if profile == "smoke" else None)
    return value


def member_name(key: object) -> str:
    """A member of a family as it is written in names: 2, 0.5, or several joined by commas."""
    if isinstance(key, tuple):
        return ", ".join(map(member_name, key))
    return f"{key:g}" if isinstance(key, float) else str(key)


class QuantityEntry(_Entry):
    """A number of a claim, or with ``each`` one for every member of a family."""

    id: Text
    name: Text | ByProfile
    criterion: Text | ByProfile | None = None
    each: list[Member] | dict[Profile, list[Member]] | dict[str, Text | ByProfile] | None = None

    @field_validator("id")
    @classmethod
    def _is_a_python_name(cls, id: str) -> str:
        if not re.fullmatch(r"[a-z][a-z0-9_]*", id) or keyword.iskeyword(id):
            raise ValueError(f"{id!r}: {_QUANTITY_RULE}")
        return id

    @model_validator(mode="after")
    def _is_complete(self) -> "QuantityEntry":
        own = isinstance(self.each, dict) and not set(self.each) <= set(PROFILES)
        if own == (self.criterion is not None):
            where = "each member has a criterion of its own" if own else 'say criterion = "> 0.9", or one by profile'
            raise ValueError(f"{'two criteria' if own else 'no criterion'}: {where}")
        for name in self.name.values() if isinstance(self.name, dict) else [self.name]:
            if ("{}" in name) != (self.each is not None):
                raise ValueError("a name holds {} where the members of `each` go, and only then")
        for profile in PROFILES:
            list(self.quantities(profile))
        return self

    def quantities(self, profile: str) -> Iterator[Quantity]:
        """What this entry declares in a profile.

        Raises:
            ValueError: a criterion that says nothing, or no name.
        """
        for member, criterion in self._members(profile):
            text, name = _of(criterion, profile), _of(self.name, profile)
            if text is None:
                continue
            if name is None:
                raise ValueError(f"a criterion for {profile} and no name for it")
            key = "" if member is None else member_name(member)
            yield Quantity(self.id, key, name.replace("{}", key), Criterion.parse(text))

    def _members(self, profile: str) -> list[tuple[Member | None, Text | ByProfile | None]]:
        """Each member of the family in a profile with its criterion; one without a name where there is no family."""
        if self.each is None:
            return [(None, self.criterion)]
        if isinstance(self.each, dict) and self.criterion is None:
            return list(self.each.items())
        return [(member, self.criterion) for member in _of(self.each, profile) or ()]


class ControlEntry(_Entry):
    """A control with the outcome that it must have."""

    id: Text
    statement: Text | ByProfile
    criterion: Text | ByProfile | None = None
    quantities: list[QuantityEntry] = []
    not_tested: Text | ByProfile | None = None
    note: Text | ByProfile = Field(default="", min_length=0)

    @field_validator("id")
    @classmethod
    def _is_an_id(cls, id: str) -> str:
        if not re.fullmatch(r"[a-z][a-z0-9-]*", id):
            raise ValueError(f"{id!r}: {_ID_RULE}")
        return id

    @model_validator(mode="after")
    def _can_be_judged(self) -> "ControlEntry":
        if (self.criterion is None) == (not self.quantities):
            raise ValueError('say either criterion = "> 0.9" for one number, or quantities = [...] for several')
        for profile in PROFILES:
            claim = self.claim(profile)
            if not claim.reason and not any(q.criterion.judges for q in claim.quantities):
                raise ValueError(
                    f"no quantity is judged in {profile}: give one a criterion that can fail, or say "
                    f'not_tested = {{ {profile} = "why" }}'
                )
            for what in ("id", "name"):
                shown = [(q.id, q.member) if what == "id" else q.name for q in claim.quantities]
                repeated = sorted({str(s) for s in shown if shown.count(s) > 1})
                if repeated:
                    raise ValueError(f"two quantities have the {what} {', '.join(repeated)} in {profile}")
        return self

    def claim(self, profile: str) -> Claim:
        """What is declared in a profile, with nothing measured."""
        if self.criterion is not None:
            text = _of(self.criterion, profile)
            quantities = () if text is None else (Quantity("", "", "", Criterion.parse(text)),)
        else:
            quantities = tuple(q for entry in self.quantities for q in entry.quantities(profile))
        statement, note, reason = (_of(text, profile) or "" for text in (self.statement, self.note, self.not_tested))
        return Claim(self.id, statement, quantities, note=note, reason=reason)


class ClaimEntry(ControlEntry):
    """A claim of the paper."""

    paper: Text
    source: str = ""
    needs: list[str] | dict[Profile, list[str]] = []

    def claim(self, profile: str) -> Claim:
        made = super().claim(profile)
        made.paper, made.source, made.needs = self.paper, self.source, tuple(_of(self.needs, profile) or ())
        return made


class ClaimsFile(_Entry):
    """All claims and controls of a chapter."""

    control: list[ControlEntry] = []
    claim: list[ClaimEntry] = Field(min_length=1)

    @model_validator(mode="after")
    def _names_are_known_and_unique(self) -> "ClaimsFile":
        ids = [e.id for e in (*self.control, *self.claim)]
        repeated = sorted({i for i in ids if ids.count(i) > 1})
        if repeated:
            raise ValueError(f"the id {', '.join(repeated)} is given twice: each claim and control needs its own")
        controls = {c.id for c in self.control}
        for entry in self.claim:
            named = entry.needs if isinstance(entry.needs, list) else chain.from_iterable(entry.needs.values())
            unknown = sorted(set(named) - controls)
            if unknown:
                known = ", ".join(sorted(controls)) or "none"
                raise ValueError(f"claim {entry.id} needs {', '.join(unknown)}; the controls of this file are: {known}")
        return self

    def claims(self, profile: str) -> dict[str, Claim]:
        """The claims as a profile judges them."""
        return {e.id: e.claim(profile) for e in self.claim}

    def controls(self, profile: str) -> dict[str, Claim]:
        """The controls as a profile judges them."""
        return {e.id: e.claim(profile) for e in self.control}


def _explain(error: ValidationError, payload: dict) -> str:
    """The first problem in one line: claim, quantity, key, what is wrong."""
    first = error.errors(include_url=False)[0]
    where, at = [], payload
    for key in first["loc"]:
        if isinstance(key, int):
            at = at[key] if isinstance(at, list) and key < len(at) else None
            label = at.get("id") if isinstance(at, dict) else None
            where[-1:] = [f"{'quantity' if where[-1] == 'quantities' else where[-1]} {label or f'number {key + 1}'}"]
        elif (isinstance(at, dict) and key in at) or first["type"] in ("missing", "extra_forbidden"):
            where.append(key)
            at = at.get(key) if isinstance(at, dict) else None
    message = {
        "missing": "is missing", "extra_forbidden": "is no key of a claims file: correct or remove it",
    }.get(first["type"], first["msg"].removeprefix("Value error, "))  # fmt: skip
    more = error.error_count() - 1
    return ": ".join([*where, message]) + f" (and {more} more)" * (more > 0 and first["type"] != "union")


def parse(text: str, origin: str) -> ClaimsFile:
    """The claims in the text of a file.

    Raises:
        ClaimsError: not TOML, or not as this module says; one line that begins with ``origin``.
    """
    try:
        payload = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise ClaimsError(f"{origin} is not valid TOML: {error}") from None
    try:
        return ClaimsFile.model_validate(payload)
    except ValidationError as error:
        raise ClaimsError(f"{origin}: {_explain(error, payload)}") from None


def read(path: Path) -> ClaimsFile:
    """Read a claims file.

    Raises:
        ClaimsError: missing, unreadable, or as :func:`parse`.
    """
    try:
        # a byte-order mark is what some editors add; git may turn line ends
        text = Path(path).read_bytes().decode("utf-8-sig").replace("\r\n", "\n")
    except FileNotFoundError:
        raise ClaimsError(f"there are no claims at {path}: a chapter's claims are declared there") from None
    except OSError as error:
        raise ClaimsError(f"the claims {path} cannot be read: {error.strerror or error}") from None
    except UnicodeDecodeError as error:
        raise ClaimsError(f"{path} is not UTF-8 (byte {error.start + 1}): save it as UTF-8") from None
    return parse(text, str(path))


def find(slug: str) -> Path:
    """The claims file of a chapter: beside the notebook, in the checkout this library lies in, or installed with it.

    Raises:
        ClaimsError: not a slug, or there is none.
    """
    if not SLUG.fullmatch(slug):
        raise ClaimsError(f"{slug!r} is no chapter: {SLUG_RULE}")
    root = Path(__file__).resolve().parents[2]
    found = [beside] if (beside := Path(f"{slug}.toml")).exists() else []
    if not found and (root / "Snakefile").exists():
        found = sorted((root / "notebooks").glob(f"*/{slug}.toml"))
    if not found:
        try:
            installed = metadata.files("replib") or []
        except metadata.PackageNotFoundError:
            installed = []
        found = [Path(f.locate()) for f in installed if f.name == f"{slug}.toml"]
    if not found:
        raise ClaimsError(
            f"the claims of {slug} are not here: in a checkout write notebooks/<part>/{slug}.toml; elsewhere put "
            f"{slug}.toml beside the notebook, or install the library of the commit that has it"
        )
    return found[0]
