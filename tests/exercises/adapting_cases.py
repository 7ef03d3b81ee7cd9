"""Right and wrong answers to the exercises of notebook 5."""

from __future__ import annotations

import math

from lora_lab.exercises.adapting import (
    check_adapter_count,
    check_matches,
    check_rank_for_budget,
    check_training_memory,
)


def memory(parameters, trainable):
    return 4 * parameters + 12 * trainable


MEMORY = [
    (lambda P, T: 16 * P, "full fine-tuning"),
    (lambda P, T: 16 * T, "frozen weights are missing"),
    (lambda P, T: 4 * P + 8 * T, "One part"),
    (lambda P, T: 4 * P + 4 * T, "plain gradient descent"),
    (lambda P, T: 12 * P + 4 * T, "no moments"),
    (lambda P, T: 8 * P + 8 * T, "have no gradient"),
    (lambda P, T: 4 * P + 16 * T, "counted twice"),
    (lambda P, T: 4 * P, "weights alone"),
    (lambda P, T: P + 3 * T, "takes 4 bytes"),
    (lambda P, T: 2 * (P + 3 * T), "float16"),
    (lambda P, T: 8 * (P + 3 * T), "float64"),
    (lambda P, T: 32 * (P + 3 * T), "bits"),
    (lambda P, T: memory(P, T) / 1e6, "megabytes"),
    (lambda P, T: memory(P, T) + 1, "should give"),
    (lambda P, T: (P, T), "Return one number"),
    (lambda P, T: P / 0, "ZeroDivisionError"),
]


def shape(name, hidden, feed_forward):
    return {"up": (feed_forward, hidden), "down": (hidden, feed_forward)}.get(
        name, (hidden, hidden)
    )


def counted(of_a_matrix):
    """layers * the sum of a function of (out, in, rank) over the targets."""

    def answer(hidden, feed_forward, layers, rank, targets):
        shapes = [shape(name, hidden, feed_forward) for name in targets]
        return layers * sum(of_a_matrix(out, in_, rank) for out, in_ in shapes)

    return answer


count = counted(lambda out, in_, r: r * (out + in_))

COUNT = [
    (counted(lambda out, in_, r: r * in_), "B is missing"),
    (counted(lambda out, in_, r: r * out), "A is missing"),
    (lambda h, f, n, r, t: count(h, h, n, r, t), "for a square"),
    (lambda h, f, n, r, t: count(h, 4 * h, n, r, t), "for 4 x hidden"),
    (lambda h, f, n, r, t: count(h, f, 1, r, t), "one layer"),
    (lambda h, f, n, r, t: count(h, f, n, 1, t), "rank is missing"),
    (lambda h, f, n, r, t: count(h, f, n, r, t[:1]), "first target"),
    (lambda h, f, n, r, t: count(h, f, n, r, t[-1:]), "last target"),
    (counted(lambda out, in_, r: out * in_), "counts W"),
    (counted(lambda out, in_, r: r * out * in_), "multiplied"),
    (counted(lambda out, in_, r: r * r * (out + in_)), "squared"),
    (counted(lambda out, in_, r: r * (out + in_) + out), "no bias"),
    (counted(lambda out, in_, r: r * (out + in_) / 2), "half"),
    (lambda h, f, n, r, t: 1, "should give"),
    (lambda h, f, n, r, t: [1], "Return one number"),
    (lambda h, f, n, r, t: t["q"], "TypeError"),
]


def rank(shapes, budget, size):
    fits = budget // (size * sum(out + in_ for out, in_ in shapes))
    return min(fits, min(min(sides) for sides in shapes))


