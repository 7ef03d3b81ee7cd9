"""The page that looks inside an update: what it shows is what the library says."""

from __future__ import annotations

import re
import shutil
import threading

import numpy as np
import pytest
import torch
from streamlit.testing.v1 import AppTest

from lora_lab.adapt import LoraConfig, adapted_layers, disabled
from lora_lab.adapter_files import load_adapted_model
from lora_lab.dashboard import export, trained
from lora_lab.dashboard.inside import charts, rescoring
from lora_lab.evaluation import evaluate_predictions
from lora_lab.inside.rescoring import changed_update
from lora_lab.prediction import evaluate, predict_probabilities
from lora_lab.prefix_cache import PrefixCache
from lora_lab.results.comparing import paired_difference
from lora_lab.runs import DataConfig, RunConfig, execute, read_run
from lora_lab.targets import layer_number, short_name
from lora_lab.training import TrainConfig

from .conftest import address, open_page, texts
from .finished import ALPHA, FULL, HEAD, LARGE, RANDOM, RANK, SMALL, train_all


@pytest.fixture(scope="module")
def folder(tmp_path_factory, tiny_folder, reviews_file):
    folder = tmp_path_factory.mktemp("trained") / "runs"
    train_all(folder, tiny_folder, reviews_file)
    return folder


@pytest.fixture(autouse=True)
def own_cache(tmp_path, monkeypatch):
    monkeypatch.setenv("LORA_LAB_CACHE", str(tmp_path / "cache"))


@pytest.fixture
def page(folder, monkeypatch) -> AppTest:
    monkeypatch.setenv("LORA_LAB_RUNS", str(folder))
    return AppTest.from_function(_page, default_timeout=120)


def _page():
    from lora_lab.dashboard import state
    from lora_lab.dashboard.inside import page as inside_page

    state.begin()
    inside_page.show()


def test_without_a_run_the_page_invites_to_train_one(page, tmp_path, monkeypatch):
    monkeypatch.setenv("LORA_LAB_RUNS", str(tmp_path / "none"))
    open_page(page)
    assert "no finished LoRA run yet" in texts(page)
    assert page.get("page_link")[0].proto.label == "Train one"
    assert not page.error and not page.warning


def test_the_newest_lora_run_is_shown_and_named_in_the_address(page):
    open_page(page)
    assert address(page)["run"] == LARGE
    assert f"Rank r = **{RANK}**" in texts(page)
    assert not page.error and not page.warning and not page.info


@pytest.mark.parametrize("name", [FULL, HEAD, RANDOM])
def test_runs_without_an_update_to_show_say_so(page, name):
    open_page(page, run=name)
    assert "not a LoRA run, or it began with random weights" in page.info[0].value
    assert "The newest one that can be shown" in page.info[0].value
    assert f"Rank r = **{RANK}**" in texts(page)


def test_where_no_run_has_an_update_the_page_promises_none(page, folder, tmp_path, monkeypatch):
    shutil.copytree(folder / RANDOM, tmp_path / "runs" / RANDOM)
    monkeypatch.setenv("LORA_LAB_RUNS", str(tmp_path / "runs"))
    open_page(page, run=RANDOM)
    assert "random weights" in page.info[0].value and "newest" not in page.info[0].value
    assert "no finished LoRA run yet" in texts(page)


def test_an_update_that_did_not_learn_is_not_read_as_if_it_had(
    page, tiny_folder, reviews_file, tmp_path, monkeypatch
):
    config = RunConfig(
        model=str(tiny_folder),
        data=DataConfig(str(reviews_file)),
        lora=LoraConfig(rank=2, train_update=False),
        train=TrainConfig(epochs=1),
    )
    execute(config, tmp_path / "runs" / "1-frozen", cache=PrefixCache())
    monkeypatch.setenv("LORA_LAB_RUNS", str(tmp_path / "runs"))
    open_page(page)
    assert "drawn at random and did not learn" in page.info[0].value
    assert "adapter not trained" in page.selectbox(key="inside.run.en").options[0]


