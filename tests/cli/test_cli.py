"""Every command from its words to its exit status; mistakes get one line and no traceback."""

from __future__ import annotations

import io
import json
import shlex
import subprocess
import sys

import pytest

from lora_lab import presets
from lora_lab.cli.main import main
from lora_lab.inside.stored_updates import read_stored_updates
from lora_lab.results.stored_grid import read_grid
from lora_lab.runs import DataConfig, RunConfig, read_run
from lora_lab.sweeps import grid
from lora_lab.training import TrainConfig


@pytest.fixture
def run(capsys):
    def call(*words: str) -> tuple[int, str, str]:
        status = main(list(words))
        captured = capsys.readouterr()
        return status, captured.out, captured.err

    return call


@pytest.fixture(scope="module")
def trained(tiny_folder, reviews_file, tmp_path_factory):
    folder = tmp_path_factory.mktemp("cli") / "run"
    words = ["--model", tiny_folder, "--data", reviews_file, "--folder", folder]
    words += ["--rank", 2, "--epochs", 2, "--batch-size", 16, "--learning-rate", "5e-3"]
    assert main(["train", *map(str, words)]) == 0
    return folder


def test_count_gives_the_papers_number_for_gpt3(run):
    status, out, _ = run(
        "count", "--model", "gpt3-175b", "--rank", "8", "--targets", "q,v", "--json"
    )
    assert status == 0
    assert 37_748_736 in json.loads(out).values()


def test_count_reads_a_configuration_file(run, tiny_folder):
    status, out, _ = run("count", "--model", str(tiny_folder), "--rank", "2", "--targets", "q")
    assert status == 0
    assert f"{2 * 2 * (32 + 32):,}" in out, "two layers, A (2, 32) and B (32, 2)"


def test_a_reader_that_has_seen_enough_is_no_error():
    """As in ``lora-lab check | head -1``."""
    words = [sys.executable, "-m", "lora_lab", "check"]
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    with subprocess.Popen(words, text=True, **pipes) as command:
        command.stdout.close()
        assert command.stderr.read() == ""


def test_check_accepts_the_derivations_and_refuses_a_mistake(run):
    status, out, _ = run("check")
    assert status == 0 and "exact" in out and "wrong " not in out
    status, out, _ = run("check", "--mistake", "missing-scaling")
    assert status == 1 and "wrong" in out
    status, out, _ = run("check", "--mistake", "list")
    assert status == 0 and "article-product-rule" in out
    assert run("check", "--mistake", "nonsense")[0] == 2


def test_train_leaves_a_run_that_evaluate_and_predict_can_use(run, trained, reviews_file):
    status, out, _ = run(
        "evaluate", str(trained), "--data", str(reviews_file), "--before", "--json"
    )
    scores = json.loads(out)
    stored = json.loads((trained / "result.json").read_text())["test"]
    assert status == 0
    assert scores["after"]["confusion"] == stored["confusion"]
    assert scores["before"]["loss"] != scores["after"]["loss"]
    status, out, _ = run("evaluate", str(trained))
    assert status == 0 and f"{stored['accuracy']:.3f}" in out


@pytest.mark.parametrize("place", ["", "adapter"])
def test_predict_reads_words_or_lines(run, trained, monkeypatch, place):
    folder = str(trained / place)
    status, out, _ = run("predict", folder, "the plot was superb", "--json")
    answer = json.loads(out)
    assert status == 0
    assert answer["label"] == max(answer["probabilities"], key=answer["probabilities"].get)
    assert sum(answer["probabilities"].values()) == pytest.approx(1, abs=1e-5)
    monkeypatch.setattr("sys.stdin", io.StringIO("the plot was superb\n\nthe cast was dull\n"))
    status, out, _ = run("predict", folder)
    assert status == 0 and len(out.splitlines()) == 2


