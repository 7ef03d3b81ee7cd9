"""The adapters whose sizes the LoRA paper prints, and what its own formula gives for them.

Hu et al. 2021, arXiv 2106.09685: section 5.1 has the formula, tables 2 to 4 the numbers. All rows
adapt query and value in every layer.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

from lora_lab.budget.architectures import configuration

TARGETS = ("q", "v")


@dataclass(frozen=True)
class Row:
    """One adapter.

    Attributes:
        model: the built-in architecture.
        rank: r.
        printed: millions of parameters, as printed: its digits say how far it was rounded.
        table: where it is printed.
    """

    model: str
    rank: int
    printed: str
    table: int

    @property
    def matrices(self) -> int:
        """How many matrices are adapted: L in the formula."""
        return len(TARGETS) * _layers_and_width(self.model)[0]

    @property
    def width(self) -> int:
        """Rows and columns of each of them: d."""
        return _layers_and_width(self.model)[1]

    @property
    def by_formula(self) -> int:
        """2 L d r."""
        return 2 * self.matrices * self.width * self.rank

    @property
    def rounded(self) -> str:
        """The formula's number, written like the printed one."""
        return f"{self.by_formula / 1e6:.{len(self.printed.partition('.')[2])}f}"

    @property
    def agrees(self) -> bool:
        return self.rounded == self.printed


@cache
def _layers_and_width(model: str) -> tuple[int, int]:
    settings = configuration(model)
    return settings.num_hidden_layers, settings.hidden_size


ROWS = (
    Row("roberta-base", 8, "0.3", 2),
    Row("roberta-large", 8, "0.8", 2),
    Row("deberta-xxl", 16, "4.7", 2),
    Row("gpt2-medium", 4, "0.35", 3),
    Row("gpt2-large", 4, "0.77", 3),
    Row("gpt3-175b", 1, "4.7", 4),
    Row("gpt3-175b", 8, "37.7", 4),
)