def test_the_matrix_that_changed_most_comes_first(page, folder):
    open_page(page)
    layers = adapted_layers(load_adapted_model(folder / LARGE / "adapter").model)
    share = {
        name: float(torch.linalg.norm(m.update().detach()) / torch.linalg.norm(m.weight))
        for name, m in layers.items()
    }
    most = max(share, key=share.get)
    number, _, matrix = page.selectbox(key="inside.matrix").value.partition(".")
    assert (layer_number(most), short_name(most)) == (int(number), matrix)
    assert f"{100 * share[most]:.3g}%" in texts(page)


def test_a_choice_of_matrix_is_in_the_address_and_an_unknown_one_is_told(page):
    open_page(page)
    page.selectbox(key="inside.matrix").set_value("0.k").run()
    assert not page.exception
    assert address(page)["matrix"] == "0.k"
    open_page(page, matrix="9.<b>q</b>")
    assert "does not adapt ` 9.<b>q</b> `" in page.info[0].value


def test_two_runs_are_compared_and_a_third_is_not_needed(page):
    open_page(page, space="output")
    assert page.selectbox(key="inside.other.en").value == SMALL
    assert "4 and all 2 directions" in texts(page)
    assert not page.info, "other seeds, so no warning about a common start"


def test_a_matrix_that_the_other_run_lacks_is_replaced_by_one_that_both_adapt(page, monkeypatch):
    from lora_lab.dashboard.inside import anatomy

    read = anatomy.updates

    def without_queries(run):
        found = read(run)
        return found if run.id == LARGE else {p: u for p, u in found.items() if p[-1] != "q"}

    monkeypatch.setattr(anatomy, "updates", without_queries)
    open_page(page, matrix="0.q")
    norms = {p: u.norm for p, u in read(read_run_of(page)).items() if p[-1] != "q"}
    layer, matrix = max(norms, key=norms.get).split(".")
    assert f"layer {layer}, {matrix} is compared" in page.info[0].value.replace("\\", "")
    assert "How alike" in texts(page)
    monkeypatch.setattr(anatomy, "updates", lambda run: read(run) if run.id == LARGE else {})
    open_page(page)
    assert "no matrix in common" in page.info[0].value


def read_run_of(page):
    """The run that the page shows."""
    from lora_lab.dashboard import folders

    return folders.find(address(page)["run"])


def test_unmoved_sliders_show_what_training_stored(page, folder, passes):
    open_page(page)
    stored = read_run(folder / LARGE).result["validation"]["accuracy"]
    assert page.metric[0].value == f"{100 * stored:.1f}%"
    assert "as it was trained" in texts(page) and not passes


def test_who_moves_a_slider_need_not_wait_for_a_model(page, folder, monkeypatch):
    trained._rescorer.clear()
    open_page(page)
    monkeypatch.setattr(trained, "_trained", None)
    open_page(page, keep="1")
    assert page.metric[0].delta and not page.error


def test_a_cut_is_scored_at_once_and_compared_sentence_by_sentence(page, folder, reviews):
    open_page(page, keep="1", times="2")
    model, tokenizer = load_adapted_model(folder / LARGE / "adapter")
    data = reviews["validation"]
    before = predict_probabilities(model, tokenizer, data["text"]).argmax(axis=1)
    with changed_update(model, rank=1, alpha=2 * ALPHA):
        expected = evaluate(model, tokenizer, data)
        after = predict_probabilities(model, tokenizer, data["text"]).argmax(axis=1)
    assert page.metric[0].value == f"{100 * expected.accuracy:.1f}%"
    was, now = (np.asarray(data["label"]) == answers for answers in (before, after))
    gained, lost = (now & ~was).sum(), (was & ~now).sum()
    assert f"{gained} answers became right and {lost} became wrong" in texts(page)
    change = paired_difference(now, was)
    verdict = "Measurably" if change.measurable else "No measurable difference"
    assert verdict in texts(page)
    assert f"{100 * expected.interval.low:.1f}" in texts(page)