@pytest.mark.parametrize("place", ["", "adapter"])
def test_predict_answers_a_file(run, trained, tmp_path, place):
    source, out = tmp_path / "in.csv", tmp_path / "out.jsonl"
    source.write_text("day,said\n1,the plot was superb\n2,\n3,the cast was dull\n")
    words = ["predict", str(trained / place), "--file", str(source), "--output", str(out)]
    status, _, err = run(*words)
    assert status == 2 and "there are: day, said" in err and not out.exists()
    status, text, _ = run(*words, "--text-column", "said")
    assert status == 0 and "3 rows" in text and "1 of them have no text" in text
    rows = [json.loads(line) for line in out.read_text().splitlines()]
    _, single, _ = run("predict", str(trained / place), "the cast was dull", "--json")
    assert [row["day"] for row in rows] == ["1", "2", "3"] and rows[1]["predicted_label"] is None
    assert rows[2]["predicted_label"] == json.loads(single)["label"]
    assert rows[2]["probability_negative"] == pytest.approx(
        json.loads(single)["probabilities"]["negative"], abs=2e-6
    )
    status, _, err = run(*words, "--text-column", "said")
    assert status == 2 and "--force" in err
    status, text, _ = run(*words, "--text-column", "said", "--force", "--json")
    assert status == 0 and json.loads(text)["empty"] == 1


def test_watch_raises_an_alarm_on_the_day_that_is_different(run, trained, reviews_file, tmp_path):
    """With one sentence that the model calls negative and one that it does not."""
    out = tmp_path / "answers.jsonl"
    run("predict", str(trained), "--file", str(reviews_file), "--output", str(out))
    answers = [json.loads(line) for line in out.read_text().splitlines()]
    said = {answer["predicted_label"]: answer["text"] for answer in answers}
    good, bad = said["positive"], said["negative"]
    lines = ["date,text"]
    for day in range(1, 29):
        texts = [bad] * 25 if day == 27 else [bad, good, good, good, good] * 5
        lines += [f"2024-02-{day:02},{text}" for text in texts]
    (tmp_path / "in.csv").write_text("\n".join(lines))
    words = ["watch", str(trained), "--file", str(tmp_path / "in.csv"), "--reference-days", "20"]
    status, out, _ = run(*words, "--json")
    surges = {day["date"] for day in json.loads(out)["days"] if day["surge"]}
    assert status == 0 and surges == {"2024-02-27"}
    status, out, _ = run(*words)
    assert status == 0 and [line for line in out.splitlines() if "SURGE" in line][0].startswith(
        "2024-02-27"
    )
    status, _, err = run(*words[:-1], "28")
    assert status == 2 and "28 days" in err


def test_train_resumes_and_never_overwrites(run, trained, reviews_file, tiny_folder):
    words = ("train", "--folder", str(trained), "--data", str(reviews_file))
    status, _, err = run(*words, "--model", str(tiny_folder))
    assert status == 2 and "--resume" in err
    status, out, _ = run("train", "--folder", str(trained), "--resume", "--json")
    assert status == 0
    assert (
        json.loads(out)["trainable"]
        == json.loads((trained / "result.json").read_text())["trainable"]
    )


def test_train_takes_all_settings_from_a_file(run, trained, tmp_path):
    values = json.loads((trained / "config.json").read_text())
    del values["made_with"]
    (tmp_path / "wanted.json").write_text(json.dumps(values))
    words = ("--config", str(tmp_path / "wanted.json"), "--folder", str(tmp_path / "run"))
    status, out, _ = run("train", *words, "--json")
    assert status == 0
    stored = json.loads((trained / "result.json").read_text())
    assert json.loads(out)["test"] == stored["test"], "the same settings, the same result"


