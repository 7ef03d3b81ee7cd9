"""A stranger's configuration: counted if it is one, refused in words if not, never run."""

from __future__ import annotations

import gc
import json
import sys

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from lora_lab.adapt import LoraConfig
from lora_lab.budget import pasted
from lora_lab.budget.architectures import configuration
from lora_lab.budget.counting import count
from lora_lab.budget.pasted import PastedError, blueprint, tidy

from ..tiny_models import tiny_config

SMALL = dict(model_type="bert", hidden_size=32, num_attention_heads=4, num_hidden_layers=3,
             intermediate_size=64, vocab_size=100)  # fmt: skip


def refused(contents: object, reason: str, read=tidy) -> PastedError:
    text = contents if isinstance(contents, str) else json.dumps(contents)
    with pytest.raises(PastedError) as raised:
        read(text)
    assert raised.value.reason == reason
    return raised.value


@pytest.mark.parametrize("family", ["bert", "roberta", "distilbert", "gpt2"])
def test_a_whole_config_json_counts_as_its_configuration(family):
    settings = tiny_config(family)
    counted = blueprint(settings.to_json_string()).count(LoraConfig(rank=2))
    assert counted == count(settings, LoraConfig(rank=2))


@pytest.mark.parametrize(
    "contents",
    [
        dict(model_type="mistral", num_hidden_layers=4, hidden_size=64, num_attention_heads=4),
        dict(model_type="t5", num_layers=2, d_model=32, num_heads=4, d_kv=8, d_ff=64),
        dict(model_type="vit", num_hidden_layers=2),
        dict(model_type="qwen2", num_hidden_layers=3, hidden_size=64, num_attention_heads=4,
             num_key_value_heads=2, layer_types=["full_attention"] * 3),
    ],
    ids=lambda contents: contents["model_type"],
)  # fmt: skip
def test_other_families_are_counted_as_well(contents):
    expected = count(configuration(contents), LoraConfig(rank=1))
    assert blueprint(json.dumps(contents)).count(LoraConfig(rank=1)) == expected


def test_what_names_code_or_places_is_left_out():
    harmful = {
        "auto_map": {"AutoModel": "evil--modeling.Evil"},
        "attn_implementation": "someone/kernel",
        "_attn_implementation": "someone/kernel",
        "dtype": "load",
        "torch_dtype": "load",
        "quantization_config": {"quant_method": "gptq"},
        "_name_or_path": "/etc/passwd",
        "base_model_name_or_path": "someone/model",
        "tokenizer_class": "Evil",
        "hidden_act": "../../evil",
        "id2label": {"0": "<script>"},
    }
    assert json.loads(tidy(json.dumps(SMALL | harmful))) == SMALL
    nested = SMALL | {"task": {"attn_implementation": "x", "deep": ["a/b", 3]}}
    assert json.loads(tidy(json.dumps(nested)))["task"] == {"deep": [3]}


def test_tidy_text_stays_as_it_is():
    short = tidy(json.dumps(SMALL, indent=4))
    assert tidy(short) == short


@pytest.mark.parametrize(
    ("contents", "reason"),
    [
        ("", "not_json"), ("{", "not_json"), ("[" * 50_00, "not_json"), ("{'a': 1}", "not_json"),
        ('{"model_type": "bert", "hidden_size": NaN}', "not_json"),
        ('{"model_type": "bert", "hidden_size": ' + "9" * 5000 + "}", "not_json"),
        ("import os", "not_json"), ("[1]", "not_object"), ("3", "not_object"),
        ("x" * (pasted.LONGEST + 1), "too_long"),
        ({"hidden_size": 3}, "no_family"), ({"model_type": 3}, "no_family"),
        ({"model_type": "bort"}, "unknown_family"), ({"model_type": "../x"}, "unknown_family"),
        ({"model_type": "llava"}, "several_models"), ({"model_type": "detr"}, "several_models"),
        (SMALL | {"hidden_size": 10**9}, "number"), (SMALL | {"hidden_size": -(10**9)}, "number"),
        (SMALL | {"eps": 1e300}, "number"),
        (SMALL | {"a": {"a": {"a": {"a": {"a": 1}}}}}, "too_deep"),
        (SMALL | {"a": ["word"] * 2000}, "too_long"),
    ],
)  # fmt: skip
def test_what_is_no_configuration_is_refused_with_a_reason(contents, reason):
    refused(contents, reason)


