"""Baselines that a run keeps: the same as scored anew, and none rather than wrong ones."""

from __future__ import annotations

import json

import pytest

from lora_lab.baselines import evaluate_majority, evaluate_vader
from lora_lab.results import stored_baselines
from lora_lab.runs import DataConfig

from ..data.invented import make_frame


@pytest.mark.parametrize("names", [("negative", "positive"), ("red", "green", "blue")])
def test_what_is_stored_is_what_was_scored(tmp_path, names):
    make_frame(200, names).to_csv(tmp_path / "data.csv", index=False)
    config = DataConfig(str(tmp_path / "data.csv"), train_size=20)
    data = config.load()
    stored_baselines.write(stored_baselines.score(config), tmp_path)
    found = stored_baselines.read(tmp_path)
    for split in ("validation", "test"):
        assert found[split]["majority"] == evaluate_majority(data, split)
        if "positive" in names:
            assert found[split]["vader"] == evaluate_vader(data, split)
        else:
            assert "vader" not in found[split], "its answers do not fit these classes"


@pytest.mark.parametrize("content", [None, "", "[1]", '{"test": 1}', '{"test": {"majority": {}}}'])
def test_what_cannot_be_read_is_none(tmp_path, content):
    if content is not None:
        (tmp_path / stored_baselines.FILE).write_text(content)
    assert stored_baselines.read(tmp_path) is None


def test_the_file_is_plain_json(tmp_path):
    stored_baselines.write({"test": {}}, tmp_path)
    assert json.loads((tmp_path / stored_baselines.FILE).read_text()) == {"test": {}}
