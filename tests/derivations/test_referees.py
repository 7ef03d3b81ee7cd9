"""The referees accept what is right, and each one alone can refuse what is wrong."""

import json
import math
from dataclasses import replace

import pytest
import torch

from lora_lab.derivations import lora
from lora_lab.derivations.catalogue import CATALOGUE, LayerShape, find
from lora_lab.derivations.mistakes import MISTAKES, find_mistake
from lora_lab.derivations.referees import (
    EXACT,
    REFEREES,
    STEPS,
    VALUE,
    WRONG,
    Report,
    check,
    check_all,
    difference_errors,
    prepare,
)

ALL = tuple(REFEREES)
LOSSES = [d.key for d in CATALOGUE if d.variables == ("z",)]
LAYERS = [d.key for d in CATALOGUE if d.key not in LOSSES]
SMALL = [LayerShape((2,), 3, 2, 2)]
every_derivation = pytest.mark.parametrize("derivation", CATALOGUE, ids=lambda d: d.key)


@pytest.fixture(scope="module")
def report():
    return check_all()


def with_gradients(key, change):
    """The derivation ``key`` with ``change`` applied to the dict of its gradients."""
    right = find(key)
    return replace(right, gradients=lambda g, **inputs: change(right.gradients(g, **inputs)))


def wrong_variables(findings):
    return {finding.variable for finding in findings if finding.verdict == WRONG}


# What is right is accepted.


def test_every_derivation_is_accepted_by_all_three(report):
    assert report.ok
    assert report.caught_by() == ()
    judged = {(f.derivation, f.shape, f.variable, f.referee) for f in report.findings}
    for derivation in CATALOGUE:
        for shape in map(str, derivation.shapes):
            assert (derivation.name, shape, VALUE, "symbolic") in judged
            for variable in derivation.variables:
                for referee in ALL:
                    assert (derivation.name, shape, variable, referee) in judged


def test_autograd_and_sympy_agree_to_the_last_bits(report):
    verdicts = {f.verdict for f in report.findings if f.referee != "central differences"}
    assert verdicts == {EXACT}


@every_derivation
@pytest.mark.parametrize("seed", [1, 2])
def test_the_verdict_does_not_hang_on_the_seed(derivation, seed):
    assert not wrong_variables(check(derivation, shapes=derivation.shapes[-1:], seed=seed))


def test_keys_are_unique():
    assert len({d.key for d in CATALOGUE}) == len({d.name for d in CATALOGUE}) == len(CATALOGUE)
    assert len({m.name for m in MISTAKES}) == len(MISTAKES)


# What is wrong is refused, by each referee on its own.


@every_derivation
@pytest.mark.parametrize("referee", ALL)
def test_each_referee_alone_notices_one_part_in_a_thousand(derivation, referee):
    scaled = with_gradients(
        derivation.key, lambda d: {name: gradient * (1 + 1e-3) for name, gradient in d.items()}
    )
    findings = check(scaled, shapes=derivation.shapes[-1:], referees=[referee])
    assert wrong_variables(findings) == set(derivation.variables)


@pytest.mark.parametrize(
    ("name", "referees", "variables"),
    [
        ("missing-scaling", ALL, {"x", "A", "B"}),
        ("alpha-not-alpha-over-r", ("symbolic",), {"x", "A", "B", VALUE}),
        ("transposed-A", ALL, {"A"}),
        ("forgotten-mask", ALL, {"x", "A", "B"}),
        ("article-product-rule", ALL, {"U", "x"}),
        ("missing-sigmoid-derivative", ALL, {"z"}),
    ],
)
def test_each_mistake_is_caught_by_exactly_these_referees(name, referees, variables):
    findings = check(find_mistake(name).applied())
    assert Report(tuple(findings), name).caught_by() == referees
    for referee in referees:
        mine = wrong_variables(f for f in findings if f.referee == referee)
        assert mine == variables


def test_every_mistake_has_its_case_above():
    cases = test_each_mistake_is_caught_by_exactly_these_referees.pytestmark[0].args[1]
    assert {name for name, *_ in cases} == {mistake.name for mistake in MISTAKES}


@pytest.mark.parametrize("name", ["alpha-not-alpha-over-r", "transposed-A"])
def test_rank_one_hides_some_mistakes(name):
    rank_one = [LayerShape((4,), 5, 3, 1)]
    assert not wrong_variables(check(find_mistake(name).applied(), shapes=rank_one))


