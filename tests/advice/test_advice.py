"""Advice from measured grids: right where the answer is known, and nothing beyond the measured."""

from __future__ import annotations

import math
import shlex
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lora_lab.adapt import LoraConfig
from lora_lab.advice import advising
from lora_lab.advice.advising import Advice
from lora_lab.advice.candidates import PRESETS, candidates, measured_grids
from lora_lab.advice.machine_speed import Speed
from lora_lab.advice.question import AdviceError, Question
from lora_lab.cli.main import build_parser
from lora_lab.cli.sweep import _configs
from lora_lab.results.stored_grid import StoredGrid, grid_of
from lora_lab.runs import DataConfig, RunConfig

from ..made_runs import answers, lora, make_run

SEEDS = (0, 1, 2)
THERE = Speed()  # as fast as the machine that measured


def advise(question: Question, grids: dict[str, StoredGrid], speed: Speed) -> Advice:
    return advising.advise(question, candidates(question, grids), speed)


def config(rank: int = 8, layers: str = "all", size: int = 1000, **changes) -> RunConfig:
    made = lora(rank=rank, layers=layers, **changes)
    return replace(made, data=replace(made.data, train_size=size))


class Maker:
    """Collects made-up runs, three seeds for each setting."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.runs = folder, []

    def add(
        self,
        made: RunConfig,
        test: float,
        validation: float | None = None,
        *,
        seconds: float = 30.0,
        trainable: int | None = None,
        seeds: tuple[int, ...] = SEEDS,
        wobble: float = 0.0,
        spread: float = 0.0,
        **changes,
    ) -> Maker:
        """``spread`` parts the seeds' validation accuracies, ``wobble`` those of the test."""
        for seed in seeds:
            off = seed - (len(seeds) - 1) / 2
            accuracy = (test if validation is None else validation) + off * spread
            self.runs.append(
                make_run(
                    self.folder / f"run-{len(self.runs):03}",
                    replace(made, train=replace(made.train, seed=seed)),
                    answers(test + off * wobble, 1000 * len(self.runs) + seed),
                    seconds=seconds,
                    trainable=trainable or 9000 * made.lora.rank,
                    validation={"accuracy": accuracy, "examples": 200},
                    **changes,
                )
            )
        return self

    def grid(self) -> dict[str, StoredGrid]:
        return {"made": grid_of(self.runs, "lora-lab sweep --made-up")}


@pytest.fixture
def maker(tmp_path: Path) -> Maker:
    return Maker(tmp_path)


@pytest.fixture(scope="module")
def ladder(tmp_path_factory) -> dict[str, StoredGrid]:
    """More layers and more ranks cost more and are better; another size is worse."""
    maker = Maker(tmp_path_factory.mktemp("ladder"))
    for layers, seconds, gain in (("top:1", 5.0, 0.0), ("top:2", 12.0, 0.06), ("all", 40.0, 0.12)):
        for rank, more in ((1, 0.0), (8, 0.05), (32, 0.1)):
            maker.add(config(rank, layers), 0.6 + gain + more, seconds=seconds)
    maker.add(config(8, "all", size=100), 0.6, seconds=4.0, train_examples=100)
    return maker.grid()


def short(advice) -> tuple[int, str]:
    return advice.advised.config.lora.rank, advice.advised.config.lora.layers


# ------------------------------------------------------------------ the right setting


def test_the_best_is_advised_where_it_is_clearly_the_best(ladder):
    advice = advise(Question(), ladder, THERE)
    assert short(advice) == (32, "all") and advice.advised is advice.best
    assert advice.difference is None and not advice.rivals
    assert (advice.settings, advice.worse) == (9, 8)
    assert advice.advised.test == pytest.approx(0.82, abs=0.02)
    assert advice.advised.interval.low < advice.advised.test < advice.advised.interval.high


def test_of_equals_the_cheapest_is_advised(maker):
    for layers, seconds in (("top:2", 10.0), ("all", 40.0)):
        for rank in (4, 32):
            maker.add(config(rank, layers), 0.84, 0.84 + rank / 1e4, seconds=seconds, spread=0.01)
    maker.add(config(1, "top:1"), 0.6, seconds=2.0)
    advice = advise(Question(), maker.grid(), THERE)
    assert short(advice) == (4, "top:2")
    assert advice.best.config.lora.rank == 32 and not advice.difference.measurable
    assert len(advice.rivals) == 2 and advice.worse == 1
    assert advice.advised not in [rival.setting for rival in advice.rivals]


