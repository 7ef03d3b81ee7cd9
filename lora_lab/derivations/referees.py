"""Three independent referees for every closed form, and the report they fill in.

    autograd             torch's own backward pass through the forward function
    central differences  (h(v + e) - h(v - e)) / 2e for each entry v, at eleven steps e
    symbolic             the paper's formula differentiated by SymPy, in exact arithmetic

The first two trust the library's forward and judge the gradients. The third never sees the
forward: it starts from `Derivation.symbolic_value`, so it judges the forward as well, reported
as the variable ``value``.

With L = sum(g * h) and a random g, a gradient is compared entry by entry with the referee's.
Its scale is the referee's largest entry. Verdicts, for the largest difference d:

    exact        d is at most `FEW_ULPS` float64 units in the last place of the scale
    approximate  d / scale is within the referee's `TOLERANCE`
    wrong        anything else; also a missing, misshapen or non-finite gradient (see the note)
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from typing import Any, NamedTuple

import torch
from torch import Tensor

from .catalogue import CATALOGUE, Derivation, Gradients, Inputs, Shape, find, look_up
from .mistakes import find_mistake

EXACT, APPROXIMATE, WRONG = VERDICTS = ("exact", "approximate", "wrong")
VALUE = "value"  # the forward itself, among the variables
STEPS = tuple(10.0**-k for k in range(1, 12))
EPSILON = torch.finfo(torch.float64).eps
FEW_ULPS = 16  # the sums here have some ten terms, each rounded
TOLERANCE = {"autograd": 1e-12, "central differences": 1e-8, "symbolic": 1e-12}
SMALLEST_SCALE = 1e-6  # where a gradient vanishes, rounding is compared with this instead


@dataclass(frozen=True)
class Finding:
    """What one referee says about one variable of one derivation at one shape."""

    derivation: str
    shape: str
    variable: str
    referee: str
    verdict: str
    largest_difference: float  # infinite if there was nothing to compare
    scale: float
    note: str = ""

    @property
    def relative_difference(self) -> float:
        return self.largest_difference / self.scale

    def __str__(self) -> str:
        compared = math.isfinite(self.largest_difference)
        return self.verdict + (f" {self.largest_difference:.1e}" if compared else "")


# The referees. Each gives k estimates per variable, (k, *shape), of which the closest counts.


def autograd(derivation: Derivation, inputs: Inputs, g: Tensor) -> dict[str, Tensor]:
    """One estimate per variable: torch's reverse-mode derivative of the forward function."""
    leaves = {name: inputs[name].clone().requires_grad_() for name in derivation.variables}
    with torch.enable_grad():
        h = derivation.forward(**inputs | leaves)
        found = torch.autograd.grad(h, list(leaves.values()), g, materialize_grads=True)
    return {name: grad[None] for name, grad in zip(leaves, found, strict=True)}


def central_differences(derivation: Derivation, inputs: Inputs, g: Tensor) -> dict[str, Tensor]:
    """One estimate per step in `STEPS` and variable, every entry of every step moved on its own."""
    return {name: _differences(derivation, inputs, g, name) for name in derivation.variables}


def _differences(derivation: Derivation, inputs: Inputs, g: Tensor, name: str) -> Tensor:
    v = inputs[name]
    units = torch.eye(v.numel(), dtype=v.dtype).reshape(v.numel(), *v.shape)
    offsets = torch.cat([step * units for step in STEPS])  # (steps * entries, *v.shape)
    above, below = v + offsets, v - offsets

    def h(moved: Tensor) -> Tensor:  # one value per row of ``moved``
        return torch.stack([derivation.forward(**inputs | {name: v}) for v in moved])

    # Subtract before summing: entries of h that do not move then cancel without rounding.
    rise = (g * (h(above) - h(below))).reshape(len(offsets), -1).sum(dim=1)
    # v + e is rounded, so the distance walked is not quite 2e.
    distance = (above - below).reshape(len(offsets), -1).sum(dim=1)
    return (rise / distance).reshape(len(STEPS), *v.shape)


def symbolic(derivation: Derivation, inputs: Inputs, g: Tensor) -> dict[str, Tensor]:
    """One estimate per variable, and the value, each correct to the last bit of float64.

    Every float64 is a rational number, so nothing is rounded before the end.
    """
    import sympy  # only here: a second to import, and nobody else needs it

    point = {name: _exact(sympy, t) for name, t in inputs.items()}
    weights = _exact(sympy, g.reshape(-1))
    found = {VALUE: _rounded(derivation.symbolic_value(sympy, **point))}
    for name in derivation.variables:
        symbols = sympy.Matrix(*point[name].shape, sympy.symbols(f"v:{len(point[name])}"))
        at_point = dict(zip(symbols, point[name], strict=True))
        h = derivation.symbolic_value(sympy, **point | {name: symbols})
        loss = sum(g_i * h_i for g_i, h_i in zip(weights, h, strict=True))
        found[name] = _rounded(loss.diff(v).xreplace(at_point) for v in symbols)
    shapes = {name: inputs[name].shape for name in derivation.variables} | {VALUE: g.shape}
    return {name: t.reshape(1, *shapes[name]) for name, t in found.items()}


