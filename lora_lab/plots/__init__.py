"""Figures shared by the notebooks and the app: data in, ``Figure`` out."""

from lora_lab.plots.matrices import Matrix, to_scale
from lora_lab.plots.results import (
    accuracy_comparison,
    calibration_diagram,
    confusion_matrix,
    disagreement,
    draw_confusion,
    histogram,
    learning_curves,
    probability_bars,
    threshold_view,
)
from lora_lab.plots.style import colours
from lora_lab.plots.timing import part_bars, time_bars

__all__ = [
    "Matrix",
    "accuracy_comparison",
    "calibration_diagram",
    "colours",
    "confusion_matrix",
    "disagreement",
    "draw_confusion",
    "histogram",
    "learning_curves",
    "part_bars",
    "probability_bars",
    "threshold_view",
    "time_bars",
    "to_scale",
]