def test_only_sympy_sees_a_forward_that_departs_from_the_paper():
    """Forward and backward both without the scaling: they fit each other."""
    consistent = replace(
        find("lora"),
        forward=lambda scaling, **inputs: lora.forward(**inputs, scaling=1.0),
        gradients=find_mistake("missing-scaling").gradients,
    )
    assert Report(tuple(check(consistent, shapes=SMALL))).caught_by() == ("symbolic",)


@pytest.mark.parametrize(
    ("change", "note"),
    [
        (lambda d: {"x": d["x"], "B": d["B"]}, "no gradient was given"),
        (lambda d: d | {"A": d["A"].T}, "shape (3, 2) instead of (2, 3)"),
        (lambda d: d | {"A": d["A"] * math.nan}, "not every entry is finite"),
        (lambda d: d | {"A": d["A"] / 0}, "not every entry is finite"),
    ],
)
def test_a_missing_misshapen_or_infinite_gradient_is_wrong_with_a_note(change, note):
    findings = check(with_gradients("lora", change), shapes=SMALL)
    assert wrong_variables(findings) == {"A"}
    wrong = [finding for finding in findings if finding.verdict == WRONG]
    assert {finding.referee for finding in wrong} == set(ALL)
    assert all(finding.note.startswith(note) for finding in wrong)
    assert all(math.isinf(finding.largest_difference) for finding in wrong)


def test_gradients_that_raise_for_their_shapes_are_wrong_with_torchs_words():
    broken = replace(find("lora"), gradients=lambda g, A, **_: {"A": A @ g})
    findings = check(broken, shapes=SMALL)
    assert wrong_variables(findings) == {"x", "A", "B"}
    assert "the gradients raised" in Report(tuple(findings)).table()


def test_gradients_cannot_win_by_changing_g_in_place():
    right = find("lora")
    doubled = replace(right, gradients=lambda g, **inputs: right.gradients(g.mul_(2), **inputs))
    assert wrong_variables(check(doubled, shapes=SMALL)) == {"x", "A", "B"}


def test_a_vanishing_gradient_is_judged_by_absolute_size():
    """B = 0 makes dA = 0: rounding must not count as an infinite relative error."""
    right = find("lora")

    def at_the_start(shape, seed):
        inputs = right.inputs(shape, seed)
        return inputs | {"B": torch.zeros_like(inputs["B"])}

    rounded = with_gradients("lora", lambda d: d | {"A": d["A"] + 1e-20})
    assert not wrong_variables(check(replace(rounded, inputs=at_the_start)))
    # An error that no rounding explains is still one.
    wrong = with_gradients("lora", lambda d: d | {"A": d["A"] + 1e-6})
    assert wrong_variables(check(replace(wrong, inputs=at_the_start))) == {"A"}


def test_a_variable_the_forward_ignores_has_gradient_zero():
    ignoring = replace(find("lora"), forward=lambda x, W, A, B, scaling: x @ W.T)
    findings = check(ignoring, shapes=SMALL, referees=["autograd", "central differences"])
    assert wrong_variables(findings) == {"x", "A", "B"}

    admitting = with_gradients("lora", lambda d: {k: torch.zeros_like(t) for k, t in d.items()})
    admitting = replace(admitting, forward=ignoring.forward)
    findings = check(admitting, shapes=SMALL, referees=["autograd", "central differences"])
    assert wrong_variables(findings) == {"x"}


# Central differences, step by step.


@pytest.mark.parametrize("key", LOSSES)
def test_the_error_of_central_differences_is_a_u(key):
    curve = difference_errors(key, "z")
    assert curve.steps == STEPS
    assert curve.best_step not in (STEPS[0], STEPS[-1])
    best = min(curve.errors)
    assert curve.errors[0] > 1000 * best
    assert curve.errors[-1] > 1000 * best


@pytest.mark.parametrize("key", LOSSES)
def test_on_the_left_branch_the_error_falls_with_the_square_of_the_step(key):
    coarse, fine, *_ = difference_errors(key, "z").errors
    assert coarse / fine == pytest.approx(100, rel=0.05)


@pytest.mark.parametrize("key", LAYERS)
def test_a_layer_is_linear_in_each_entry_so_only_rounding_is_left(key):
    for variable in find(key).variables:
        errors = difference_errors(key, variable).errors
        assert errors[0] < 1e-3 * errors[-1]
        assert errors[0] < 1e-10


def test_the_curve_can_be_had_at_any_shape():
    small, large = (
        difference_errors("lora", "A", shape=LayerShape((n,), n, n, 1)).errors for n in (2, 5)
    )
    assert small != large


# One trial, asked and judged apart.


