"""The activation cache: what it gives is what would be computed, or it computes it."""

from __future__ import annotations

import os
import resource
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch
from torch import Tensor

from lora_lab import prefix_cache
from lora_lab.adapt import LoraConfig, adapted_layers, apply_lora
from lora_lab.batches import TokenisedText
from lora_lab.encoder import Encoder, find_encoder
from lora_lab.prefix_cache import BUILD_BATCH, GIB, Activations, PrefixCache

from .tiny_models import tiny_model

DEPTH, WIDTH, CPU = 3, 32, torch.device("cpu")


def text_of(rows: int = BUILD_BATCH + 9) -> TokenisedText:
    """Texts of 1 to 9 tokens, in no order of length, more of them than are built at once."""
    draw = torch.Generator().manual_seed(0)
    lengths = torch.randint(1, 10, (rows,), generator=draw).tolist()
    ids = [torch.randint(3, 100, (n,), generator=draw).tolist() for n in lengths]
    return TokenisedText(ids, 0, pad_id=1)


TEXT = text_of()
TOKENS = sum(map(len, TEXT.input_ids))
SIZE = TOKENS * WIDTH * 4  # bytes of one entry below the last block


@pytest.fixture
def model():
    torch.manual_seed(0)
    model = tiny_model("bert").eval()
    apply_lora(model, LoraConfig(rank=2, alpha=4, layers="top:1"))
    return model


@pytest.fixture
def encoder(model) -> Encoder:
    return find_encoder(model)


@pytest.fixture
def computed(monkeypatch) -> list[int]:
    """The blocks whose inputs were computed, rather than found."""
    blocks, real = [], prefix_cache._chunks

    def counted(encoder, text, block):
        blocks.append(block)
        yield from real(encoder, text, block)

    monkeypatch.setattr(prefix_cache, "_chunks", counted)
    return blocks


@torch.no_grad()
def direct(encoder: Encoder, row: int, block: int, text: TokenisedText = TEXT) -> Tensor:
    """(tokens, H) that enter ``block``, from this text alone."""
    hidden = encoder.embeddings(input_ids=torch.tensor([text.input_ids[row]]))
    return encoder.hidden_states(hidden, None, 0, block)[0]


def assert_right(found: Activations | None, encoder: Encoder, block: int, **tolerance) -> None:
    tolerance = tolerance or dict(rtol=0, atol=1e-5)
    order = torch.randperm(len(TEXT), generator=torch.Generator().manual_seed(1)).tolist()
    for rows in (order[:1], order[:7], [order[3]] * 2, order):
        hidden, mask = found.batch(rows)
        assert hidden.dtype == torch.float32 and hidden.shape[:2] == mask.shape
        for at, row in enumerate(rows):
            expected = direct(encoder, row, block)
            assert mask[at].tolist() == [1] * len(expected) + [0] * (mask.shape[1] - len(expected))
            torch.testing.assert_close(hidden[at][mask[at].bool()], expected, **tolerance)


def names(folder: Path, suffix: str = "") -> list[str]:
    return sorted(path.name for path in folder.iterdir() if path.name.endswith(suffix))


# What it gives.


@pytest.mark.parametrize("memory_limit", [GIB, 0], ids=["memory", "mapped file"])
@pytest.mark.parametrize("block", range(DEPTH + 1))
@pytest.mark.parametrize("family", ["bert", "roberta", "distilbert"])
def test_any_rows_in_any_order_are_what_would_be_computed(family, block, memory_limit, tmp_path):
    encoder = find_encoder(tiny_model(family).eval())
    cache = PrefixCache(tmp_path, memory_limit=memory_limit)
    for _ in ("built", "recalled"):
        assert_right(cache.get(encoder, TEXT, block), encoder, block)
    assert (cache.memory_used() > 0) == (memory_limit > 0)
    rows = len(TEXT) if block == DEPTH else TOKENS
    assert cache.disk_used() == rows * WIDTH * 4, "no padding; for the head one token a text"


