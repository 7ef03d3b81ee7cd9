"""The named options of a configuration. Nothing heavy is imported, so that help comes at once."""

from typing import Literal

Backward = Literal["derived", "autograd"]
Scaling = Literal["alpha/r", "alpha/sqrt(r)"]
Initialisation = Literal["kaiming", "gaussian"]
TwoSidedForm = Literal["low-rank", "diagonal", "dense"]
TwoSidedInitialisation = Literal["identity", "random"]
Method = Literal["lora", "two-sided", "head", "full"]
#: How activations below the first adapted layer are stored; see ``prefix_cache``.
PrefixChoice = Literal["float32", "float16", "off"]
#: What matrix products are computed in; "auto" measures which is faster here.
Precision = Literal["float32", "bfloat16", "auto"]
#: What is wrong with the labels that are learnt from; see ``data.with_noise``.
LabelNoise = Literal["none", "flipped", "shuffled", "one-rater"]
#: Which epoch's weights a run ends with: the best on validation, or simply the last.
Keep = Literal["best", "last"]
#: Of an experiment: small enough for a notebook, or the one whose result is shipped.
PresetSize = Literal["quick", "full"]
#: Of a run; "waiting" is said by ``jobs``, not by a run's own files.
State = Literal["waiting", "running", "finished", "failed", "interrupted"]

#: Target modules: every linear layer in the numbered blocks.
ALL_LINEAR = "all-linear"