@pytest.mark.parametrize(
    ("contents", "reason"),
    [
        (SMALL | {"hidden_size": 33}, "not_built"),
        (SMALL | {"hidden_size": "wide"}, "not_built"),
        (SMALL | {"hidden_act": "nonsense"}, "not_built"),
        (SMALL | {"hidden_size": 0}, "not_built"),
        (SMALL | {"to_dict": 3}, None),
        (SMALL | {"num_hidden_layers": 2_000_000}, "too_large"),
        (SMALL | {"num_hidden_layers": 0}, "no_matrices"),
        (dict(model_type="albert", num_hidden_groups=2**23), "too_large"),
        (dict(model_type="distilbert", sinusoidal_pos_embds=True, dim=2**14,
              max_position_embeddings=2**24), None),
    ],
    ids=str,
)  # fmt: skip
def test_what_cannot_be_built_is_refused(contents, reason):
    """Or it is built: but it never takes longer than it may, and never fails otherwise."""
    if reason:
        refused(contents, reason, read=blueprint)
    else:
        try:
            blueprint(json.dumps(contents))
        except PastedError as error:
            assert error.reason in ("too_large", "not_built")


def test_the_limit_on_work_leaves_nothing_behind(monkeypatch):
    before = sys.getprofile()
    monkeypatch.setattr(pasted, "SECONDS", 0.0)
    refused(SMALL, "too_large", read=blueprint)
    assert sys.getprofile() is before
    monkeypatch.undo()
    assert blueprint(json.dumps(SMALL)).blocks == 3


def test_whoever_drops_the_exception_meets_it_again(monkeypatch):
    """A callback of the garbage collector does: its exceptions go nowhere."""

    def deaf(_):
        try:
            gc.get_count()  # a call, at which the profiler looks at the clock
        except BaseException:
            pass
        assert sys.getprofile() is None
        return torch.nn.Linear(2, 2)

    monkeypatch.setattr(pasted, "SECONDS", 0.0)
    monkeypatch.setattr(pasted, "Blueprint", deaf)
    refused(SMALL, "too_large", read=blueprint)


def test_an_end_in_the_midst_of_things_leaves_gradients_on(monkeypatch):
    def stopped(_):
        torch.set_grad_enabled(False)  # as inside of torch.no_grad, whose end is not reached
        while True:
            gc.get_count()

    monkeypatch.setattr(pasted, "SECONDS", 0.05)
    monkeypatch.setattr(pasted, "Blueprint", stopped)
    refused(SMALL, "too_large", read=blueprint)
    assert torch.is_grad_enabled()


def test_whoever_turns_the_exception_into_another_hides_nothing(monkeypatch):
    def translating(_):
        try:
            while True:
                gc.get_count()  # until the profiler finds that the time is over
        except BaseException:
            raise RuntimeError("something went wrong") from None

    monkeypatch.setattr(pasted, "SECONDS", 0.05)
    monkeypatch.setattr(pasted, "Blueprint", translating)
    refused(SMALL, "too_large", read=blueprint)


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)


@given(st.text() | st.dictionaries(st.sampled_from([*SMALL, "x"]), json_values).map(json.dumps))
@settings(max_examples=200)
def test_any_text_is_tidied_or_refused(text):
    try:
        assert tidy(tidy(text)) == tidy(text)
    except PastedError as error:
        assert str(error)