def limited(by):
    """The rank that fits, stopped by another limit."""

    def answer(shapes, budget, size):
        return min(budget // (size * sum(map(sum, shapes))), by(shapes))

    return answer


def rounded(how):
    def answer(shapes, budget, size):
        fits = budget / (size * sum(map(sum, shapes)))
        return min(how(fits), min(map(min, shapes)))

    return answer


def costing(numbers):
    """The rank that fits if one rank costs another number of numbers."""

    def answer(shapes, budget, size):
        return min(math.floor(budget / (size * numbers(shapes))), min(map(min, shapes)))

    return answer


RANK = [
    (rounded(math.ceil), "Rounded up"),
    (rounded(round), "Rounded up"),
    (rounded(float), "whole number"),
    (rounded(lambda fits: math.ceil(fits) - 1), "exactly as large"),
    (limited(lambda shapes: 10**9), "exceed a side"),
    (limited(lambda shapes: max(map(min, shapes))), "smallest matrix"),
    (limited(lambda shapes: min(in_ for _, in_ in shapes)), "inputs alone"),
    (limited(lambda shapes: min(out for out, _ in shapes)), "outputs alone"),
    (limited(lambda shapes: max(map(max, shapes))), "largest side"),
    (costing(lambda shapes: sum(in_ for _, in_ in shapes)), "B is missing"),
    (costing(lambda shapes: sum(out for out, _ in shapes)), "A is missing"),
    (lambda s, budget, size: rank(s, budget, 1), "bytes of a number"),
    (costing(lambda shapes: sum(shapes[0])), "first matrix"),
    (costing(lambda shapes: sum(shapes[-1])), "last matrix"),
    (costing(lambda shapes: 2 * sum(map(sum, shapes))), "A and B twice"),
    (costing(lambda shapes: sum(map(sum, shapes)) / 2), "half as long"),
    (costing(lambda shapes: sum(out * in_ for out, in_ in shapes)), "multiplied"),
    (lambda s, budget, size: max(1, rank(s, budget, size)), "return 0"),
    (lambda s, budget, size: 10_000, "should give"),
    (lambda s, budget, size: "eight", "Return one number"),
]


def matches(names, targets):
    def means(name, target):
        return name == target or name.endswith("." + target)

    for target in targets:
        if not any(means(name, target) for name in names):
            raise ValueError(f"no name matches {target!r}")
    return [name for name in names if any(means(name, target) for target in targets)]


def found_by(means):
    return lambda names, targets: [n for n in names if any(means(n, t) for t in targets)]


def one_by_one(names, targets):
    return [name for target in targets for name in matches(names, [target])]


def twice(names, targets):
    return [n for n in names for t in targets if f".{n}".endswith(f".{t}")]


def first_of_each(names, targets):
    first = {matches(names, [target])[0] for target in targets}
    return [name for name in names if name in first]


def dotted(name, target):
    return f".{name}".endswith(f".{target}")


def refuses_if_nothing_is_left(names, targets):
    found = found_by(dotted)(names, targets)
    if not found:
        raise ValueError(f"nothing matches {targets}")
    return found


def refuses_without_a_word(names, targets):
    try:
        return matches(names, targets)
    except ValueError:
        raise ValueError from None


def asserts(names, targets):
    try:
        return matches(names, targets)
    except ValueError as error:
        raise AssertionError(str(error)) from None


MATCHES = [
    (found_by(lambda n, t: t in n), "anywhere in the name"),
    (found_by(lambda n, t: n.endswith(t)), "Put a dot"),
    (found_by(lambda n, t: n.split(".")[-1] == t), "last part alone"),
    (found_by(lambda n, t: n == t), "wants the whole name"),
    (found_by(lambda n, t: n.endswith("." + t)), "no dot before it"),
    (found_by(lambda n, t: n.startswith(t)), "beginning of the name"),
    (lambda names, targets: matches(names, targets[:1]), "first target"),
    (lambda names, targets: matches(names, targets[-1:]), "last target"),
    (lambda names, targets: [n for n in names if all(dotted(n, t) for t in targets)], "not all"),
    (one_by_one, "order of the targets"),
    (twice, "once each"),
    (first_of_each, "first name only"),
    (lambda names, targets: [n for n in names if n not in matches(names, targets)], "no target"),
    (lambda names, targets: set(matches(names, targets)), "A set has no order"),
    (lambda names, targets: len(matches(names, targets)), "Return a list of names"),
    (lambda names, targets: matches(names, targets)[1:], "missing are"),
    (found_by(dotted), "nobody was told"),
    (refuses_if_nothing_is_left, "nobody was told"),
    (refuses_without_a_word, "Name the target"),
    (asserts, "raise ValueError with a text"),
    (lambda names, targets: names[99], "IndexError"),
]

#: check -> (right answers, (wrong answer, what it must be told) ...)
CASES = {
    check_training_memory: ([memory, lambda P, T: float(memory(P, T))], MEMORY),
    check_adapter_count: ([count], COUNT),
    check_rank_for_budget: ([rank, rounded(math.floor)], RANK),
    check_matches: ([matches, lambda names, targets: tuple(matches(names, targets))], MATCHES),
}
