"""The cells under the equations can fail: break the library, and the notebook notices.

Each case changes one function of the library before a notebook's first cell, and runs the notebook
until something stops it. That must be a comparison of values, in a cell that the reader sees.
"""

from __future__ import annotations

from pathlib import Path

import nbformat
import pytest
from nbclient import NotebookClient
from nbclient.exceptions import CellExecutionError

NOTEBOOKS = Path(__file__).parents[2] / "notebooks"
#: notebook, module of the library, function, what it becomes (an expression in ``_right``)
MISTAKES = (
    ("01", "derivations.losses", "binary_cross_entropy_grad", "lambda z, y: -_right(z, y)"),
    (
        "01",
        "derivations.losses",
        "mean_binary_cross_entropy_grad",
        "lambda z, y: _right(z, y) * len(z)",
    ),
    (
        "01",
        "derivations.losses",
        "mean_softmax_cross_entropy_grad",
        "lambda z, y: _right(z, y) / 2",
    ),
    ("02", "derivations.low_rank", "truncated_svd", "lambda M, rank: _right(M, max(rank - 1, 1))"),
    (
        "03",
        "derivations.two_sided",
        "dense_backward",
        "lambda *a, **k: _right(*a, **k)._replace(V=None)",
    ),
    ("04", "derivations.lora", "forward", "lambda *a, **k: 1.01 * _right(*a, **k)"),
    (
        "04",
        "derivations.lora",
        "backward",
        "lambda *a, **k: (lambda g: g._replace(B=-g.B))(_right(*a, **k))",
    ),
    (
        "05",
        "derivations.lora",
        "backward",
        "lambda *a, **k: (lambda g: g._replace(A=0 * g.A))(_right(*a, **k))",
    ),
    (
        "06",
        "derivations.lora",
        "forward",
        "lambda *a, scaling, **k: _right(*a, scaling=2 * scaling, **k)",
    ),
    ("08", "derivations.lora", "update", "lambda A, B, scaling: _right(A, B, scaling**2)"),
    ("09", "evaluation", "evaluate_predictions", "lambda y, p, *a: _right(y, p[::-1], *a)"),
    ("10", "derivations.low_rank", "subspace_similarities", "lambda a, b: _right(a, b) ** 0.5"),
    (
        "11",
        "derivations.losses",
        "mean_binary_cross_entropy_grad",
        "lambda z, y: _right(z, y) * len(z)",
    ),
    ("12", "watching.surges", "_tail", "lambda N, X, n: _right(N, X + N // 50, n)"),
    ("12", "watching.surges", "chance_of_any", "lambda rate, days: rate * days"),
)


@pytest.mark.parametrize("number, module, function, wrong", MISTAKES)
def test_a_mistake_in_the_library_stops_the_notebook(number, module, function, wrong):
    (path,) = NOTEBOOKS.glob(f"{number}_*.ipynb")
    notebook = nbformat.read(path, as_version=4)
    breaking = (
        f"import lora_lab.{module} as _broken\n"
        f"_right = _broken.{function}\n"
        f"_broken.{function} = {wrong}"
    )
    notebook.cells.insert(0, nbformat.v4.new_code_cell(breaking))
    client = NotebookClient(notebook, timeout=600, resources={"metadata": {"path": str(NOTEBOOKS)}})
    with pytest.raises(CellExecutionError) as caught:
        client.execute()
    assert caught.value.ename == "AssertionError", caught.value
