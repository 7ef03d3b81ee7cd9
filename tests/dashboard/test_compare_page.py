"""Compare, as a visitor meets it: nothing is mixed, nothing is claimed that was not measured."""

from __future__ import annotations

import re
from collections import Counter
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from streamlit.testing.v1 import AppTest

from lora_lab.dashboard.compare import across, charts, curves, effects, grids, measured, words
from lora_lab.dashboard.compare import page as compare_page
from lora_lab.dashboard.kinds import Names
from lora_lab.presets import STORED, preset
from lora_lab.presets.classroom import SEEDS
from lora_lab.results.comparing import interval_over_seeds
from lora_lab.results.stored_grid import read_grid, write_grid
from lora_lab.results.table import right_answers, runs_table
from lora_lab.runs import DataConfig

from ..made_runs import answers, lora, make_run
from .conftest import address as address_of
from .conftest import texts

PAGE = """
from lora_lab.dashboard import state
from lora_lab.dashboard.compare import page as compare_page
state.begin()
compare_page.show()
"""
ACCURACY = {"lora": 0.84, "head": 0.70, "full": 0.84}


@pytest.fixture
def grid(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A small grid in the place of the shipped one: LoRA and full alike, the head far below."""
    runs = []
    for seed in (0, 1, 2):
        for rank in (1, 8):
            config = lora(rank=rank, seed=seed)
            right = answers(ACCURACY["lora"], 10 * rank + seed)
            folder = tmp_path / "sweep" / f"lora_rank-{rank}_seed-{seed}"
            runs.append(make_run(folder, config, right, trainable=8000 * rank))
        for method in ("head", "full"):
            right = answers(ACCURACY[method], 100 + seed)
            folder = tmp_path / "sweep" / f"{method}_seed-{seed}"
            size = 770 if method == "head" else 22_713_986
            config = lora(seed=seed, method=method)
            runs.append(make_run(folder, config, right, trainable=size))
    folder = tmp_path / "stored" / "classroom"
    write_grid(runs, folder, "lora-lab sweep --preset classroom")
    monkeypatch.setattr(measured, "STORED", folder.parent)
    return folder


@pytest.fixture
def no_grid(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(measured, "STORED", tmp_path / "nowhere")


def open_page(**address: str) -> AppTest:
    app = AppTest.from_string(PAGE, default_timeout=60)
    for name, text in address.items():
        app.query_params[name] = text
    app.run()
    assert not app.exception
    return app


def shown(app: AppTest) -> pd.DataFrame:
    return app.dataframe[0].value


def verdicts(app: AppTest) -> list[str]:
    """The sentences of the comparison, without their escapes."""
    return lists(app)[-1].splitlines()


def lists(app: AppTest) -> list[str]:
    """What each setting does, where that is known; then the comparison of what is chosen."""
    return [e.value.replace("\\", "") for e in app.markdown if e.value.startswith("- ")]


def ids(frame: pd.DataFrame, **wanted: object) -> list[str]:
    for column, value in wanted.items():
        frame = frame[frame[column] == value]
    return frame["id"].tolist()


# ------------------------------------------------------------------ states of the page


def test_without_runs_and_grid_it_says_what_to_do(runs, no_grid):
    app = open_page()
    assert "nothing to compare yet" in texts(app)
    assert "lora-lab sweep --preset classroom" in app.code[0].value


def test_with_the_grid_alone_it_is_never_empty(runs, grid):
    app = open_page()
    table = shown(app)
    assert len(table) == 4 and set(table["seeds"]) == {3}
    assert "came with the app: 12; your own: 0" in texts(app)
    assert len(verdicts(app)) >= 1, "the best of each method are compared at once"
    assert not app.warning and not app.error


def test_it_says_where_the_shipped_rows_come_from(runs, grid):
    app = open_page()
    assert app.code[-1].value == "lora-lab sweep --preset classroom"
    said = texts(app).replace("\\", "")
    for fact in ("seeds 0, 1, 2", "feedfeedfeedfeed", "torch 2.13.0", "Linux x86_64", "1,000"):
        assert fact in said, fact


def test_shipped_rows_and_own_ones_are_told_apart_and_never_joined(runs, grid):
    make_run(runs / "20250101-120000-aaaaaaaa", lora(rank=8, seed=7), answers(0.84))
    app = open_page()
    table = shown(app)
    assert len(table) == 5 and sorted(table["seeds"]) == [1, 3, 3, 3, 3]
    assert table["whose"].value_counts().to_dict() == {"Came with the app": 4, "Your own": 1}
    assert "your own: 1" in texts(app)
    assert shown(open_page(whose="own"))["whose"].tolist() == ["Your own"]
    assert len(shown(open_page(whose="shipped"))) == 4


def test_runs_on_other_sentences_are_left_out_and_can_be_chosen(runs, grid):
    make_run(
        runs / "20250101-120000-bbbbbbbb", lora(), answers(0.9, sentences=100), sentences="b" * 16
    )
    app = open_page()
    assert len(shown(app)) == 4
    assert "Scored on other sentences, and never mixed with these: 1" in texts(app)
    other = open_page(test="b" * 16)
    assert len(shown(other)) == 1
    assert "never mixed with these: 12" in texts(other)
    assert "scored on other test sentences: 1" in texts(app)
    own = open_page(whose="own")  # on whatever sentences they are
    assert len(shown(own)) == 1 and "scored on other test" not in texts(own)


def test_runs_that_did_not_note_their_sentences_are_left_out(runs, no_grid):
    make_run(runs / "20250101-120000-cccccccc", lora(), answers(0.8), test_fingerprint=None)
    app = open_page()
    assert "did not note their test sentences: 1" in texts(app)
    assert not app.dataframe


# ------------------------------------------------------------------ the sentence


def test_a_clear_difference_is_measurable_and_an_equal_one_is_not(runs, grid):
    table = read_grid(grid).runs
    setting = {m: "shipped." + table[table["method"] == m]["setting"].iloc[0] for m in ACCURACY}
    app = open_page(chosen=",".join((setting["full"], setting["head"], setting["lora"])))
    against_head, against_lora = verdicts(app)
    assert "**Full fine-tuning** is better than **Head only**: a measurable" in against_head
    assert "no measurable difference" in against_lora
    assert "Several seeds on each side" in texts(app)


def test_one_run_against_another_is_mcnemars_test(runs, grid):
    names = read_grid(grid).runs["id"]
    app = open_page(unit="runs", chosen=f"shipped.{names[0]},shipped.{names[1]}")
    assert len(verdicts(app)) == 1 and "McNemar" in texts(app)
    assert len(shown(app)) == 12


def test_without_stored_answers_only_intervals_are_held_against_each_other(runs, no_grid):
    for name, rank, accuracy in (("a", 1, 0.6), ("b", 8, 0.9), ("c", 16, 0.88)):
        folder = runs / f"20250101-12000{rank}-{name * 8}"[:24]
        make_run(folder, lora(rank=rank), answers(accuracy), keep_answers=False)
    names = sorted(folder.name for folder in runs.iterdir())
    app = open_page(unit="runs", chosen=f"{names[-1]},{names[0]},{names[1]}")
    said = verdicts(app)
    assert "the intervals do not overlap" in said[0] or "the intervals overlap" in said[0]
    assert "did not store their answers" in texts(app)


@pytest.mark.parametrize("sentences, unclear", [(60, True), (20_000, False)])
def test_a_wide_interval_is_not_called_equal(runs, sentences, unclear):
    for seed, name in enumerate("ab"):
        right = np.random.default_rng(seed).permutation(sentences) < 0.8 * sentences
        make_run(runs / name, lora(rank=2 + seed), right)
    table = runs_table([measured.folders.jobs.read(runs / name) for name in "ab"])
    first, second = measured.items(table, "runs").itertuples()
    found = words.verdict(first, second, table)
    assert not found.measurable
    assert ("too wide to call them equal" in found.text) is unclear


def test_rows_on_different_sentences_are_never_compared(runs, no_grid):
    make_run(runs / "a", lora(), answers(0.8))
    make_run(runs / "b", lora(rank=4), answers(0.8), sentences="b" * 16)
    table = measured._own((str(runs / "a"), str(runs / "b"), "both"), [
        measured.folders.jobs.read(runs / name) for name in "ab"
    ]).runs  # fmt: skip
    first, second = table.assign(title="x", members=[("a",), ("b",)]).itertuples()
    with pytest.raises(ValueError, match="different test sentences"):
        words.verdict(first, second, table)


def test_comparisons_made_at_once_are_corrected_and_the_page_says_so(runs, grid):
    table = read_grid(grid).runs
    settings = ("shipped." + table["setting"]).unique()
    three, alone = (
        open_page(chosen=",".join(settings[:3])),
        open_page(chosen=",".join(settings[:2])),
    )
    assert "These are 2 comparisons at once" in texts(three)
    assert "comparisons at once" not in texts(alone)
    of_three, single = _interval(verdicts(three)[0]), _interval(verdicts(alone)[0])
    assert of_three[0] < single[0] and of_three[1] > single[1]


def _interval(sentence: str) -> tuple[float, float]:
    low, high = re.search(r"95%: (\S+) to ([^,]+),", sentence.replace("−", "-")).groups()
    return float(low), float(high)


# ------------------------------------------------------------------ which setting matters


def test_the_top_says_what_each_setting_does_and_what_moves_most_comes_first(runs, grid):
    app = open_page()
    head, others = lists(app)[0], lists(app)[1].splitlines()
    assert head.startswith("- **Method**, Head only → LoRA r=")
    assert "**a measurable difference**" in head
    assert any(line.startswith("- **Rank r**, 1 → 8 (LoRA): ") for line in others)
    assert all("no measurable difference" in line for line in others)
    assert "number of comparisons: 3" in texts(app) and "1,000 sentences" in texts(app)
    assert lists(open_page(unit="runs"))[0] == lists(app)[0], "settings, whatever is listed"


@pytest.mark.parametrize("quantity", ["rank", "scale", "layers", "targets", "train"])
def test_a_contrast_changes_one_thing_only_and_leaves_single_seeds_out(runs, quantity):
    items = measured.items(read_grid(STORED / "classroom").runs, "settings")
    own = items.iloc[[0]].assign(id="own", rank=999, seeds=1, validation=1.0)
    found = {one.quantity: one for one in effects.contrasts(pd.concat([items, own]))}
    if quantity in ("scale", "train"):
        assert quantity not in found, "the shipped grid does not vary it"
        return
    one = found[quantity]
    differ = {n for n in effects._MAKE if getattr(one.first, n) != getattr(one.second, n)}
    assert differ == {quantity}
    assert one.first.trainable < one.second.trainable
    assert one.second.rank != 999


def test_runs_on_wrong_labels_are_named_and_never_taken_for_a_rank(runs, no_grid):
    for rank, share in ((1, 0.0), (8, 0.2)):
        noise = dict(noise="flipped", noise_share=share) if share else {}
        for seed in (0, 1):
            config = lora(rank=rank, seed=seed, data=DataConfig(train_size=1000, **noise))
            make_run(runs / f"2025010{rank}-12000{seed}-aaaaaaaa", config, answers(0.8 - share))
    items = measured.items(measured.everything().runs, "settings")
    assert sum("20% of labels wrong" in title for title in items["title"]) == 1
    assert not effects.contrasts(items), "rank and labels changed together"


def test_nothing_is_said_on_top_where_nothing_was_varied(runs, no_grid):
    for seed in (0, 1):
        make_run(runs / f"20250101-12000{seed}-aaaaaaaa", lora(seed=seed), answers(0.8))
    app = open_page()
    assert not lists(app) and "number of comparisons" not in texts(app)


def test_of_a_single_method_the_two_best_are_compared_at_once(runs, no_grid):
    for rank, accuracy in ((1, 0.7), (4, 0.9), (2, 0.8)):
        make_run(runs / f"2025010{rank}-120000-aaaaaaaa", lora(rank=rank), answers(accuracy))
    app = open_page()
    assert len(verdicts(app)) == 1
    table = shown(app)
    best = ids(table, rank=4) + ids(table, rank=2)
    assert app.multiselect(key="compare.chosen").value == best
    assert "the two best" in texts(app)
    assert [e.label for e in app.expander if "compared" in e.label] == ["How this is compared"]


@pytest.mark.parametrize(
    ("parameters", "marks"),
    [((770, 22_700_000), [1e3, 1e4, 1e5, 1e6, 1e7]), ((24_000, 345_000), [5e4, 1e5, 2e5])],
)
def test_an_axis_of_costs_has_marks_to_read_it_by(parameters, marks):
    items = pd.DataFrame({"trainable": parameters})
    axis = charts._x(items, "trainable").to_dict()["axis"]
    low, high = parameters
    assert [mark for mark in axis["values"] if low <= mark <= high] == marks


# ------------------------------------------------------------------ the address


def test_what_is_chosen_is_in_the_address_and_comes_back(runs, grid):
    app = open_page()
    names = app.multiselect(key="compare.chosen").options
    wanted = [names[2], names[0]]
    app.multiselect(key="compare.chosen").set_value(
        [name for name in _option_ids(app) if _title(app, name) in wanted]
    ).run()
    assert not app.exception
    again = open_page(chosen=address_of(app)["chosen"])
    assert (
        again.multiselect(key="compare.chosen").value == app.multiselect(key="compare.chosen").value
    )
    assert verdicts(again) == verdicts(app)


def _option_ids(app: AppTest) -> list[str]:
    return shown(app)["id"].tolist()


def _title(app: AppTest, name: str) -> str:
    return shown(app).set_index("id")["title"][name]


def test_a_choice_outlives_the_change_between_runs_and_settings(runs, grid):
    name = "shipped." + read_grid(grid).runs["id"][0]
    app = open_page(chosen=name)
    [chosen] = app.multiselect(key="compare.chosen").value
    assert chosen == "shipped." + read_grid(grid).runs["setting"][0]
    back = open_page(unit="runs", chosen=chosen)
    assert back.multiselect(key="compare.chosen").value == [name]


@pytest.mark.parametrize(
    "address",
    [
        {"axis": "banana"}, {"unit": "<img src=x onerror=alert(1)>"}, {"whose": "../../etc"},
        {"test": "ffffffffffffffff"}, {"methods": "magic"}, {"layers": "![x](http://a.b/x.png)"},
        {"sizes": "9" * 100}, {"chosen": "../../etc/passwd"}, {"chosen": "a,a"},
        {"chosen": ",".join("abcdefghij")}, {"chosen": "%00"}, {"nonsense": "1"},
    ],
)  # fmt: skip
def test_garbage_in_the_address_gives_a_notice_and_the_page(runs, grid, address):
    app = open_page(**address)
    assert app.warning
    assert len(shown(app)) == 4
    for warning in app.warning:
        assert "<img" not in warning.value.replace("`", "") or "`" in warning.value


def test_a_folder_named_to_deceive_is_shown_as_text(runs, grid):
    name = "![x](http://example.com) <b>$x$</b>, `y`"
    folder = runs / name.replace("/", "_")
    make_run(folder, lora(rank=3), answers(0.8))
    make_run(runs / "other", lora(rank=3), answers(0.8))
    app = open_page(unit="runs", chosen=Names(name="chosen").write([folder.name, "other"]))
    assert not app.exception and len(verdicts(app)) == 1
    raw = " ".join(e.value for e in app.markdown)
    assert "![x](" not in raw and "<b>" not in raw


@given(st.lists(st.text(st.characters(categories=["L", "N", "P", "Zs"]), min_size=1), unique=True))
def test_names_survive_the_address(names):
    setting = Names(name="chosen", most=1000, longest=1000)
    if all(name.isprintable() for name in names):
        assert setting.read(setting.write(tuple(names))) == tuple(names)


def test_filters_narrow_and_an_empty_result_says_so(runs, grid):
    assert set(shown(open_page(methods="head"))["method"]) == {"Head only"}
    assert len(shown(open_page(methods="head,full"))) == 2
    assert "No run passes" in texts(open_page(whose="own"))


@pytest.mark.parametrize(("experiment", "axis"), grids.AXES.items())
def test_each_experiment_opens_on_the_axis_that_answers_it(experiment, axis):
    sheet = compare_page.SHEET
    assert sheet.read_address({"grid": experiment})[0]["axis"] == axis
    by_rank = {"grid": experiment, "axis": "rank"}
    assert sheet.write_address(sheet.read_address(by_rank)[0]) == by_rank


@pytest.mark.parametrize("axis", compare_page.SHEET["axis"].options)
@pytest.mark.parametrize("unit", ["settings", "runs"])
def test_every_quantity_has_its_chart(runs, grid, axis, unit):
    make_run(runs / "20250101-120000-aaaaaaaa", lora(rank=2, layers="top:1"), answers(0.8))
    app = open_page(axis=axis, unit=unit)
    assert not app.warning
    assert ("Pareto front" in texts(app)) == (axis in ("trainable", "seconds"))


@pytest.mark.parametrize("language", ["en", "zh"])
def test_both_languages_show_the_page(runs, grid, language):
    app = open_page(lang=language)
    assert ("差异是真的吗" in texts(app)) == (language == "zh")


def test_a_lesson_can_fix_what_is_compared(runs, grid):
    app = open_page(fix="chosen,axis", ask="Is <b>more</b> better?")
    assert app.multiselect(key="compare.chosen").disabled


# ------------------------------------------------------------------ rows


def test_lines_across_share_a_name_and_names_stand_above_one_another():
    items = pd.DataFrame(
        [
            ("Head", "Head, seed 0", 0.650), ("Head", "Head, seed 1", 0.655),
            ("Full", "Full", 0.800), ("Two-sided", "Two-sided", 0.795),
        ],
        columns=["series", "title", "test"],
    )  # fmt: skip
    found = across.names_across(items, line=0.02)
    assert found["text"].tolist() == ["Head, 65.0% to 65.5%", "Two-sided, 79.5%", "Full, 80.0%"]
    assert found["test"].tolist() == pytest.approx([0.655, 0.8, 0.82])


def test_a_curve_has_the_colour_of_its_point_above():
    above = charts.colours_of(["Top layer", "Top layer", "All layers"])
    picked = pd.DataFrame(
        [("r=8, top", "Top layer"), ("r=4, top", "Top layer"), ("Head", "Head")],
        columns=["title", "series"],
    )
    below = charts.colours_below(picked, above)
    assert below["r=8, top"] == above["Top layer"]
    assert len(set(below.values())) == 3
    assert above["All layers"] not in below.values(), "which would be taken for that"


def test_where_alpha_stays_the_rule_makes_the_series(app):
    runs = measured.shipped("rank-and-rule").runs
    items = measured.items(runs, "settings")
    assert sorted(Counter(measured.series(items, "rank")).values()) == [3, 3]
    assert items["title"].is_unique and not items["title"].str.contains("s=").any()


def test_the_mean_is_seen_even_where_there_is_no_line():
    """Of what was validated once a line shows nothing, and the epochs before have no mark."""
    seeds = [("a", 0), ("b", 1)]
    each = [dict(id=i, seed=s, title="one", step=9 * e, epoch=e, validation_accuracy=0.7)
            for i, s in seeds for e in (1, 2, 3)]  # fmt: skip
    several, once = pd.DataFrame(each), pd.DataFrame(each).query("epoch == 3")
    for epochs, marked, points in ((several, [1, 2, 3], False), (once, [3], True)):
        chart = curves.curves(epochs, "validation_accuracy", {"one": "red"}, legend=False).to_dict()
        *_, thick = chart["layer"]
        assert bool(thick["mark"].get("point")) == points == curves.any_validated_once(epochs)
        assert thick["encoding"]["x"]["axis"]["values"] == marked


def test_a_front_over_parameters_is_one_line_and_over_seconds_one_for_each_machine(runs, grid):
    make_run(runs / "20250101-120000-aaaaaaaa", lora(rank=2), answers(0.9))
    items = measured.items(measured.everything().runs, "settings")
    for axis, joined in (("trainable", True), ("seconds", False)):
        placed = items[measured.front(items, axis)]
        y = charts.alt.Y("test:Q")
        encoding = charts._front(placed, axis, y).to_dict()["encoding"]
        assert ("detail" not in encoding) == joined


def test_the_front_does_not_mix_times_of_different_machines(runs, grid):
    make_run(runs / "20250101-120000-aaaaaaaa", lora(rank=2), answers(0.5), seconds=100.0)
    rows = measured.everything()
    items = measured.items(rows.runs, "settings")
    front = measured.front(items, "seconds")
    assert front[items["whose"] == "own"].all(), "the only one on its machine"
    assert not measured.front(items, "trainable")[items["whose"] == "own"].any()


def test_titles_tell_all_items_apart(runs, grid):
    for number in range(3):
        make_run(runs / f"20250101-12000{number}-aaaaaaaa", lora(rank=2), answers(0.8))
    rows = measured.everything()
    for unit in ("settings", "runs"):
        assert measured.items(rows.runs, unit)["title"].is_unique


# ------------------------------------------------------------------ what ships with the app


def test_the_shipped_grid_is_labelled_readable_and_whole():
    grid = read_grid(STORED / "classroom")
    assert "lora-lab sweep --preset classroom" in grid.origin["command"]
    assert {"python", "torch", "transformers", "system", "cores"} <= grid.origin["made_with"].keys()
    assert grid.origin["seeds"] == list(SEEDS)
    assert set(grid.runs["id"]) == set(preset("classroom")), "every run of the preset"
    right = right_answers(grid.runs)
    np.testing.assert_allclose(right.mean(axis=1), grid.runs["test"])
    for row in grid.runs.itertuples():
        bounds = interval_over_seeds([row.test], row.examples)
        assert (row.low, row.high) == pytest.approx((bounds.low, bounds.high))