def _exact(sympy: Any, t: Tensor) -> Any:
    """The same numbers as rationals: a scalar, or a matrix whose rows are examples."""
    if t.ndim == 0:
        return sympy.Rational(t.item())
    rows = t.reshape(-1, t.shape[-1]).tolist()
    return sympy.Matrix([[sympy.Rational(entry) for entry in row] for row in rows])


def _rounded(expressions: Any) -> Tensor:
    return torch.tensor([float(e.evalf(30)) for e in expressions], dtype=torch.float64)


Referee = Callable[[Derivation, Inputs, Tensor], dict[str, Tensor]]
REFEREES: dict[str, Referee] = {
    "autograd": autograd,
    "central differences": central_differences,
    "symbolic": symbolic,
}


def check(
    derivation: Derivation | str,
    *,
    shapes: Sequence[Shape] | None = None,
    referees: Sequence[str] = tuple(REFEREES),
    seed: int = 0,
) -> list[Finding]:
    """Ask the referees about every variable of a derivation (or its key) at each shape.

    Raises:
        ValueError: no derivation or referee has that name.
    """
    derivation = find(derivation)
    findings = []
    for shape in derivation.shapes if shapes is None else shapes:
        trial = prepare(derivation, shape, seed)
        for referee in referees:
            findings += trial.judge(referee, trial.ask(referee))
    return findings


class Entries(NamedTuple):
    """One referee's estimate of one variable, entry by entry."""

    estimate: Tensor
    off: Tensor  # bool: which entries the closed form misses by more than the referee allows


@dataclass(frozen=True)
class Trial:
    """One derivation at one random point, and what it claims there."""

    derivation: Derivation
    shape: Shape
    inputs: Inputs
    g: Tensor
    claims: Gradients  # of the closed form, and the forward's `VALUE`
    note: str  # what to say where a gradient is missing

    def ask(self, referee: str) -> dict[str, Tensor]:
        """A referee's estimates, (k, *shape) for each variable. It never sees the gradients.

        The symbolic one does not see the forward either: its answer serves every mistake.
        """
        return look_up(referee, REFEREES, "referee")(self.derivation, self.inputs, self.g)

    def judge(self, referee: str, estimates: dict[str, Tensor]) -> list[Finding]:
        """The claims against what ``ask`` gave, a finding for each variable."""
        where = (self.derivation.name, str(self.shape))
        tolerance = TOLERANCE[referee]
        return [
            Finding(*where, name, referee, *_judge(self.claims.get(name), e, tolerance, self.note))
            for name, e in estimates.items()
        ]

    def entries(self, referee: str, variable: str, estimates: Tensor) -> Entries:
        """What the claim for ``variable`` can be looked at beside, each entry at its best step.

        One step for all would be the one at which a single wrong entry looks least wrong.
        """
        differences = (estimates - self.claims[variable]).abs()
        difference, best = differences.min(dim=0)
        estimate = estimates.gather(0, best[None])[0]
        return Entries(estimate, difference > TOLERANCE[referee] * _scale(estimate))

    def errors(self, variable: str, estimates: Tensor) -> DifferenceErrors:
        """The error of central differences against the step; see `difference_errors`."""
        errors = _largest_differences(self.claims[variable], estimates)
        return DifferenceErrors(STEPS, tuple(errors.tolist()))


def prepare(derivation: Derivation | str, shape: Shape | None = None, seed: int = 0) -> Trial:
    """The derivation at random inputs of a shape, its last unless given."""
    derivation = find(derivation)
    shape = shape or derivation.shapes[-1]
    inputs = derivation.inputs(shape, seed)
    h = derivation.forward(**inputs)
    generator = torch.Generator().manual_seed(seed + 2)  # not the mask's
    g = torch.randn(h.shape, generator=generator, dtype=h.dtype)
    copies = {name: t.clone() for name, t in inputs.items()}  # in case it computes in place
    try:
        gradients = derivation.gradients(g.clone(), **copies)
        note = "no gradient was given"
    except RuntimeError as error:  # torch's word for shapes that do not fit: a wrong derivation
        gradients, note = {}, f"the gradients raised: {error}"
    return Trial(derivation, shape, inputs, g, gradients | {VALUE: h}, note)


def _judge(
    claim: Tensor | None, estimates: Tensor, tolerance: float, why_missing: str
) -> tuple[str, float, float, str]:
    """Verdict, largest difference, scale and note for one claim, given (k, *shape) estimates."""
    if claim is None:
        return WRONG, math.inf, 1.0, why_missing
    if claim.shape != estimates.shape[1:]:
        note = f"shape {tuple(claim.shape)} instead of {tuple(estimates.shape[1:])}"
        return WRONG, math.inf, 1.0, note
    difference, best = _largest_differences(claim, estimates).min(dim=0)
    if not difference.isfinite():
        return WRONG, math.inf, 1.0, "not every entry is finite, here or at the referee's"
    scale = _scale(estimates[best])
    if difference <= FEW_ULPS * EPSILON * scale:
        verdict = EXACT
    else:
        verdict = APPROXIMATE if difference <= tolerance * scale else WRONG
    return verdict, difference.item(), scale.item(), ""