def test_validation_chooses_and_the_test_does_not(maker):
    maker.add(config(8), 0.76, 0.9).add(config(16), 0.84, 0.7)
    advice = advise(Question(), maker.grid(), THERE)
    assert short(advice)[0] == 8
    [lucky] = advice.rivals
    assert lucky.setting.config.lora.rank == 16 and lucky.difference.value > 0


def test_a_cheap_setting_that_nobody_can_tell_from_the_best_must_also_come_close(maker):
    """Seeds that part widely make any difference unmeasurable: no reason to advise them."""
    maker.add(config(32), 0.84, 0.84).add(config(1), 0.75, 0.75, wobble=0.12, seconds=1.0)
    advice = advise(Question(), maker.grid(), THERE)
    assert not advice.rivals[0].difference.measurable, "or this test tests nothing"
    assert short(advice)[0] == 32


def test_rates_scales_and_scalings_are_settings_of_their_own(maker):
    fast = config(8)
    maker.add(fast, 0.7)
    maker.add(replace(fast, train=replace(fast.train, learning_rate=3e-3)), 0.85)
    maker.add(replace(fast, lora=replace(fast.lora, scaling="alpha/sqrt(r)")), 0.75)
    advice = advise(Question(), maker.grid(), THERE)
    assert advice.advised.config.train.learning_rate == 3e-3
    assert advice.advised.config.lora.scaling == "alpha/r" and advice.settings == 3


def test_other_methods_are_shown_beside_it_and_never_advised(maker):
    maker.add(config(8), 0.8)
    for method, test, seconds in (("full", 0.9, 90.0), ("head", 0.65, 1.0)):
        maker.add(config(8, method=method), test, seconds=seconds)
    advice = advise(Question(seconds=60), maker.grid(), THERE)
    assert advice.advised.method == "lora"
    full, head = advice.methods
    assert full.setting.method == "full" and full.difference.value > 0 > head.difference.value
    assert full.setting.seconds > 60, "whatever it costs"


def test_what_was_spoilt_on_purpose_is_never_advised(maker):
    honest = config(8)
    maker.add(honest, 0.7)
    for data in (replace(honest.data, noise="shuffled"), replace(honest.data, name="tweets")):
        maker.add(replace(honest, data=data), 0.95)
    maker.add(replace(honest, pretrained=False), 0.95)
    maker.add(replace(honest, lora=replace(honest.lora, train_update=False)), 0.95)
    maker.add(config(16), 0.95, seeds=(0, 1))
    maker.add(config(32), 0.95, sentences="another test set")
    advice = advise(Question(), maker.grid(), THERE)
    assert advice.settings == 1 and advice.advised.test < 0.8


def test_the_same_setting_in_two_grids_is_one(tmp_path):
    first, second = Maker(tmp_path / "a"), Maker(tmp_path / "b")
    first.add(config(8), 0.8).add(config(1), 0.7)
    second.add(config(8), 0.8, seeds=(1, 2, 3))
    grids = {"a": first.grid()["made"], "b": second.grid()["made"]}
    advice = advise(Question(), grids, THERE)
    assert advice.settings == 2 and advice.advised.seeds == 4
    assert set(advice.advised.grids) == {"a", "b"} == set(advice.origins)


# ------------------------------------------------------------------ sizes


@pytest.mark.parametrize("asked, near", [(100, 100), (250, 100), (400, 1000), (1000, 1000)])
def test_advice_rests_on_the_nearest_measured_size_and_names_it(ladder, asked, near):
    advice = advise(Question(train_size=asked), ladder, THERE)
    assert advice.sizes == (near,) and advice.measured_sizes == (100, 1000)
    assert advice.advised.train == near
    assert advice.advised.config.data.train_size == asked, "and trains what was asked for"


def test_sizes_that_hardly_differ_count_as_one(maker):
    maker.add(config(8, size=1024), 0.8, train_examples=1024).add(config(16), 0.7)
    advice = advise(Question(train_size=1024), maker.grid(), THERE)
    assert advice.settings == 2 and advice.advised.train == 1024


# ------------------------------------------------------------------ budgets


def test_time_grows_with_the_sentences_and_with_the_machine(ladder):
    one = advise(Question(), ladder, THERE).advised
    assert one.seconds == pytest.approx(40), "the very runs that were measured"
    slow = advise(Question(), ladder, Speed(2.5, "trial")).advised
    assert slow.seconds == pytest.approx(100)
    assert advise(Question(train_size=700), ladder, THERE).advised.seconds < 40


