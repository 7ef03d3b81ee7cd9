"""Versions, machine and memory: what is stored beside a run's scores."""

from __future__ import annotations

import os
import platform
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch


def environment() -> dict[str, Any]:
    """Versions and machine, stored with every result."""
    packages = ("lora-lab", "torch", "transformers", "datasets")
    return {
        "python": platform.python_version(),
        **{package: version(package) for package in packages},
        "system": f"{platform.system()} {platform.machine()}",
        "cores": os.cpu_count(),
        "torch_threads": torch.get_num_threads(),
    }


def peak_memory() -> int | None:
    """Largest resident memory of this process, in bytes; None where unknown.

    Since its start or, where the system can, since ``forget_peak_memory``.
    """
    try:
        import resource
    except ImportError:  # Windows
        return None
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if platform.system() == "Darwin" else peak * 1024


def forget_peak_memory() -> None:
    """Let ``peak_memory`` begin anew: a process that trains several runs has a peak for each.

    Only Linux can; elsewhere the peak is that of the whole process so far.
    """
    try:
        Path("/proc/self/clear_refs").write_text("5")
    except OSError:
        pass
