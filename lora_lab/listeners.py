"""Who listens to a training run: its metrics file, the terminal's progress bar, TensorBoard."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from tqdm.auto import tqdm

from lora_lab.checkpoints import StorageError, write_atomically


class MetricsFile:
    """Appends every event as one line of JSON.

    When a run is resumed, lines of steps that will be trained again are taken out first, and
    so is a last line that a kill cut short.
    """

    def __init__(self, path: Path) -> None:
        self.path = path

    def __call__(self, event: dict[str, Any]) -> None:
        if event["event"] == "start":
            kept = [e for e in read_metrics(self.path) if e["step"] <= event["step"]]
            lines = [json.dumps(e) + "\n" for e in kept if e["event"] != "start"]
            write_atomically(self.path, "".join(lines).encode())
        try:
            with open(self.path, "a", encoding="utf-8") as file:
                file.write(json.dumps(event) + "\n")
        except OSError as error:
            raise StorageError(
                f"Could not write {self.path}: {error.strerror or error}. Finished epochs are "
                "kept. Free some space, then go on with --resume."
            ) from error


def read_metrics(path: Path) -> list[dict[str, Any]]:
    """Events of a run so far, oldest first; an unfinished last line is left out."""
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except FileNotFoundError:
        return []
    events = []
    for line in lines:
        try:
            events.append(json.loads(line))
        except json.JSONDecodeError:
            continue
    return events


class ProgressBar:
    """A bar over all steps of a run, with the latest losses beside it."""

    def __init__(self, title: str) -> None:
        self.title = title
        self.bar: tqdm | None = None

    def __call__(self, event: dict[str, Any]) -> None:
        if event["event"] == "start":
            self.bar = tqdm(total=event["steps"], desc=self.title, unit="step", leave=True)
        if self.bar is None:
            return
        self.bar.update(event["step"] - self.bar.n)
        if event["event"] == "step":
            self.bar.set_postfix_str(f"loss {event['loss']:.3f}")
        elif event["event"] == "epoch":
            self.bar.set_postfix_str(f"validation accuracy {event['validation_accuracy']:.3f}")
            if event["step"] == event["steps"]:
                self.close()

    def close(self) -> None:
        if self.bar is not None:
            self.bar.close()
            self.bar = None


class TensorBoard:
    """Writes the numbers of every event for ``tensorboard --logdir``.

    Raises:
        ModuleNotFoundError: TensorBoard is not installed; the message says how.
    """

    def __init__(self, folder: Path) -> None:
        try:
            from torch.utils.tensorboard import SummaryWriter
        except ModuleNotFoundError as error:
            raise ModuleNotFoundError(
                "TensorBoard is not installed. Run: pip install tensorboard"
            ) from error
        self.writer = SummaryWriter(str(folder))

    def __call__(self, event: dict[str, Any]) -> None:
        for key, value in event.items():
            if isinstance(value, int | float) and key not in {"step", "steps", "epoch"}:
                self.writer.add_scalar(f"{event['event']}/{key}", value, event["step"])
        if event["event"] == "epoch":
            self.writer.flush()