@pytest.mark.parametrize(
    "words, says",
    [
        (["count", "--model", "bert-bsae"], "bert-base"),
        (["count", "--targets", "quary"], "query"),
        (["count", "--layers", "top:9"], "the model has 6"),
        (["count", "--rank", "0"], "rank"),
        (["train", "--data", "no-such-file.csv"], "no-such-file.csv"),
        (["train", "--model", "./no-such-folder"], "no-such-folder"),
        (["train", "--learning-rate", "-1"], "learning_rate"),
        (["train", "--resume"], "--folder"),
        (["train", "--config", "no-such.json"], "no-such.json"),
        (["predict", "no-such-run", "text"], "no-such-run"),
        (["predict", "no-such-run", "--file", "in.csv"], "no-such-run"),
        (["predict", "no-such-run", "text", "--file", "in.csv"], "not both"),
        (["watch", "no-such-run", "--file", "in.csv"], "no-such-run"),
        (["evaluate", "no-such-run"], "no-such-run"),
        (["demo", "--methods", "head,magic"], "magic"),
        (["sweep", "--ranks", "1,x"], "--ranks is '1,x'"),
        (["sweep", "--ranks", "2,2"], "given twice"),
        (["sweep", "--preset", "school"], "'school'"),
        (["sweep", "--preset", "classroom", "--ranks", "2"], "--preset decides every setting"),
        (["sweep", "--preset", "classroom", "--epochs", "1"], "--preset decides every setting"),
        (["sweep", "--preset", "classroom", "--search", "bayes"], "--preset decides every setting"),
        (["sweep", "--size", "quick"], "--preset"),
        (["sweep", "--trials", "3"], "--search"),
        (["sweep", "--rates", "1e-4..1e-2"], "for a search"),
        (["sweep", "--rates", "fast"], "--rates is 'fast'"),
        (["sweep", "--methods", "head", "--ranks", "1"], "rank decides nothing for head"),
        (["sweep", "--methods", "head", "--learning-rate", "0.1"], "--rates"),
        (["sweep", "--train-sizes", "all,few"], "--train-sizes is 'few'"),
        (["sweep", "--at-once", "0"], "--at-once is 0"),
        (["sweep", "--search", "random", "--ranks", "1,2", "--seeds", "0,1"], "at least 3"),
        (["sweep", "--search", "random", "--methods", "lora,head"], "no choice of methods"),
        (["train", "--noise-share", "0.5"], "noise_share"),
        (["train", "--also-test", "nws"], "nws"),
        (["train", "--validate-every", "0"], "validate_every"),
        (["rescore", "no-such-run"], "no-such-run"),
    ],
)
def test_a_mistake_gets_a_message_that_names_it(run, tmp_path, monkeypatch, words, says):
    monkeypatch.chdir(tmp_path)
    status, out, err = run(*words)
    assert status == 2
    assert says in err and err.startswith("lora-lab: ") and "Traceback" not in err


def test_sweep_runs_a_grid_and_goes_on_where_it_stopped(run, tiny_folder, reviews_file, tmp_path):
    words = ["sweep", "--model", str(tiny_folder), "--data", str(reviews_file), "--epochs", "1"]
    words += ["--ranks", "1,2", "--layer-choices", "top:1 all", "--folder", str(tmp_path)]
    status, out, err = run(*words, "--json")
    found = json.loads(out)
    assert status == 0 and len(found) == 4
    assert "at least three" in err, "one seed"
    assert {"results.csv", "results.parquet"} <= {file.name for file in tmp_path.iterdir()}
    trainable = [found[f"rank-{r}_layers-top-1"]["trainable"] for r in (1, 2)]
    head = 2 * 32 + 2
    assert trainable[1] - head == 2 * (trainable[0] - head), "twice the rank, twice the adapter"
    before = {path: path.stat().st_mtime_ns for path in tmp_path.rglob("result.json")}
    status, out, _ = run(*words)
    assert status == 0 and all(name in out for name in found)
    assert {path: path.stat().st_mtime_ns for path in before} == before, "nothing ran again"


def test_a_sweep_can_be_stored_as_a_grid_with_its_command(run, tiny_folder, reviews_file, tmp_path):
    words = ["sweep", "--model", str(tiny_folder), "--data", str(reviews_file), "--epochs", "1"]
    words += ["--seeds", "0,1,2", "--layer-choices", "top:1", "--at-once", "1"]
    words += ["--folder", str(tmp_path / "runs"), "--export", str(tmp_path / "my grid")]
    status, _, err = run(*words)
    assert status == 0 and "at least three" not in err
    grid = read_grid(tmp_path / "my grid")
    assert shlex.split(grid.origin["command"]) == ["lora-lab", *words]
    assert list(grid.runs["seed"]) == [0, 1, 2] and grid.runs["setting"].nunique() == 1


def test_a_run_that_fails_is_told_at_the_end_of_the_sweep(run, tiny_folder, reviews_file, tmp_path):
    words = ["sweep", "--model", str(tiny_folder), "--data", str(reviews_file), "--epochs", "1"]
    words += ["--ranks", "2,2000", "--layers", "top:1"]  # no matrix has that rank
    words += ["--folder", str(tmp_path / "runs"), "--export", str(tmp_path / "grid")]
    status, out, err = run(*words)
    assert status == 1 and "rank-2 " in out
    assert "1 run did not finish" in err and "rank-2000 (failed)" in err
    assert "Nothing was exported" in err and not (tmp_path / "grid").exists()
    assert "rank-2000" in (tmp_path / "runs" / "every_run.csv").read_text()