def test_without_directions_or_alpha_the_base_is_left(page, folder, reviews):
    model, tokenizer = load_adapted_model(folder / LARGE / "adapter")
    with disabled(model):
        expected = evaluate(model, tokenizer, reviews["validation"])
    for settings in ({"keep": "0"}, {"times": "0"}, {"keep": "0", "times": "3"}):
        open_page(page, **{"keep": "4096", "times": "1"} | settings)
        assert page.metric[0].value == f"{100 * expected.accuracy:.1f}%"
        assert "Nothing of the update is left" in texts(page)


def test_sliders_speak_of_this_runs_rank_and_alpha(page):
    open_page(page)
    keep, times = (page.select_slider(key=f"inside.{n}") for n in ("keep", "times"))
    assert (keep.value, len(keep.options)) == (RANK, RANK + 1)
    assert times.options[4] == "8 (1 ×)" and times.options[-1] == "32 (4 ×)"
    keep.set_value(RANK - 1).run()
    assert not page.exception and address(page)["keep"] == str(RANK - 1)
    page.select_slider(key="inside.keep").set_value(RANK).run()
    assert "keep" not in address(page), "everything is the default, whatever the rank"


@pytest.fixture
def passes(monkeypatch) -> list[dict]:
    """What is asked of a re-scorer from now on, with nothing known beforehand."""
    trained._scores.clear()
    calls = []
    original = trained.Rescorer.in_pieces

    def counting(self, size, **settings):
        calls.append(settings)
        return original(self, size, **settings)

    monkeypatch.setattr(trained.Rescorer, "in_pieces", counting)
    return calls


def test_no_pass_is_computed_twice(page, passes):
    open_page(page)
    page.button(key="inside.all").click().run()
    assert not page.exception
    assert [c["rank"] for c in passes] == list(range(RANK + 1))
    for keep in (2, 0, RANK, 1):
        page.select_slider(key="inside.keep").set_value(keep).run()
        assert not page.exception
    assert len(passes) == RANK + 1


def test_the_new_score_is_asked_for_before_the_one_to_compare_with(page, passes):
    open_page(page, keep="1", times="2")
    assert [(c["rank"], c["alpha"]) for c in passes] == [(1, 2 * ALPHA), (RANK, ALPHA)]


def test_the_number_follows_while_sentences_are_answered(folder, passes, monkeypatch):
    monkeypatch.setattr(trained, "PIECE", 7)
    scores, parts = trained.scores(read_run(folder / LARGE)), []
    whole = scores.at(2, 1.0, parts.append).evaluation
    assert [part.examples for part in parts] == list(range(7, whole.examples, 7))
    scores.at(2, 1.0, parts.append)
    assert parts[-1].examples < whole.examples, "what is known is told at once"


def test_a_number_on_the_first_sentences_says_so(page, passes, monkeypatch):
    def stops_half_way(self, rank, times, so_far):
        so_far(evaluate_predictions([0, 0, 1], [0, 1, 1], ["no", "yes"]))
        raise ValueError("the disk is gone")

    monkeypatch.setattr(trained.Scores, "at", stops_half_way)
    open_page(page, keep="1")
    assert page.metric[0].value == "66.7%" and not page.metric[0].delta
    assert "The first 3 of" in texts(page) and "the disk is gone" in texts(page)


def test_a_cut_that_changes_no_answer_says_so(page, folder, monkeypatch):
    scores = trained.scores(read_run(folder / LARGE))
    same = scores.at(RANK, 1.0)
    monkeypatch.setattr(trained.Scores, "at", lambda *_: same)
    open_page(page, keep="1", times="3")
    assert "No measurable difference" in texts(page)
    assert "Not one answer became right or wrong" in texts(page)
    assert page.metric[0].delta == "±0.0 points"


