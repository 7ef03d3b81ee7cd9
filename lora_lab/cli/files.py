"""The commands that read a file of texts: ``predict --file`` and ``watch``."""

from __future__ import annotations

import json
from argparse import Namespace
from pathlib import Path

from tqdm.auto import tqdm

from lora_lab import batch_prediction
from lora_lab.adapter_files import CONFIG_FILE, load_adapted_model
from lora_lab.models import LoadedModel
from lora_lab.runs import load_trained, read_run
from lora_lab.training import TrainConfig
from lora_lab.watching import daily


def predict_file(options: Namespace) -> None:
    if options.text:
        raise ValueError("Give sentences or --file, not both.")
    loaded, max_length = trained(options.folder)
    with tqdm(unit="row", disable=None) as bar:
        found = batch_prediction.predict_file(
            loaded,
            options.file,
            options.output,
            text_column=options.text_column,
            encoding=options.encoding,
            max_length=max_length,
            force=options.force,
            resume=options.resume,
            finished=lambda rows: bar.update(rows - bar.n),
        )
    if options.json:
        print(json.dumps(vars(found) | {"output": str(found.output)}))
        return
    labels = ", ".join(f"{name} {count:,}" for name, count in found.counts.items())
    print(f"{found.rows:,} rows in {found.output}: {labels}. {found.seconds:.1f} s.")
    if found.empty:
        print(f"{found.empty:,} of them have no text, and so no label.")
    if found.truncated:
        print(f"{found.truncated:,} texts were longer than {max_length} tokens and were cut.")


def watch(options: Namespace) -> None:
    loaded, max_length = trained(options.folder)
    days = daily.days_of_file(
        loaded,
        options.file,
        date_column=options.date_column,
        text_column=options.text_column,
        negative=options.negative,
        encoding=options.encoding,
        max_length=max_length,
    )
    found = daily.watch(days, reference_days=options.reference_days, one_in=options.one_in)
    print(json.dumps(found.as_dict()) if options.json else found.table())


def trained(folder: Path) -> tuple[LoadedModel, int]:
    """A run's model or that of an adapter's folder, and how many tokens of a text it reads."""
    if (folder / CONFIG_FILE).exists():
        return load_adapted_model(folder), TrainConfig().max_length
    return load_trained(folder), read_run(folder).config.train.max_length
