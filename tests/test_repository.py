"""The repository keeps its own promises: locked versions, one environment, documented commands."""

from __future__ import annotations

import ast
import os
import re
import subprocess
import sys
import tomllib
from importlib.metadata import requires
from pathlib import Path

import pytest
import yaml
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from packaging.version import Version

ROOT = Path(__file__).parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]


def locked_versions() -> dict[str, Version]:
    lines = (ROOT / "requirements.lock").read_text().split()
    return {canonicalize_name(name): Version(v) for name, v in (s.split("==") for s in lines)}


def declared() -> list[Requirement]:
    extras = PROJECT["optional-dependencies"].values()
    return [Requirement(text) for group in (PROJECT["dependencies"], *extras) for text in group]


@pytest.mark.parametrize("requirement", declared(), ids=lambda r: r.name)
def test_the_lock_pins_a_version_that_the_project_allows(requirement):
    locked = locked_versions()[canonicalize_name(requirement.name)]
    assert locked in requirement.specifier


def test_the_lock_pins_whatever_its_packages_need():
    """torch aside, whose needs depend on the build that was installed."""
    locked = locked_versions()
    missing = {
        f"{needed.name}, which {name} needs"
        for name in locked.keys() - {"torch"}
        for needed in map(Requirement, requires(name) or ())
        if needed.marker is None or needed.marker.evaluate({"extra": ""})
        if canonicalize_name(needed.name) not in locked
    }
    assert not missing


def test_the_lock_pins_torch_without_a_build_tag():
    assert locked_versions()["torch"] == Version("2.13.0")
    assert "+" not in (ROOT / "requirements.lock").read_text()


def test_conda_users_get_the_same_environment():
    environment = yaml.safe_load((ROOT / "environment.yml").read_text())
    conda = [d for d in environment["dependencies"] if isinstance(d, str)]
    (pip,) = [d["pip"] for d in environment["dependencies"] if isinstance(d, dict)]
    assert f"python{PROJECT['requires-python']}" in conda
    assert "--requirement requirements.lock" in pip and "--editable ." in pip


def test_every_module_imports_only_what_lies_below_it():
    order = [
        "derivations",
        "closed_form",
        "layers",
        "targets",
        "adapt",
        "training",
        "runs",
        "results",
        "inside",
        "jobs",
        "sweeps",
        "presets",
        "experiments",
        "advice",
        "dashboard",
    ]
    for path in (ROOT / "lora_lab").rglob("*.py"):
        own = next((p for p in path.relative_to(ROOT / "lora_lab").with_suffix("").parts), "")
        imported = {
            name.split(".")[1]
            for node in ast.walk(ast.parse(path.read_text()))
            if isinstance(node, ast.ImportFrom)
            for name in [f"{node.module}.{alias.name}" for alias in node.names]
            if name.startswith("lora_lab.")
        }
        if own == "derivations":
            assert imported <= {"derivations"}, path
        if own in order:
            above = set(order[order.index(own) + 1 :])
            assert not imported & above, path


@pytest.mark.parametrize("package, allowed", [("streamlit", "dashboard"), ("peft", None)])
def test_some_packages_stay_where_they_belong(package, allowed):
    for path in (ROOT / "lora_lab").rglob("*.py"):
        if allowed and allowed in path.parts:
            continue
        names = {
            name.split(".")[0]
            for node in ast.walk(ast.parse(path.read_text()))
            for name in (
                [a.name for a in node.names]
                if isinstance(node, ast.Import)
                else [node.module or ""]
                if isinstance(node, ast.ImportFrom)
                else []
            )
        }
        assert package not in names, path


def test_workers_of_a_test_run_share_the_cores():
    workers = int(os.environ.get("PYTEST_XDIST_WORKER_COUNT", 1))
    share = max(1, os.cpu_count() // workers)
    code = "import torch; print(torch.get_num_threads())"
    started = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert int(started.stdout) <= share, "and so does what they start: kernels, servers"


def test_the_readme_speaks_of_commands_that_exist():
    readme = (ROOT / "README.md").read_text()
    targets = set(re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    mentioned = set(re.findall(r"make ([a-z]+)", readme))
    assert {"app", "test", "demo", "lab", "bench"} <= mentioned <= targets
    parser_commands = set(
        re.findall(r'command\(\s*"([a-z]+)"', (ROOT / "lora_lab/cli/main.py").read_text())
    )
    assert set(re.findall(r"(?:bin/|`)lora-lab ([a-z]+)", readme)) <= parser_commands


def test_the_public_names_are_listed_once_and_importable():
    import lora_lab

    assert sorted(lora_lab.__all__) == sorted(lora_lab._HOME)
    for name in lora_lab.__all__:
        assert getattr(lora_lab, name).__name__ == name
    with pytest.raises(AttributeError, match="nonsense"):
        lora_lab.nonsense  # noqa: B018
