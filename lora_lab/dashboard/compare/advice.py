"""Advice on the compare page: what to begin with for a model, a size and a budget."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path

import pandas as pd
import streamlit as st

from lora_lab.advice.advising import Advice, Rival, advise
from lora_lab.advice.candidates import Candidates, Measured, candidates, measured_grids
from lora_lab.advice.machine_speed import Speed, rates, speed_of
from lora_lab.advice.question import AdviceError, Question
from lora_lab.advice.recipe import train_command
from lora_lab.dashboard import export, folders, form, state, unusual, wording
from lora_lab.dashboard.compare import measured
from lora_lab.dashboard.compare.words import points
from lora_lab.dashboard.kinds import Choice, Text, Whole
from lora_lab.dashboard.language import t
from lora_lab.dashboard.sheet import Sheet
from lora_lab.dashboard.train import settings
from lora_lab.evaluation import Interval
from lora_lab.models import DEFAULT_MODEL
from lora_lab.results.comparing import Difference
from lora_lab.results.stored_grid import GridError, StoredGrid
from lora_lab.runs import RunConfig

_PARAMETERS = (3_000, 10_000, 30_000, 100_000, 300_000, 500_000)  # the last is above all measured
_MINUTES = (0.1, 0.25, 0.5, 1, 2, 5, 10, 30, 60)
SETTINGS = (
    Text(name="for_model", default=DEFAULT_MODEL, longest=100, detail=True),
    Whole(name="for_size", default=1000, low=1, high=1_000_000),
    Choice(name="for_minutes", default=5, options=_MINUTES, ladder=True),
    Choice(
        name="for_parameters",
        default=_PARAMETERS[-1],
        options=_PARAMETERS,
        ladder=True,
        detail=True,
    ),
)


@st.fragment  # a question changes nothing else on the page
def show(sheet: Sheet) -> None:
    """The question, folded as long as the address does not ask it, and the answer."""
    values = state.values()
    asked = any(values[s.name] != s.default for s in SETTINGS)
    with st.expander(t("compare.advice.heading"), asked, icon=":material/lightbulb:"):
        shown = [s for s in SETTINGS if not (s.detail and state.presenting())]
        for column, setting in zip(st.columns(len(shown)), shown, strict=True):
            with column:
                form.one(sheet, setting.name)
        try:
            advice = _advice(values)
        except (AdviceError, GridError) as error:
            _refuse(error)
        else:
            _answer(advice)


def _advice(values: dict) -> Advice:
    """Raises AdviceError, GridError: see ``candidates``, ``advise`` and ``measured_grids``."""
    most = values["for_parameters"]
    question = Question(
        model=values["for_model"],
        train_size=values["for_size"],
        seconds=60.0 * values["for_minutes"],
        parameters=None if most == _PARAMETERS[-1] else most,
    )
    stored = str(measured.STORED)
    _, known = _measured(stored)
    speed = Speed() if known is None else speed_of(known, folders.finished_here())
    return advise(question, _candidates(stored, question.model), speed)


def _refuse(error: ValueError) -> None:
    if not isinstance(error, AdviceError):
        st.warning(wording.plain(str(error)))
        return
    texts = {name: _written(name, value) for name, value in error.values.items()}
    st.info(t(f"compare.advice.refused.{error.kind}", **texts))
    if error.commands:
        st.markdown(t("compare.advice.measure"))
        st.code("\n".join(error.commands), language="bash", wrap_lines=True)


def _written(name: str, value: object) -> str:
    """A value of a refusal for reading; whatever is text may come from a visitor."""
    if isinstance(value, str):
        return wording.quoted(value)
    return wording.number(float(value)) if isinstance(value, int | float) else str(value)


def _answer(advice: Advice) -> None:
    one = advice.advised
    st.markdown(f"**{t('compare.advice.begin', name=wording.plain(_name(one)))}**")
    st.markdown(
        "\n".join(
            f"- {text}"
            for text in (
                t(
                    "compare.advice.expect",
                    test=wording.percent(one.test),
                    interval=wording.interval(one.interval),
                    reached=wording.interval(Interval(*one.reached)),
                    seeds=one.seeds,
                    examples=f"{advice.examples:,}",
                ),
                t(
                    "compare.advice.cost",
                    duration=wording.duration(one.seconds),
                    trainable=f"{one.trainable:,}",
                    speed=t(f"compare.advice.speed.{advice.speed.basis}", count=advice.speed.runs),
                ),
                _why(advice),
                _sure(advice),
                _rests_on(advice),
            )
        )
    )
    st.code(train_command(one.config), language="bash", wrap_lines=True)
    _open_in_train(one.config)
    if not state.presenting():
        _others(advice)


def _why(advice: Advice) -> str:
    if advice.settings == 1:
        return t("compare.advice.why.only")
    shown = dict(count=advice.settings, validation=wording.percent(advice.best.validation))
    if advice.difference is None:
        return t("compare.advice.why.best", **shown)
    name = wording.plain(_name(advice.best))
    return t("compare.advice.why.cheapest", name=name, off=_points(advice.difference), **shown)


def _sure(advice: Advice) -> str:
    others = advice.settings - 1
    if others == 0:
        return t("compare.advice.sure.alone")
    if advice.worse == others:
        return t("compare.advice.sure.best", count=others)
    return t("compare.advice.sure.any", worse=advice.worse, equal=others - advice.worse)


def _rests_on(advice: Advice) -> str:
    origins = t("common.comma").join(
        t(
            "compare.advice.origin",
            name=name,
            date=origin["date"],
            version=origin["made_with"].get("torch", "?"),
            system=origin["made_with"].get("system", "?"),
        )
        for name, origin in advice.origins.items()
    )
    sizes = t("common.comma").join(f"{size:,}" for size in advice.sizes)
    data = wording.data(advice.question.data)
    text = t("compare.advice.rests", sizes=sizes, data=data, origins=wording.plain(origins))
    if advice.question.train_size in advice.sizes:
        return text
    asked, nearest = advice.question.train_size, advice.advised.train
    asked = t("compare.advice.between", asked=f"{asked:,}", nearest=f"{nearest:,}")
    return t("common.then", first=text, second=asked)


def _others(advice: Advice) -> None:
    """The settings that cannot be told from the best, and other methods."""
    others = [*advice.rivals, *advice.methods]
    if not others:
        return
    st.markdown(t("compare.advice.others"))
    st.table([_row(other) for other in others], border="horizontal", hide_index=True)
    export.table(pd.DataFrame([_row(other) for other in others]), "advice")


def _row(other: Rival) -> dict[str, str]:
    one = other.setting
    cells = dict(
        title=_name(one),
        test=wording.percent(one.test),
        difference=_unbroken(_points(other.difference)),
        time=_unbroken(wording.duration(one.seconds)),
        trainable=f"{one.trainable:,}",
    )
    return {t(f"compare.advice.column.{name}"): text for name, text in cells.items()}


def _points(difference: Difference) -> str:
    low, high = points(difference.interval.low), points(difference.interval.high)
    return f"{points(difference.value)} ({t('common.interval', low=low, high=high)})"


def _unbroken(text: str) -> str:
    return text.replace(" ", "\u00a0")


def _name(one: Measured) -> str:
    if one.config is None:
        rate = t("compare.title.rate", rate=wording.number(one.rate))
        return t("common.comma").join([t(f"train.method.option.{one.method}"), rate])
    lora, train = one.config.lora, one.config.train
    parts = [
        f"LoRA r={lora.rank}",
        f"alpha={wording.number(lora.alpha)}",
        wording.targets(lora.target_modules),
        wording.layers(lora.layers),
        t("compare.title.rate", rate=wording.number(train.learning_rate)),
        t("common.title.epoch") if train.epochs == 1
        else t("common.title.epochs", count=train.epochs),
    ]  # fmt: skip
    return t("common.comma").join(parts + unusual.of_run(one.config))


def _open_in_train(config: RunConfig) -> None:
    """A link to the train page with these settings; or why there is none."""
    # Imported here: the train page shows what the compare page's modules read.
    from lora_lab.dashboard.train import page as train_page

    address, missing = for_train(config)
    if missing:
        listed = t("common.comma").join(map(wording.plain, missing))
        st.caption(t("compare.advice.cannot", what=listed))
        return
    page = st.Page(train_page.show, url_path=train_page.SHEET.name, default=True)
    icon = ":material/model_training:"
    st.page_link(page, label=t("compare.advice.open"), icon=icon, query_params=address)
    size, used = config.data.train_size, _nearest(config.data.train_size)
    if used != size:
        st.caption(t("compare.advice.nearest", asked=f"{size:,}", used=f"{used:,}"))


def for_train(config: RunConfig) -> tuple[dict[str, str], list[str]]:
    """An address of the train page that asks for the configuration, and what it cannot ask for.

    alpha / sqrt(r) is written as the alpha that gives the same scale with alpha / r. Of the sizes
    that the page offers, the nearest is taken.
    """
    lora, train = config.lora, config.train
    wanted = dict(
        rank=str(lora.rank),
        alpha=f"{lora.scale * lora.rank:.10g}",
        layers=str(lora.layers),
        targets=str(lora.target_modules),
        rate=repr(train.learning_rate),
        epochs=str(train.epochs),
        train=str(_nearest(config.data.train_size)),
    )
    values, problems = settings.SHEET.read_address(wanted)
    missing = [f"{t(f'train.{p.name}.label')} {p.text}" for p in problems]
    told_by_alpha = replace(config, lora=replace(lora, scaling="alpha/r"))
    return settings.SHEET.write_address(values), missing + unusual.of_run(told_by_alpha)


def _nearest(size: int) -> int:
    offered = (option for option in settings.SHEET["train"].options if option)
    return min(offered, key=lambda option: abs(math.log(option / size)))


@st.cache_resource(show_spinner=False, max_entries=2)
def _measured(folder: str) -> tuple[dict[str, StoredGrid], pd.DataFrame | None]:
    """The grids in a folder, and their rates.

    Raises:
        GridError: one is damaged.
    """
    grids = measured_grids(Path(folder))
    return grids, rates(grids) if grids else None


@st.cache_resource(show_spinner=False, max_entries=10)
def _candidates(folder: str, model: str) -> Candidates:
    """Raises AdviceError, see ``candidates``."""
    return candidates(Question(model=model), _measured(folder)[0])
