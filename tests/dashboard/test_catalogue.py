"""The catalogue of texts: complete in every language, and in step with the code."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path
from string import Formatter

import pytest

import lora_lab.dashboard
from lora_lab.dashboard import PAGES, language
from lora_lab.dashboard.kinds import Choice

HERE = Path(lora_lab.dashboard.__file__).parent
TEXTS = language.catalogue()


def placeholders(text: str) -> set[str]:
    return {name for _, name, _, _ in Formatter().parse(text) if name is not None}


@pytest.mark.parametrize("key", TEXTS)
def test_every_text_is_there_in_every_language_with_the_same_values(key):
    assert set(TEXTS[key]) == set(language.LANGUAGES)
    assert all(text.strip() for text in TEXTS[key].values())
    wanted = {frozenset(placeholders(text)) for text in TEXTS[key].values()}
    assert len(wanted) == 1


def test_chinese_texts_are_chinese():
    """Names and symbols aside: a text of several words has been translated."""
    for key, text in TEXTS.items():
        words = re.findall(r"[a-z]{2,}", re.sub(r"{.*?}", "", text["en"]))
        if len(words) > 2 and not key.endswith("moment"):
            assert re.search(r"[\u4e00-\u9fff]", text["zh"]), key


def asked() -> Iterator[tuple[str, set[str] | None, str]]:
    """Each ``t(...)`` in the code: its key as a pattern, the values it gives, and where."""
    for file in sorted(HERE.rglob("*.py")):
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
            if not (isinstance(node, ast.Call) and getattr(node.func, "id", "") == "t"):
                continue
            given = {keyword.arg for keyword in node.keywords}
            for pattern in patterns(node.args[0]):
                yield (
                    pattern,
                    None if None in given else given,
                    f"{file.relative_to(HERE)}:{node.lineno}",
                )


def patterns(argument: ast.expr) -> list[str]:
    """The key as a regular expression; what is put in at run time is left open."""
    if isinstance(argument, ast.Constant):
        return [re.escape(argument.value)]
    if isinstance(argument, ast.IfExp):
        return patterns(argument.body) + patterns(argument.orelse)
    if isinstance(argument, ast.JoinedStr):
        parts = (
            re.escape(part.value) if isinstance(part, ast.Constant) else r"[\w.-]+"
            for part in argument.values
        )
        return ["".join(parts)]
    return []  # a variable: the tests of the pages come across it


@pytest.mark.parametrize("pattern, given, where", [*asked()])
def test_every_text_that_the_code_asks_for_exists(pattern, given, where):
    found = [key for key in TEXTS if re.fullmatch(pattern, key)]
    assert found, f"{where} asks for {pattern}"
    if given is not None and len(found) == 1:
        assert placeholders(TEXTS[found[0]]["en"]) <= given, where


@pytest.mark.parametrize("sheet", [page.SHEET for page in PAGES], ids=lambda sheet: sheet.name)
def test_everything_on_a_sheet_has_a_name(sheet):
    wanted = {f"common.pages.{sheet.name}"}
    wanted |= {f"{sheet.name}.{setting.name}.label" for setting in sheet.settings}
    wanted |= {f"{sheet.name}.group.{setting.group}" for setting in sheet.settings if setting.group}
    wanted |= {f"{sheet.name}.preset.{preset.name}" for preset in sheet.presets}
    assert wanted <= set(TEXTS)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.SHEET.name)
def test_a_page_is_called_like_its_folder_and_its_texts(page):
    assert page.__name__ == f"{lora_lab.dashboard.__name__}.{page.SHEET.name}.page"
    assert import_module(page.__name__).show is page.show
    assert any(key.startswith(f"{page.SHEET.name}.") for key in TEXTS)


def test_no_setting_takes_the_name_of_what_all_pages_have_in_common():
    from lora_lab.dashboard.state import COMMON

    for page in PAGES:
        assert not set(page.SHEET.names) & set(COMMON)
        assert len(set(page.SHEET.names)) == len(page.SHEET.names)


def test_options_in_the_catalogue_are_options():
    """A text for an option that no longer exists is dead, or misspelt."""
    for sheet in (page.SHEET for page in PAGES):
        for setting in sheet.settings:
            start = f"{sheet.name}.{setting.name}.option."
            named = {key.removeprefix(start) for key in TEXTS if key.startswith(start)}
            if isinstance(setting, Choice):
                assert named <= {str(option) for option in setting.options}
