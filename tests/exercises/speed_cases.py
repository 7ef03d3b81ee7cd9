"""Right and wrong answers to the exercises of notebook 7."""

from __future__ import annotations

from lora_lab.exercises.speed import check_cache_gain, check_frozen_flops, check_padding_waste


def tokens(lengths, batches):
    """(real, read) tokens of each batch."""
    sizes = [[lengths[row] for row in rows] for rows in batches]
    return [(sum(batch), max(batch) * len(batch)) for batch in sizes]


def waste(lengths, batches):
    real, read = map(sum, zip(*tokens(lengths, batches), strict=True))
    return 1 - real / read


def to_width(width):
    def answer(lengths, batches):
        rows = sum(batches, [])
        return 1 - sum(lengths[row] for row in rows) / (len(rows) * width(lengths, rows))

    return answer


def padding(lengths, batches):
    return sum(read - real for real, read in tokens(lengths, batches))


def mean_of_shares(lengths, batches):
    shares = [1 - real / read for real, read in tokens(lengths, batches)]
    return sum(shares) / len(shares)


def first_size_for_all(lengths, batches):
    real = sum(real for real, _ in tokens(lengths, batches))
    return 1 - real / sum(max(lengths[r] for r in rows) * len(batches[0]) for rows in batches)


WASTE = [
    (to_width(lambda lengths, rows: max(lengths)), "longest of the data set"),
    (to_width(lambda lengths, rows: max(lengths[r] for r in rows)), "in any of them"),
    (to_width(lambda lengths, rows: 128), "128"),
    (mean_of_shares, "mean of each batch"),
    (lambda n, b: 1 - waste(n, b), "share of real tokens"),
    (lambda n, b: waste(n, b) / (1 - waste(n, b)), "divides by the real tokens"),
    (padding, "number of tokens"),
    (lambda n, b: 100 * waste(n, b), "percentage"),
    (first_size_for_all, "as large as the first"),
    (lambda n, b: 1 - sum(n) / sum(read for _, read in tokens(n, b)), "in no batch"),
    (lambda n, b: 0.5, "should give"),
    (lambda n, b: [waste(n, b)], "Return one number"),
    (lambda n, b: n[99], "IndexError"),
]

FLOPS = [
    (lambda t, i, o: 6 * t * i * o, "gradient of the weight"),
    (lambda t, i, o: 2 * t * i * o, "backward pass is missing"),
    (lambda t, i, o: t * i * o, "and the additions are missing"),
    (lambda t, i, o: 3 * t * i * o, "3 counts dW"),
    (lambda t, i, o: 8 * t * i * o, "single product"),
    (lambda t, i, o: 4 * i * o, "number of tokens is missing"),
    (lambda t, i, o: 4 * t * (i + o), "in times out"),
    (lambda t, i, o: 4 * t * i * o + t * o, "bias"),
    (lambda t, i, o: 5 * t * i * o, "should give"),
    (lambda t, i, o: (t, i, o), "Return one number"),
]


def gain(layers, adapted, epochs):
    return epochs * (layers + adapted) / (layers - adapted + 2 * adapted * epochs)


def built_each_time(layers, adapted, epochs):
    return (layers + adapted) / (layers - adapted + 2 * adapted)


GAIN = [
    (lambda n, k, e: (n + k) / (2 * k), "building pass is missing"),
    (lambda n, k, e: e * 2 * n / (n - k + 2 * k * e), "backward pass run through all layers"),
    (built_each_time, "building pass in every epoch"),
    (lambda n, k, e: e * n / (n - k + k * e), "missing, in both"),
    (lambda n, k, e: e * (n + k) / (n - k + k * e), "still learn"),
    (lambda n, k, e: e * n / (n - k + 2 * k * e), "missing without the cache"),
    (lambda n, k, e: e * (n + k) / (n + 2 * k * e), "running all layers"),
    (lambda n, k, e: (n + k) / (n - k + 2 * k * e), "single epoch"),
    (lambda n, k, e: 1 / gain(n, k, e), "Upside down"),
    (lambda n, k, e: e * (n + 2 * k) / (n - k + 3 * k * e), "not 2"),
    (lambda n, k, e: e * (n + k) - (n - k + 2 * k * e), "work saved"),
    (lambda n, k, e: 2.2, "should give"),
    (lambda n, k, e: "three", "Return one number"),
]

#: check -> (right answers, (wrong answer, what it must be told) ...)
CASES = {
    check_padding_waste: ([waste], WASTE),
    check_frozen_flops: ([lambda t, i, o: 2 * (2 * t * i * o)], FLOPS),
    check_cache_gain: ([gain], GAIN),
}
