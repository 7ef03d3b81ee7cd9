"""A run from its configuration to its files: one folder holds everything there is to know.

config.json            what was asked for, the data's fingerprint, versions and machine
status.json            running, finished or failed, and why
metrics.jsonl          one line per event, while it trains
checkpoint.safetensors weights, optimiser and random state, to go on after an interruption
adapter/  or  model/   the trained weights (a whole model for full fine-tuning)
test_answers.safetensors   what the trained model answers on each test text, see ``results.answers``
elsewhere/NAME/            the same on the test texts of other data
result.json            scores on validation and test, parameters, seconds
"""

from lora_lab.runs.config import LEARNING_RATES, DataConfig, RunConfig, with_learning_rate_for
from lora_lab.runs.execution import execute, load_trained, prepare_model, shared_cache
from lora_lab.runs.folder import Run, RunError, list_runs, new_run_folder, read_run
from lora_lab.runs.machine import environment, forget_peak_memory, peak_memory

__all__ = [
    "LEARNING_RATES",
    "DataConfig",
    "Run",
    "RunConfig",
    "RunError",
    "environment",
    "execute",
    "forget_peak_memory",
    "list_runs",
    "load_trained",
    "new_run_folder",
    "peak_memory",
    "prepare_model",
    "read_run",
    "shared_cache",
    "with_learning_rate_for",
]