def test_a_search_reports_its_best_and_how_far_to_trust_it(
    run, tiny_folder, reviews_file, tmp_path
):
    words = ["sweep", "--model", str(tiny_folder), "--data", str(reviews_file), "--epochs", "1"]
    words += ["--search", "random", "--trials", "2", "--rates", "1e-4..1e-2", "--layers", "top:1"]
    words += ["--folder", str(tmp_path / "runs")]
    status, out, _ = run(*words)
    assert status == 0 and "best of 2 trials" in out and "flatters" in out and "3 seeds" in out
    trials = json.loads(run(*words, "--json")[1])
    assert [len(trial["runs"]) for trial in trials] == [3, 3]


def test_train_takes_every_setting_of_a_run(run, tiny_folder, reviews_file, tmp_path):
    words = ["train", "--model", str(tiny_folder), "--data", str(reviews_file), "--epochs", "2"]
    words += ["--from-scratch", "--noise", "flipped", "--noise-share", "0.25", "--data-seed", "3"]
    words += ["--keep", "last", "--validate-every", "2", "--train-size", "50", "--rank", "2"]
    assert run(*words, "--folder", str(tmp_path / "run"))[0] == 0
    found = read_run(tmp_path / "run")
    data, train = found.config.data, found.config.train
    assert (data.noise, data.noise_share, data.seed) == ("flipped", 0.25, 3)
    assert (train.keep, train.validate_every) == ("last", 2) and not found.config.pretrained
    assert len(found.result["history"]) == 1 and found.result["best_epoch"] == 2


def test_the_preset_inside_also_stores_what_its_updates_look_like(
    run, tiny_folder, reviews_file, tmp_path, monkeypatch
):
    data = DataConfig(str(reviews_file))
    base = RunConfig(model=str(tiny_folder), data=data, train=TrainConfig(epochs=1))
    configs = grid(base, ranks=(1, 2))
    monkeypatch.setitem(presets.PRESETS, "inside", lambda size: configs)
    words = ["sweep", "--preset", "inside", "--at-once", "1", "--folder", str(tmp_path / "runs")]
    assert run(*words, "--export", str(tmp_path / "stored"))[0] == 0
    tables = read_stored_updates(tmp_path / "stored")
    assert (
        set(tables.matrices["run"]) == set(configs) == set(read_grid(tmp_path / "stored").runs.id)
    )


def test_rescore_cuts_the_rank_down_to_nothing(run, trained):
    status, out, _ = run("rescore", str(trained), "--json")
    assert status == 0 and list(json.loads(out)) == ["0", "1", "2"]
    status, out, _ = run("rescore", str(trained), "--ranks", "2", "--split", "test")
    _, evaluated, _ = run("evaluate", str(trained), "--json")
    assert f"rank   2: {json.loads(evaluated)['after']['accuracy']:.3f}" in out


def test_a_whole_model_has_no_adapter_to_cut_or_switch_off(run, trained, tmp_path):
    values = json.loads((trained / "config.json").read_text())
    del values["made_with"]
    (tmp_path / "wanted.json").write_text(json.dumps(values | {"pretrained": False}))
    folder = str(tmp_path / "run")
    assert run("train", "--config", str(tmp_path / "wanted.json"), "--folder", folder)[0] == 0
    for words in (["rescore", folder], ["evaluate", folder, "--before"]):
        status, _, err = run(*words)
        assert status == 2 and "random weights" in err and "whole model" in err
    assert run("evaluate", folder)[0] == 0 and run("predict", folder, "a dull plot")[0] == 0


def test_cache_says_where_it_is_and_clears_it(run, trained, tmp_path, monkeypatch):
    monkeypatch.setenv("LORA_LAB_CACHE", str(tmp_path))
    stored = tmp_path / "activations" / "some.bin"
    stored.parent.mkdir()
    stored.write_bytes(bytes(3 * 2**20))
    assert run("cache")[1].startswith(f"3 MiB in {stored.parent}")
    assert run("cache", "--clear")[1].startswith("0 MiB")
    assert not stored.exists()


def test_doctor_names_what_is_missing_and_the_remedy(run, tmp_path, monkeypatch):
    status, out, _ = run("doctor", "--json")
    findings = {f["name"]: f for f in json.loads(out)}
    assert findings["embedded model"]["ok"] and findings["packages"]["ok"]
    monkeypatch.setenv("LORA_LAB_CACHE", str(tmp_path))
    status, out, _ = run("doctor")
    assert status == 1
    assert "MISSING  embedded data" in out and "lora-lab fetch" in out
