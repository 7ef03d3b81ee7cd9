"""The process that trains one run: ``python -m lora_lab.jobs.trainer FOLDER``."""

from __future__ import annotations

import os
import signal
import sys
import threading
from pathlib import Path

import psutil

from lora_lab import cli


def main(folder: Path) -> int:
    """Train, or go on with, the run in ``folder``; give up as soon as standard input closes."""
    threading.Thread(target=_end_with_starter, daemon=True).start()
    _let_others_go_first()
    if (folder / "config.json").exists():
        return cli.main(["train", "--resume", "--folder", str(folder)])
    return cli.main(["train", "--config", str(folder / "wanted.json"), "--folder", str(folder)])


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
