"""Criteria and verdicts.

A criterion maps an :class:`~replib.estimate.Estimate` to a verdict. It is judged on the whole
interval: entirely inside is *replicated*, entirely outside is *not replicated*, across is
*inconclusive*. Two properties hold for every criterion and are tested: widening an interval never
turns *inconclusive* into a verdict, and a number that is not a number is never replicated.
"""

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum

from replib.estimate import Estimate


class Verdict(StrEnum):
    """What a run says about a claim."""

    REPLICATED = "replicated"
    NOT_REPLICATED = "not replicated"
    INCONCLUSIVE = "inconclusive"
    NOT_TESTED = "not tested"


def conjunction(verdicts: list[Verdict]) -> Verdict:
    """All must hold: one failure refutes, one doubt leaves doubt."""
    if Verdict.NOT_REPLICATED in verdicts:
        return Verdict.NOT_REPLICATED
    if Verdict.INCONCLUSIVE in verdicts:
        return Verdict.INCONCLUSIVE
    return Verdict.REPLICATED


@dataclass(frozen=True)
class Criterion:
    """``low < value < high``, with the interval on the same side of ``clear_low`` and ``clear_high``.

    The plain bounds say how large the effect must be, the clear bounds what the interval must
    exclude; by default they coincide, and then the interval alone decides.
    """

    low: float = -math.inf
    high: float = math.inf
    clear_low: float = -math.inf
    clear_high: float = math.inf

    def __post_init__(self) -> None:
        if any(math.isnan(b) for b in (self.low, self.high, self.clear_low, self.clear_high)):
            raise ValueError("a criterion's bound must be a number")
        if not (self.clear_low <= self.low < self.high <= self.clear_high):
            raise ValueError(
                f"no number satisfies the criterion {self}: the bounds must rise, "
                "and clear_of must not ask for more than the bound itself"
            )

    def judge(self, estimate: Estimate) -> Verdict:
        """The verdict on the whole interval of ``estimate``."""
        if any(math.isnan(v) for v in (estimate.value, estimate.low, estimate.high)):
            return Verdict.INCONCLUSIVE
        if self.low < estimate.value < self.high and estimate.low > self.clear_low and estimate.high < self.clear_high:
            return Verdict.REPLICATED
        if estimate.high <= self.low or estimate.low >= self.high:
            return Verdict.NOT_REPLICATED
        return Verdict.INCONCLUSIVE

    def __str__(self) -> str:
        parts = []
        if self.low > -math.inf:
            parts.append(f"> {self.low:g}")
        if self.high < math.inf:
            parts.append(f"< {self.high:g}")
        if self.low > self.clear_low > -math.inf:
            parts.append(f"interval above {self.clear_low:g}")
        if self.high < self.clear_high < math.inf:
            parts.append(f"interval below {self.clear_high:g}")
        return ", ".join(parts) or "reported, not judged"

    @classmethod
    def parse(cls, text: str) -> "Criterion":
        """A criterion from words.

        ``> 0.9``, ``< 0.1``, ``in (0.72, 0.86)``, ``= 0 ± 0.03``, ``reported``, each bound also with what the interval
        must exclude: ``> 3, interval above 1.5`` and ``< 3, interval below 4``.

        Raises:
            ValueError: anything else; quotes the text.
        """
        if text.strip() == "reported":
            return cls()
        whole = text.strip()
        for pattern, make in _FORMS:
            if match := re.fullmatch(pattern, whole):
                try:
                    return make(*(None if g is None else float(g) for g in match.groups()))
                except ValueError as error:
                    raise ValueError(f"the criterion {text!r} cannot hold: {error}") from None
        raise ValueError(
            f"{text!r} is no criterion: write '> 0.9', '< 0.1', 'in (0.72, 0.86)', '= 0 ± 0.03', 'reported', or, with "
            "what the interval must exclude, '> 3, interval above 1.5'"
        )

    @property
    def judges(self) -> bool:
        """False for a quantity that is only reported."""
        return self.low > -math.inf or self.high < math.inf


def _within(target: float, margin: float) -> Criterion:
    if not margin > 0:
        raise ValueError(f"equality needs a positive margin, got {margin:g}")
    return Criterion(*(target - margin, target + margin) * 2)


_NUMBER = r"\s*([-+]?(?:\d+\.?\d*|\.\d+)(?:[eE][-+]?\d+)?)\s*"
# inf: the value alone decides
_CLEAR = _NUMBER[:-4] + r"|-?inf)\s*"
_FORMS = (
    (
        rf">{_NUMBER}(?:, interval above{_CLEAR})?",
        lambda x, clear: Criterion(low=x, clear_low=x if clear is None else clear),
    ),
    (
        rf"<{_NUMBER}(?:, interval below{_CLEAR})?",
        lambda x, clear: Criterion(high=x, clear_high=x if clear is None else clear),
    ),
    (rf"in \({_NUMBER},{_NUMBER}\)", lambda low, high: Criterion(low, high, low, high)),
    (rf"={_NUMBER}(?:±|\+-){_NUMBER}", _within),
)


@dataclass(frozen=True)
class Quantity:
    """A number that a claim asks for.

    Attributes:
        id: what the notebook calls it; '' for a claim's only one.
        member: which of a family it is; '' where there is no family.
        name: what readers see.
    """

    id: str
    member: str
    name: str
    criterion: Criterion


@dataclass
class Claim:
    """One statement of a paper, or one control, and what a run found.

    Attributes:
        id: stable name, used in links.
        statement: the claim in our words.
        quantities: what must be measured; all criteria must hold.
        paper: the paper's figure, as text.
        source: where in the paper, and how sure we are of it.
        needs: ids of the controls without which this claim's verdict proves nothing.
        note: anything a reader must know about the criterion, such as that a pilot informed it.
    """

    id: str
    statement: str
    quantities: tuple[Quantity, ...]
    paper: str = ""
    source: str = ""
    needs: tuple[str, ...] = ()
    note: str = ""
    estimates: dict[Quantity, Estimate] = field(default_factory=dict)
    reason: str = ""

    @property
    def settled(self) -> bool:
        """Measured, or declared not tested."""
        return bool(self.estimates or self.reason)

    def own_verdict(self) -> Verdict:
        """The verdict from this claim's own estimates, before its controls are looked at."""
        if not self.estimates:
            return Verdict.NOT_TESTED
        return conjunction([quantity.criterion.judge(e) for quantity, e in self.estimates.items()])


def final_verdict(claim: Claim, controls: Mapping[str, Claim]) -> tuple[Verdict, str]:
    """The published verdict and its reason: a control that does not hold leaves the claim open."""
    verdict = claim.own_verdict()
    if verdict is Verdict.NOT_TESTED:
        return verdict, claim.reason
    failed = [c for c in claim.needs if controls[c].own_verdict() is not Verdict.REPLICATED]
    if failed:
        return Verdict.INCONCLUSIVE, (
            f"without its control{'s' * (len(failed) > 1)} {', '.join(failed)} the measurement proves nothing; "
            f"on its own it would read: {verdict}"
        )
    return verdict, claim.reason
