"""Checks of notebook 7: padding, operations, caching."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from lora_lab.exercises.checking import attempt, check, expect, one_number


@check
def check_padding_waste(
    function: Callable[[Sequence[int], Sequence[Sequence[int]]], float],
) -> str:
    """``function(lengths, batches)``: share of padding among all tokens that are read.

    ``batches`` holds lists of positions in ``lengths``; each is padded to its longest.
    """
    cases = (
        ([5, 9, 3, 12, 7, 4, 8, 30], [[0, 2], [1, 3, 4], [5, 6]]),
        ([20, 6, 11, 64, 9, 14], [[3, 1, 0], [2, 5, 4]]),
        ([7, 7, 7, 40], [[0, 1], [2]]),  # nothing is padded
    )
    for lengths, batches in cases:
        where = f"lengths {lengths}, batches {batches}"
        sizes = [[lengths[row] for row in rows] for rows in batches]
        count, real = sum(map(len, sizes)), sum(map(sum, sizes))
        read = sum(max(batch) * len(batch) for batch in sizes)
        shares = [1 - sum(batch) / (max(batch) * len(batch)) for batch in sizes]
        first = len(sizes[0])
        mistakes = {
            "That pads to the longest of the data set; pad each batch to its own longest.": (
                1 - real / (count * max(lengths))
            ),
            "That pads all batches to the longest sentence in any of them.": (
                1 - real / (count * max(map(max, sizes)))
            ),
            "That pads to 128, the article's way.": 1 - real / (128 * count),
            "That is the mean of each batch's share. Large batches must count for more: add up "
            "tokens over all batches first, divide once.": sum(shares) / len(shares),
            "That is the share of real tokens; the waste is the rest.": real / read,
            "That divides by the real tokens; divide by all that are read, padding included.": (
                (read - real) / real
            ),
            "That is a number of tokens; divide it by all that are read.": read - real,
            "That is a percentage; return a share between 0 and 1.": 100 * (1 - real / read),
            "That takes every batch to be as large as the first. The last one of an epoch is "
            "often smaller.": 1 - real / sum(max(batch) * first for batch in sizes),
            "That counts every sentence, also those that are in no batch.": 1 - sum(lengths) / read,
        }
        got = one_number(attempt(function, list(lengths), [list(rows) for rows in batches]))
        expect(got, 1 - real / read, mistakes, where)
    return "It is 0 exactly when all sentences of each batch are equally long."


@check
def check_frozen_flops(function: Callable[[int, int, int], int]) -> str:
    """``function(tokens, n_in, n_out)``: matrix products of a frozen linear layer in a step.

    Forward and backward, 2 FLOPs for each multiplication with its addition, biases left out.
    """
    for tokens, n_in, n_out in ((7, 3, 5), (640, 384, 1536)):
        product = tokens * n_in * n_out
        mistakes = {
            "6 counts the gradient of the weight too. W is frozen: nobody asks for dW.": (
                6 * product
            ),
            "2·tokens·in·out is half of it. Either the backward pass is missing (the gradient "
            "still has to reach the layers below), or the additions are.": 2 * product,
            "The backward pass and the additions are missing.": product,
            "3 counts dW, which a frozen layer does not need, and no additions.": 3 * product,
            "8 is too many: backward, a frozen layer has a single product, dx = g W.": 8 * product,
            "The number of tokens is missing: each token goes through the layer.": 4 * n_in * n_out,
            "in and out are added; a matrix has in times out entries.": 4 * tokens * (n_in + n_out),
            "The bias is left out here: only matrix products count.": 4 * product + tokens * n_out,
        }
        got = one_number(attempt(function, tokens, n_in, n_out))
        expect(got, 4 * product, mistakes, f"{tokens} tokens, {n_in} in, {n_out} out")
    return "Full fine-tuning needs 6: freezing W saves a third of the layer's products, no more."


@check
def check_cache_gain(function: Callable[[int, int, int], float]) -> str:
    """``function(layers, adapted, epochs)``: how many times less work with a prefix cache.

    The unit of work is one layer run forward over the data; backward through one costs as much.
    Only the top ``adapted`` layers have adapters. Head and embeddings are left out.
    """
    for layers, adapted, epochs in ((6, 2, 3), (12, 5, 4), (6, 2, 1), (7, 7, 2)):
        frozen = layers - adapted
        without, cached = epochs * (layers + adapted), frozen + epochs * 2 * adapted
        mistakes = {
            "The building pass is missing: the frozen layers run once, to fill the cache.": (
                without / (epochs * 2 * adapted)
            ),
            "That lets the backward pass run through all layers. Below the lowest adapter "
            "nothing learns, so it stops there, with or without a cache.": (
                epochs * 2 * layers / cached
            ),
            "That runs the building pass in every epoch; once is what a cache is for.": (
                without / (epochs * (layers + adapted))
            ),
            "The backward pass is missing, in both.": (
                epochs * layers / (frozen + epochs * adapted)
            ),
            "The backward pass is missing with the cache: the adapted layers still learn.": (
                without / (frozen + epochs * adapted)
            ),
            "The backward pass is missing without the cache.": epochs * layers / cached,
            "That builds the cache by running all layers; the frozen ones are enough.": (
                without / (layers + epochs * 2 * adapted)
            ),
            "That compares a single epoch without the cache with all epochs with it.": (
                (layers + adapted) / cached
            ),
            "Upside down: work without the cache divided by work with it.": cached / without,
            "Backward counts 1 per layer here, not 2: the weights are frozen.": (
                epochs * (layers + 2 * adapted) / (frozen + epochs * 3 * adapted)
            ),
            "That is the work saved, not how many times less it is.": without - cached,
        }
        got = one_number(attempt(function, layers, adapted, epochs))
        where = f"{layers} layers, {adapted} adapted, {epochs} epochs"
        expect(got, without / cached, mistakes, where)
    return "With one epoch it is exactly 1: a cache that is read once saves nothing."