def test_a_saved_spectrum_is_wide_and_counts_in_whole_numbers():
    table = charts.spectrum_table(np.array([2.0, 0.1]), None)
    chart = charts.spectrum(table, dark=False)
    svg = export.picture(chart, "svg").decode()
    [box] = re.findall(r'viewBox="0 0 (\d+)', svg)
    assert int(box) > 600
    numbers = re.findall(r">(\d+)</text>", svg)
    assert numbers.count("1") <= 2 and numbers.count("2") <= 2 and "3" not in numbers


def test_all_directions_are_called_all_in_an_address(page):
    cut = rescoring.Cut(name="keep")
    for value in (0, 7, rescoring.EVERYTHING):
        assert cut.read(cut.write(value)) == value
    open_page(page, keep="many")
    assert "` all ` is used" in page.warning[0].value


def test_without_an_update_its_rank_and_alpha_make_no_difference(folder, passes):
    scores = trained.scores(read_run(folder / LARGE))
    assert scores.at(0, 1.0) is scores.at(0, 3.0) is scores.at(RANK, 0.0)
    assert scores.at(RANK, 1.0) is scores.at(99, 1.0)
    assert len(passes) == 2


def test_visitors_who_ask_together_share_one_pass(folder, passes):
    scores = trained.scores(read_run(folder / LARGE))
    visitors = [threading.Thread(target=scores.at, args=(2, 1.0)) for _ in range(6)]
    for visitor in visitors:
        visitor.start()
    for visitor in visitors:
        visitor.join()
    assert len(passes) == 1


@pytest.mark.parametrize(
    ("rank", "cuts"), [(1, [0, 1]), (8, list(range(9))), (12, [0, 1, 2, 4, 8, 12]),
                       (64, [0, 1, 2, 4, 8, 16, 32, 64])]
)  # fmt: skip
def test_a_large_rank_is_cut_by_halves(rank, cuts):
    assert rescoring._ladder(rank) == cuts


def test_a_lesson_holds_the_sliders(page):
    open_page(page, keep="1", fix="keep,matrix")
    assert page.select_slider(key="inside.keep").disabled
    assert page.selectbox(key="inside.matrix").disabled
    assert not page.select_slider(key="inside.times").disabled


def test_presenters_see_fewer_controls(page):
    open_page(page, present="1")
    assert not page.get("download_button") and not page.get("button_group")


@pytest.mark.parametrize(
    "given",
    [
        {"run": "../../etc/passwd"},
        {"run": "<img src=x onerror=alert(1)>"},
        {"other": "[x](http://example.com)"},
        {"matrix": "`$x$`", "measure": "nan"},
        {"keep": "-1", "times": "inf"},
        {"keep": "9" * 400, "space": "B"},
    ],
)
def test_garbage_in_the_address_gives_a_notice_and_a_page(page, given):
    open_page(page, **given)
    assert page.warning or page.info
    assert page.metric and not page.error
    for text in (element.value for element in (*page.warning, *page.info)):
        assert "[x](http" not in text.replace("`", " ") or "` [x](http" in text


def test_a_broken_adapter_is_said_in_words(page, folder):
    weights = folder / SMALL / "adapter" / "adapter_model.safetensors"
    content = weights.read_bytes()
    from lora_lab.dashboard.inside import anatomy

    anatomy._updates.clear()
    anatomy._compared.clear()
    weights.write_bytes(content[:100])
    try:
        open_page(page, run=SMALL)
        assert "not a safetensors file" in page.error[0].value.replace("\\", "")
        assert "Traceback" not in texts(page)
    finally:
        weights.write_bytes(content)


def test_it_speaks_chinese(page):
    open_page(page, lang="zh", keep="2")
    assert page.title[0].value == "训练好的更新里有什么"
    assert "McNemar 精确检验" in texts(page)