@pytest.mark.parametrize("memory_limit", [GIB, 0], ids=["memory", "mapped file"])
def test_float16_takes_half_the_bytes_and_keeps_three_digits(encoder, memory_limit, tmp_path):
    cache = PrefixCache(tmp_path, memory_limit=memory_limit)
    assert_right(cache.get(encoder, TEXT, 2, "float16"), encoder, 2, rtol=1e-3, atol=1e-5)
    assert cache.disk_used() == SIZE // 2
    assert cache.memory_used() == (SIZE // 2 if memory_limit else 0)


@pytest.mark.parametrize("memory_limit", [GIB, 0], ids=["memory", "mapped file"])
def test_what_a_score_has_stored_can_be_trained_on(encoder, memory_limit, tmp_path):
    cache = PrefixCache(tmp_path, memory_limit=memory_limit)
    with torch.inference_mode():
        cache.get(encoder, TEXT, 2)
    stored = cache.get(encoder, TEXT, 2)
    hidden, _ = stored.batch([0, 1])
    assert not stored.values.is_inference() and not hidden.requires_grad
    encoder.hidden_states(hidden, None, 2).square().sum().backward()
    assert encoder.blocks[2].down.B.grad.abs().sum() > 0


@pytest.mark.parametrize("on_disk", [False, True])
def test_no_texts_need_nothing(encoder, on_disk, tmp_path):
    cache = PrefixCache(tmp_path if on_disk else None)
    found = cache.get(encoder, TokenisedText([], 0, pad_id=1), 2)
    assert found is None or len(found.values) == len(found.starts) == len(found.lengths) == 0


# Limits.


def test_memory_keeps_what_was_used_last_and_never_more_than_its_limit(encoder, computed):
    cache = PrefixCache(memory_limit=2 * SIZE + SIZE // 2)
    for block in (0, 1, 0, 2):
        cache.get(encoder, TEXT, block)
        assert cache.memory_used() <= cache.memory_limit
    assert computed == [0, 1, 2]
    cache.get(encoder, TEXT, 0)
    cache.get(encoder, TEXT, 2)
    assert computed == [0, 1, 2], "these were used last"
    cache.get(encoder, TEXT, 1)
    assert computed == [0, 1, 2, 1], "this one had to go"


def test_an_entry_that_fits_nowhere_is_not_even_computed(encoder, computed, tmp_path):
    assert PrefixCache(memory_limit=SIZE - 1).get(encoder, TEXT, 2) is None
    small = PrefixCache(tmp_path, memory_limit=SIZE - 1, disk_limit=SIZE - 1)
    assert small.get(encoder, TEXT, 2) is None
    assert not computed and names(tmp_path) == []
    assert PrefixCache(memory_limit=SIZE).get(encoder, TEXT, 2) is not None
    fits = PrefixCache(tmp_path, memory_limit=0, disk_limit=SIZE)
    assert fits.get(encoder, TEXT, 2) is not None


@pytest.mark.parametrize("clock_of_others", [0, 10**10], ids=["slow", "fast"])
def test_the_disk_loses_what_was_not_used_for_longest_but_not_the_newest(
    clock_of_others, encoder, tmp_path
):
    cache = PrefixCache(tmp_path, memory_limit=0, disk_limit=2 * SIZE + SIZE // 2)
    cache.get(encoder, TEXT, 0)
    (first,) = names(tmp_path)
    cache.get(encoder, TEXT, 1)
    (second,) = set(names(tmp_path)) - {first}
    os.utime(tmp_path / first, (clock_of_others + 1000,) * 2)
    os.utime(tmp_path / second, (clock_of_others + 2000,) * 2)
    kept, lost = second, first
    if clock_of_others == 0:
        cache.get(encoder, TEXT, 0)  # used just now
        kept, lost = first, second
    assert_right(cache.get(encoder, TEXT, 2), encoder, 2)
    assert kept in names(tmp_path) and lost not in names(tmp_path)
    assert len(names(tmp_path)) == 2 and cache.disk_used() <= cache.disk_limit


def test_clear_forgets_everything_of_its_own(encoder, computed, tmp_path):
    cache = PrefixCache(tmp_path)
    (tmp_path / "notes.txt").write_text("not of the cache")
    cache.get(encoder, TEXT, 1)
    assert cache.memory_used() == cache.disk_used() == SIZE
    cache.clear()
    assert cache.memory_used() == cache.disk_used() == 0
    assert names(tmp_path) == ["notes.txt"]
    assert_right(cache.get(encoder, TEXT, 1), encoder, 1)
    assert computed == [1, 1]


# What an entry stands for.


def test_adapters_head_and_blocks_above_do_not_matter(model, encoder, computed):
    cache = PrefixCache()
    cache.get(encoder, TEXT, 2)
    with torch.no_grad():
        for part in (*adapted_layers(model).values(), model.classifier, model.bert.pooler):
            for parameter in part.parameters():
                parameter.add_(1)
    cache.get(find_encoder(model), TEXT, 2)
    assert computed == [2]


def test_every_weight_below_matters(model, encoder, computed):
    cache = PrefixCache()
    below = [n for n, _ in model.named_parameters() if "embeddings" in n or ".layer.0." in n]
    assert len(below) == 5 + 16
    for name in below:
        cache.get(encoder, TEXT, 1)
        computed.clear()
        with torch.no_grad():
            model.get_parameter(name).flatten()[-1] += 1e-3
        assert_right(cache.get(encoder, TEXT, 1), encoder, 1)
        assert computed == [1], name


@pytest.mark.parametrize("setting", ["position of padding", "eps of the embeddings"])
def test_settings_of_the_embeddings_matter(setting, computed):
    """They are no weights, yet RoBERTa counts its positions from the padding's number."""
    encoder, cache = find_encoder(tiny_model("roberta").eval()), PrefixCache()
    cache.get(encoder, TEXT, 1)
    if setting == "position of padding":
        encoder.embeddings.padding_idx = 0
    else:
        encoder.embeddings.LayerNorm.eps = 0.1
    assert_right(cache.get(encoder, TEXT, 1), encoder, 1)


def test_tokens_their_split_block_and_precision_matter(encoder, computed):
    cache = PrefixCache()
    for ids in ([[5, 6, 7], [8]], [[5, 6], [7, 8]], [[5, 6, 7], [9]], [[8], [5, 6, 7]]):
        text = TokenisedText(ids, 0, pad_id=1)
        for block in (0, 2):
            for dtype in ("float32", "float16"):
                computed.clear()
                for _ in range(2):
                    hidden, _ = cache.get(encoder, text, block, dtype).batch([1])
                assert computed == [block]
                expected = direct(encoder, 1, block, text)
                torch.testing.assert_close(hidden[0], expected, rtol=2e-3, atol=1e-5)


# Files.


@pytest.mark.parametrize("memory_limit", [GIB, 0])
def test_another_process_finds_what_this_one_built(encoder, computed, memory_limit, tmp_path):
    PrefixCache(tmp_path, memory_limit=memory_limit).get(encoder, TEXT, 2)
    assert_right(PrefixCache(tmp_path).get(encoder, TEXT, 2), encoder, 2)
    assert computed == [2]


@pytest.mark.parametrize("bytes_left", [0, SIZE - 4, SIZE + 4])
def test_a_file_of_the_wrong_size_is_built_anew(bytes_left, encoder, computed, tmp_path):
    PrefixCache(tmp_path).get(encoder, TEXT, 2)
    (name,) = names(tmp_path)
    os.truncate(tmp_path / name, bytes_left)
    assert_right(PrefixCache(tmp_path, memory_limit=0).get(encoder, TEXT, 2), encoder, 2)
    assert computed == [2, 2]
    assert names(tmp_path) == [name] and (tmp_path / name).stat().st_size == SIZE


def test_a_folder_that_cannot_be_is_said_and_does_no_harm(encoder, tmp_path):
    (tmp_path / "file").write_text("in the way")
    with pytest.warns(UserWarning, match="could not be kept.*LORA_LAB_CACHE"):
        found = PrefixCache(tmp_path / "file").get(encoder, TEXT, 2)
    assert_right(found, encoder, 2)
    with pytest.warns(UserWarning, match="LORA_LAB_CACHE"):
        assert PrefixCache(tmp_path / "file", memory_limit=0).get(encoder, TEXT, 2) is None


@pytest.mark.parametrize("memory_limit", [GIB, 0])
def test_a_full_disk_is_said_and_leaves_no_rubbish(encoder, memory_limit, tmp_path):
    cache = PrefixCache(tmp_path, memory_limit=memory_limit)
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (SIZE // 2, hard))
    try:
        with pytest.warns(UserWarning, match="Free some space"):
            found = cache.get(encoder, TEXT, 2)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert names(tmp_path) == []
    if memory_limit:
        assert_right(found, encoder, 2)
    else:
        assert found is None


@pytest.mark.parametrize("memory_limit", [GIB, 0])
def test_an_error_while_computing_leaves_nothing_behind(encoder, memory_limit, tmp_path):
    broken = TokenisedText([*TEXT.input_ids, [5] * 41], 0, pad_id=1)  # 40 positions there are
    cache = PrefixCache(tmp_path, memory_limit=memory_limit)
    with pytest.raises((IndexError, RuntimeError)):
        cache.get(encoder, broken, 2)
    assert names(tmp_path) == [] and cache.memory_used() == 0


def test_what_nobody_finished_goes_after_a_day(encoder, tmp_path):
    for name, hours in (("old.1.ab.partial", 25), ("new.2.cd.partial", 23), ("notes.txt", 99)):
        (tmp_path / name).write_bytes(b"x")
        os.utime(tmp_path / name, (time.time() - 3600 * hours,) * 2)
    PrefixCache(tmp_path).get(encoder, TEXT, 2)
    assert {n for n in names(tmp_path) if not n.endswith(".bin")} == {
        "new.2.cd.partial",
        "notes.txt",
    }


BUILDER = """
import sys
from pathlib import Path
import torch
from lora_lab import prefix_cache
from lora_lab.encoder import find_encoder
from tests.test_prefix_cache import TEXT
from tests.tiny_models import tiny_model

real = prefix_cache._chunks
def waiting(*args):
    yield from real(*args)
    print("all written, not yet there", flush=True)
    sys.stdin.readline()

prefix_cache._chunks = waiting
cache = prefix_cache.PrefixCache(Path(sys.argv[1]), memory_limit=0)
found = cache.get(find_encoder(tiny_model("bert").eval()), TEXT, 2)
torch.save(found.values.clone(), sys.argv[2])
"""


def test_processes_that_build_one_entry_at_once_do_not_disturb_each_other(tmp_path):
    """Two finish one after the other; a third is killed before."""
    folder, root = tmp_path / "cache", Path(__file__).parent.parent
    builders = [
        subprocess.Popen(
            [sys.executable, "-c", BUILDER, str(folder), str(tmp_path / f"{n}.pt")],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            cwd=root,
        )
        for n in range(3)
    ]
    try:
        assert [b.stdout.readline() for b in builders] == ["all written, not yet there\n"] * 3
        assert len(names(folder, ".partial")) == 3 and not names(folder, ".bin")
        builders[2].kill()
        for builder in builders[:2]:
            builder.communicate("go on\n")
            assert builder.returncode == 0
            assert len(names(folder, ".bin")) == 1
    finally:
        for builder in builders:
            builder.kill()
            builder.communicate()
    assert len(names(folder, ".partial")) == 1, "the killed one's"
    encoder = find_encoder(tiny_model("bert").eval())
    found = PrefixCache(folder).get(encoder, TEXT, 2)
    assert_right(found, encoder, 2)
    for n in range(2):
        assert torch.equal(torch.load(tmp_path / f"{n}.pt"), found.values)
