"""Many runs that belong together: grids, their way through the queue, searches, and the tables.

    configs = grid(RunConfig(), ranks=(1, 4, 16), layers=("top:1", "all"), seeds=(0, 1, 2))
    runs = run_in_queue(configs, Path("runs/ranks"))     # several at once, failures recorded
    write_tables(runs, Path("runs/ranks"))               # results.csv and more

Each run is an ordinary run folder, so whatever is interrupted goes on with what has not finished.
Runs that adapt the same upper layers share everything below them: the first one fills the cache,
the others start at once (``prefix_cache``).
"""

from lora_lab.sweeps.grids import Range, grid, with_setting
from lora_lab.sweeps.running import Configs, Finished, run_in_queue, run_sweep
from lora_lab.sweeps.searching import Trial, best_of, search
from lora_lab.sweeps.tables import attempts_table, summary_table, write_tables

__all__ = [
    "Configs",
    "Finished",
    "Range",
    "Trial",
    "attempts_table",
    "best_of",
    "grid",
    "run_in_queue",
    "run_sweep",
    "search",
    "summary_table",
    "with_setting",
    "write_tables",
]