@pytest.mark.parametrize("seed", [0, 3])
def test_a_trial_judged_piece_by_piece_says_what_check_says(seed):
    trial = prepare("lora-dropout", SMALL[0], seed)
    pieces = [f for referee in ALL for f in trial.judge(referee, trial.ask(referee))]
    assert pieces == check("lora-dropout", shapes=SMALL, seed=seed)


def test_a_trial_is_at_the_derivations_last_shape_unless_told_otherwise():
    assert prepare("lora").shape == find("lora").shapes[-1]
    assert prepare("lora", SMALL[0]).shape == SMALL[0]


@pytest.mark.parametrize("mistake", MISTAKES, ids=lambda m: m.name)
def test_sympys_answer_does_not_hang_on_the_mistake(mistake):
    right = find(mistake.derivation)
    shape = right.shapes[0]
    told, expected = (prepare(d, shape).ask("symbolic") for d in (mistake.applied(), right))
    assert told.keys() == expected.keys()
    assert all(torch.equal(told[name], expected[name]) for name in told)


def test_the_entries_that_are_off_are_those_that_were_moved():
    def nudge(d):
        A = d["A"].clone()
        A[1, 2] += 1e-3
        return d | {"A": A}

    trial = prepare(with_gradients("lora", nudge), SMALL[0])
    for referee in ALL:
        answers = trial.ask(referee)
        found = {name: trial.entries(referee, name, answers[name]) for name in ("x", "A", "B")}
        assert found["A"].off.nonzero().tolist() == [[1, 2]]
        assert not found["x"].off.any() and not found["B"].off.any()
        torch.testing.assert_close(
            found["A"].estimate, prepare("lora", SMALL[0]).claims["A"], rtol=1e-6, atol=1e-6
        )


def test_a_trials_curve_is_the_one_that_can_be_had_by_name():
    trial = prepare("mean-bce")
    estimates = trial.ask("central differences")["z"]
    assert trial.errors("z", estimates) == difference_errors("mean-bce", "z")


# Names.


@pytest.mark.parametrize(
    ("call", "hint"),
    [
        (lambda: check("lora-droput"), "Did you mean 'lora-dropout'?"),
        (lambda: check("lora", referees=["autograds"]), "Did you mean 'autograd'?"),
        (lambda: check_all("transposed-a"), "Did you mean 'transposed-A'?"),
        (lambda: find_mistake("?"), "Choose one of: missing-scaling, alpha-not-alpha-over-r"),
        (lambda: difference_errors("lora", "C"), "Choose one of: x, A, B."),
    ],
)
def test_an_unknown_name_is_answered_with_those_that_exist(call, hint):
    with pytest.raises(ValueError) as error:
        call()
    assert hint in str(error.value)


# The report.


def test_the_table_has_a_row_per_derivation_and_variable(report):
    header, rule, *rest = report.table().splitlines()
    rows = rest[: rest.index("")]
    assert header.split("  ")[0] == "derivation"
    assert all(name in header for name in ALL)
    assert len(rows) == sum(len(d.variables) + 1 for d in CATALOGUE)
    assert all(len(row) <= len(rule) for row in rows)
    assert "nothing is wrong" in report.table()


def test_the_table_shows_the_worst_shape():
    findings = check("lora", shapes=SMALL, referees=["autograd"])
    bad = replace(findings[0], verdict=WRONG, largest_difference=0.25)
    for order in ([bad, *findings], [*findings, bad]):
        assert "wrong 2.5e-01" in Report(tuple(order)).table()


def test_a_planted_mistake_ends_wrong_and_says_so():
    report = check_all(mistake="alpha-not-alpha-over-r")
    assert not report.ok
    assert report.mistake == "alpha-not-alpha-over-r"
    assert {f.derivation for f in report.findings if f.verdict == WRONG} == {"lora"}
    assert find_mistake(report.mistake).explanation in report.table()
    assert report.table().endswith("WRONG. Caught by: symbolic.")


def test_the_dict_is_strict_json(report):
    told = json.loads(json.dumps(report.as_dict(), allow_nan=False))
    assert told["ok"] is True and told["mistake"] is None and told["caught_by"] == []
    assert len(told["findings"]) == len(report.findings)

    misshapen = with_gradients("lora", lambda d: d | {"A": d["A"].T})
    wrong = Report(tuple(check(misshapen, shapes=SMALL)))
    told = json.loads(json.dumps(wrong.as_dict(), allow_nan=False))
    assert told["caught_by"] == list(ALL)
    assert {f["largest_difference"] for f in told["findings"] if f["verdict"] == WRONG} == {None}