def _scale(estimate: Tensor) -> Tensor:
    """What a difference is compared with: the referee's largest entry."""
    return estimate.abs().max().clamp(min=SMALLEST_SCALE)


def _largest_differences(claim: Tensor, estimates: Tensor) -> Tensor:
    """The largest entry of ``|estimate - claim|`` for each of the k estimates. Shape (k,)."""
    return (estimates - claim).abs().reshape(len(estimates), -1).amax(dim=1)


class DifferenceErrors(NamedTuple):
    """How far central differences are from the closed form, step by step."""

    steps: tuple[float, ...]
    errors: tuple[float, ...]

    @property
    def best_step(self) -> float:
        return self.steps[self.errors.index(min(self.errors))]


def difference_errors(
    derivation: Derivation | str, variable: str, *, shape: Shape | None = None, seed: int = 0
) -> DifferenceErrors:
    """The error of central differences against the step, for one variable: a curve to plot.

    For a loss it is a U: too large a step bends away (error ~ step^2), too small a step drowns
    in rounding (error ~ 1/step). W + s B A and U W V are linear in each single entry, so only
    the rounding branch is left and the largest step is as good as any.

    ``shape`` is the derivation's last unless given. Raises ValueError for an unknown name.
    """
    derivation = find(derivation)
    look_up(variable, dict.fromkeys(derivation.variables), f"variable of {derivation.name}")
    trial = prepare(derivation, shape, seed)
    return trial.errors(variable, _differences(derivation, trial.inputs, trial.g, variable))


@dataclass(frozen=True)
class Report:
    """All findings of one round of checks, and the mistake that was planted in it, if any."""

    findings: tuple[Finding, ...]
    mistake: str | None = None

    @property
    def ok(self) -> bool:
        """Nothing is wrong."""
        return not any(finding.verdict == WRONG for finding in self.findings)

    def caught_by(self) -> tuple[str, ...]:
        """The referees that found something wrong."""
        wrong = {finding.referee for finding in self.findings if finding.verdict == WRONG}
        return tuple(name for name in REFEREES if name in wrong)

    def table(self) -> str:
        """A row per derivation and variable; each referee's worst verdict over the shapes."""
        rows = [("derivation", "variable", *REFEREES)]
        for (derivation, variable), worst in self._worst().items():
            cells = (str(worst[name]) if name in worst else "-" for name in REFEREES)
            rows.append((derivation, variable, *cells))
        widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
        rows.insert(1, tuple("-" * width for width in widths))
        lines = ["  ".join(map(str.ljust, row, widths)).rstrip() for row in rows]
        return "\n".join([*lines, "", *self._summary()])

    def as_dict(self) -> dict[str, Any]:
        """Everything, ready for JSON: a difference without a number is None."""
        findings = [asdict(finding) for finding in self.findings]
        for finding in findings:
            if math.isinf(finding["largest_difference"]):
                finding["largest_difference"] = None
        caught_by = list(self.caught_by())
        return dict(ok=self.ok, mistake=self.mistake, caught_by=caught_by, findings=findings)

    def _worst(self) -> dict[tuple[str, str], dict[str, Finding]]:
        worst: dict[tuple[str, str], dict[str, Finding]] = {}
        for finding in self.findings:
            row = worst.setdefault((finding.derivation, finding.variable), {})
            row[finding.referee] = max(row.get(finding.referee, finding), finding, key=_badness)
        return worst

    def _summary(self) -> Iterator[str]:
        notes = (f"{f.derivation}, {f.variable}: {f.note}" for f in self.findings if f.note)
        yield from dict.fromkeys(notes)
        if self.mistake:
            yield f"Planted mistake: {self.mistake}. {find_mistake(self.mistake).explanation}"
        if self.ok:
            yield f"All {len(self.findings)} findings are exact or approximate: nothing is wrong."
        else:
            yield f"WRONG. Caught by: {', '.join(self.caught_by())}."


def _badness(finding: Finding) -> tuple[int, float]:
    return VERDICTS.index(finding.verdict), finding.relative_difference


def check_all(mistake: str | None = None, *, seed: int = 0) -> Report:
    """Check the whole catalogue, with one seeded mistake planted in it if a name is given.

    Raises:
        ValueError: no mistake has that name; the message lists those that exist.
    """
    derivations = {derivation.key: derivation for derivation in CATALOGUE}
    if mistake is not None:
        planted = find_mistake(mistake).applied()
        derivations[planted.key] = planted
    return Report(tuple(f for d in derivations.values() for f in check(d, seed=seed)), mistake)
