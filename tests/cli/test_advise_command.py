"""``lora-lab advise``: a short answer, the command that follows it, and refusals in one breath."""

from __future__ import annotations

import json
import re
import shlex
from dataclasses import replace

import pytest

from lora_lab.advice import candidates, machine_speed
from lora_lab.advice.machine_speed import Speed
from lora_lab.cli.main import build_parser, main
from lora_lab.cli.settings import run_config
from lora_lab.results.stored_grid import write_grid
from lora_lab.runs import DataConfig

from ..made_runs import answers, lora, make_run


@pytest.fixture
def run(capsys, tmp_path, monkeypatch):
    """Calls the command in a folder without runs, where a trial finds half the speed."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(machine_speed, "try_out", lambda *_: Speed(2.0, "trial"))

    def call(*words: str) -> tuple[int, str, str]:
        status = main(["advise", *words])
        return status, *capsys.readouterr()

    return call


@pytest.fixture
def grid(tmp_path) -> str:
    """Rank 8 does as well as rank 32 and has fewer parameters; rank 1 does not."""
    runs = [
        make_run(
            tmp_path / "made" / f"{rank}-{seed}",
            lora(rank=rank, seed=seed),
            answers(accuracy, 10 * rank + seed),
            trainable=9000 * rank,
            validation={"accuracy": accuracy + rank / 1e5 + seed / 100, "examples": 200},
        )
        for rank, accuracy in ((1, 0.6), (8, 0.84), (32, 0.84))
        for seed in (0, 1, 2)
    ]
    for seed in (0, 1, 2):
        config = replace(lora(seed=seed), data=DataConfig(train_size=100))
        folder = tmp_path / "made" / f"few-{seed}"
        runs.append(make_run(folder, config, answers(0.6), train_examples=100, seconds=4.0))
    write_grid(runs, tmp_path / "my grid", "lora-lab sweep --of mine")
    return str(tmp_path / "my grid")


def test_the_answer_says_what_why_how_sure_and_on_what_ground(run, grid):
    status, printed, _ = run("--train-size", "1000", "--minutes", "5", "--grid", grid)
    out = " ".join(printed.split())
    assert status == 0
    assert "Begin with LoRA, rank 8, alpha 16, q,v in all layers, rate 0.001, 3 epochs." in out
    assert "the cheapest that comes close to the best on validation of 3 settings" in out
    assert "1 of the other 2 are measurably worse than the best, 1 cannot be told apart" in out
    assert "lora-lab sweep --of mine" in out and "torch 2.13.0" in out
    assert "about 60 s of training here" in out and "a short trial on this machine, 2 times" in out
    assert len(printed.splitlines()) < 25 and max(map(len, printed.splitlines())) <= 130


def test_the_command_trains_what_was_advised(run, grid):
    _, out, _ = run("--train-size", "900", "--minutes", "5", "--grid", grid, "--json")
    found = json.loads(out)
    program, *words = shlex.split(found["command"])
    config = run_config(build_parser().parse_args(words))
    assert program == "lora-lab" and config.data.train_size == 900
    advised = found["advised"]["config"]
    told = json.loads(json.dumps(config.as_dict()))
    assert {k: told[k] for k in ("method", "model", "data", "lora", "train")} == {
        k: advised[k] for k in ("method", "model", "data", "lora", "train")
    }
    _, out, _ = run("--train-size", "900", "--minutes", "5", "--grid", grid)
    assert found["command"] in re.sub(r"\s+", " ", out)
    assert "900 sentences were not measured; the nearest is 1,000." in out


def test_numbers_in_json_are_those_in_the_text(run, grid):
    words = ("--train-size", "1000", "--minutes", "5", "--grid", grid)
    found, text = json.loads(run(*words, "--json")[1]), run(*words)[1]
    advised = found["advised"]
    assert f"{advised['test']:.1%}" in text and f"{advised['trainable']:,}" in text
    assert found["settings"] == 3 and found["worse"] == 1 and found["speed"]["basis"] == "trial"
    assert found["best"]["config"]["lora"]["rank"] == 32 and not found["rivals"]


def test_what_was_not_measured_is_refused_before_anything_is_timed(run, grid, monkeypatch):
    def never(*_):
        raise AssertionError("a trial for a question that is refused")

    monkeypatch.setattr(machine_speed, "try_out", never)
    for words in (("--model", "x/y"), ("--data", "tweets")):
        status, out, err = run("--train-size", "1000", "--minutes", "5", "--grid", grid, *words)
        assert status == 2 and not out and "was not measured" in err and "lora-lab sweep" in err
    assert run("--train-size", "10", "--minutes", "5", "--grid", grid)[0] == 2
    assert run("--train-size", "1000", "--minutes", "0", "--grid", grid)[0] == 2
    assert "no stored grid" in run("--train-size", "9", "--minutes", "1", "--grid", "nowhere")[2]


def test_a_budget_too_small_says_which_would_do(run, grid):
    status, _, err = run("--train-size", "1000", "--minutes", "0.5", "--grid", grid)
    assert status == 2
    minutes = re.search(r"--minutes ([\d.]+)", err)[1]
    assert run("--train-size", "1000", "--minutes", minutes, "--grid", grid)[0] == 0


def test_without_a_grid_of_ones_own_those_that_ship_are_asked(run, monkeypatch):
    asked = []
    monkeypatch.setattr(candidates, "measured_grids", lambda: asked.append(1) or {})
    status, _, err = run("--train-size", "1000", "--minutes", "5")
    assert status == 2 and asked and "lora-lab sweep --preset classroom" in err