@settings(max_examples=20, deadline=None)
@given(budget=st.floats(5, 200), more=st.floats(0, 100), parameters=st.integers(9000, 400_000))
def test_no_budget_is_exceeded_and_more_time_never_makes_it_worse(ladder, budget, more, parameters):
    advice = advise(Question(seconds=budget, parameters=parameters), ladder, THERE)
    for one in (advice.advised, advice.best, *(rival.setting for rival in advice.rivals)):
        assert one.seconds <= budget and one.trainable <= parameters
    assert advice.advised.validation >= advice.best.validation - advice.best.error
    longer = advise(Question(seconds=budget + more, parameters=parameters), ladder, THERE)
    assert longer.best.validation >= advice.best.validation
    assert longer.advised.validation >= advice.best.validation - longer.best.error


def test_the_best_is_what_a_plain_search_finds(ladder):
    rows = ladder["made"].runs
    rows = rows[(rows["train"] == 1000) & (rows["seconds"] <= 12)]
    found = rows.groupby(["rank", "layers"])["validation"].mean().idxmax()
    best = advise(Question(seconds=12.5), ladder, THERE).best.config.lora
    assert (best.rank, best.layers) == found


@pytest.mark.parametrize("kind", ["time", "parameters"])
def test_where_nothing_fits_the_smallest_budget_that_would_is_said_and_is_true(ladder, kind):
    name = {"time": "seconds", "parameters": "parameters"}[kind]
    with pytest.raises(AdviceError) as refused:
        advise(Question(**{name: 1}), ladder, THERE)
    assert refused.value.kind == kind
    needed = refused.value.values["needed"]
    assert f"{needed:,}" in str(refused.value)
    assert advise(Question(**{name: needed}), ladder, THERE)
    with pytest.raises(AdviceError):
        advise(Question(**{name: needed - 1}), ladder, THERE)
    if kind == "time":
        assert advise(Question(seconds=60 * refused.value.values["minutes"]), ladder, THERE)


# ------------------------------------------------------------------ refusals


@pytest.mark.parametrize(
    "question, kind, said",
    [
        (Question(model="google-bert/bert-base-cased"), "model", "only minilm"),
        (Question(data="tweets"), "data", "only movie-reviews"),
        (Question(train_size=99), "too_few", "99.*100"),
        (Question(train_size=1001), "too_many", "1,001.*1,000"),
    ],
)
def test_outside_of_what_was_measured_it_refuses_and_says_how_to_measure(
    ladder, question, kind, said
):
    with pytest.raises(AdviceError, match=said) as refused:
        advise(question, ladder, THERE)
    assert refused.value.kind == kind
    sweep, again = refused.value.commands
    assert sweep in str(refused.value) and again in str(refused.value)
    measured = parsed(sweep)
    configs = _configs(measured)
    assert {c.model for c in configs.values()} == {question.model}
    assert {c.data.train_size for c in configs.values()} == {question.train_size}
    assert len({c.train.seed for c in configs.values()}) >= 3
    asked = parsed(again)
    assert asked.grid == measured.export and asked.model == question.model
    assert asked.train_size == question.train_size


def test_a_model_named_to_deceive_stays_one_word():
    name = "x; rm -rf ~ 'y'"
    commands = Question(model=name).refusal("model", given=name, known=["minilm"]).commands
    assert all(parsed(command).model == name for command in commands)


@pytest.mark.parametrize(
    "changes",
    [
        {"train_size": 0}, {"train_size": 2.5}, {"train_size": True}, {"seconds": 0},
        {"seconds": math.nan}, {"seconds": math.inf}, {"parameters": 0}, {"parameters": -1},
    ],
)  # fmt: skip
def test_numbers_that_are_none_are_refused(changes):
    with pytest.raises(AdviceError, match=next(iter(changes))):
        Question(**changes)


def test_without_a_grid_or_enough_seeds_it_says_what_to_do(maker):
    with pytest.raises(AdviceError, match="--preset classroom"):
        advise(Question(), {}, THERE)
    maker.add(config(8), 0.8, seeds=(0, 1))
    with pytest.raises(AdviceError, match="--seeds 0,1,2"):
        advise(Question(), maker.grid(), THERE)


def parsed(command: str):
    return build_parser().parse_args(shlex.split(command)[1:])


# ------------------------------------------------------------------ what ships


@pytest.fixture(scope="module")
def stored() -> dict[str, StoredGrid]:
    return measured_grids()


@pytest.mark.parametrize("seconds", [15, 60, 600])
def test_the_shipped_grids_give_advice(stored, seconds):
    advice = advise(Question(seconds=seconds), stored, THERE)
    assert advice.advised.seconds <= seconds and advice.advised.seeds >= 3
    assert advice.advised.test == pytest.approx(np.mean(advice.advised.right))
    assert isinstance(advice.advised.config.lora, LoraConfig)
    assert advice.advised.config.data == DataConfig(train_size=1000)
    assert set(advice.advised.grids) <= set(advice.origins) <= set(PRESETS)
