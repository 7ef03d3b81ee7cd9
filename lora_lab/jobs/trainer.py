"""The process that trains one run: ``python -m lora_lab.jobs.trainer FOLDER``."""

from __future__ import annotations

import os
import signal
import sys
import threading
from contextlib import suppress
from pathlib import Path

import psutil

from lora_lab.cli import main as cli
from lora_lab.jobs import tickets
from lora_lab.results import stored_baselines
from lora_lab.runs import RunConfig


def main(folder: Path) -> int:
    """Train, or go on with, the run in ``folder``; give up as soon as standard input closes."""
    threading.Thread(target=_end_with_starter, daemon=True).start()
    _let_others_go_first()
    scoring = threading.Thread(target=_score_baselines, args=(folder,), daemon=True)
    scoring.start()
    how = ["--config", str(folder / "wanted.json")]
    if (folder / "config.json").exists():
        how = ["--resume"]
    status = cli.main(["train", *how, "--folder", str(folder)])
    if status == 0:
        scoring.join()  # a short run may be done first
    return status


def _score_baselines(folder: Path) -> None:
    """For the pages that show the run, beside the training, which is not to wait for them."""
    wanted = tickets.read_json(folder / "wanted.json")
    if (folder / stored_baselines.FILE).exists() or not wanted:
        return
    # What is wrong with the data or the disk, the training says.
    with suppress(ValueError, OSError, RuntimeError):
        baselines = stored_baselines.score(RunConfig.from_dict(wanted).data)
        stored_baselines.write(baselines, folder)


def _end_with_starter() -> None:
    """Wait until whoever started this process ends, even by SIGKILL, then end as well."""
    while os.read(0, 1):
        pass
    if hasattr(os, "killpg"):
        os.killpg(0, signal.SIGKILL)  # with its children, such as a pip that fetches the data
    os._exit(1)


def _let_others_go_first() -> None:
    """A page that answers matters more than a run that ends a little sooner."""
    if psutil.WINDOWS:
        psutil.Process().nice(psutil.BELOW_NORMAL_PRIORITY_CLASS)
    else:
        os.nice(10)


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1])))
