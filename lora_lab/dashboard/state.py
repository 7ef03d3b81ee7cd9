"""What a session holds, kept equal to the page's address in both directions.

Each page has values of its own, which survive a visit to another page. Common to all pages are the
language, presenter mode and the run that is looked at; a lesson (``fix``, ``ask``) belongs to the
page it was made for.
"""

from __future__ import annotations

import secrets
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from dataclasses import replace as with_changes
from typing import Any

import streamlit as st
from streamlit.runtime.scriptrunner import get_script_run_ctx

from lora_lab.dashboard import language
from lora_lab.dashboard.language import t
from lora_lab.dashboard.sheet import Problem, Sheet, Values
from lora_lab.dashboard.wording import one_line, plain, quoted

RUN, LANGUAGE, PRESENT, FIX, ASK = "run", "lang", "present", "fix", "ask"
COMMON = (RUN, LANGUAGE, PRESENT, FIX, ASK)
LONGEST_QUESTION = 300
REMEMBERED = 20  # addresses that this session wrote
_told = threading.local()  # what ``seen_by`` says, in this thread


@dataclass(frozen=True)
class Opened:
    """A page as this session left it."""

    sheet: Sheet
    values: Values
    problems: list[Problem] = field(default_factory=list)
    fixed: tuple[str, ...] = ()
    question: str = ""


def begin() -> None:
    """Take over language and presenter mode, which are needed before any page is drawn.

    An address without them leaves them as they are, unless the visitor went back to it.
    """
    address = _news()
    if address is None:
        return
    if address.get(LANGUAGE) in language.LANGUAGES:
        language.choose(address[LANGUAGE])
    elif _went_back():
        language.choose("")
    if address.get(PRESENT) in ("0", "1") or _went_back():
        st.session_state.presenting_ = address.get(PRESENT) == "1"


def open_page(sheet: Sheet) -> None:
    """Take over the address, if someone else wrote it, and say what in it could not be used."""
    pages = st.session_state.setdefault("pages_", {})
    moved = st.session_state.get("open_") not in (None, sheet.name)
    st.session_state.open_ = sheet.name
    address = _news()
    if moved and not address:
        address = None  # the navigation's links carry no settings
    if sheet.name not in pages or address is not None:
        pages[sheet.name] = _read(sheet, address or {})
    else:
        pages[sheet.name] = with_changes(pages[sheet.name], sheet=sheet)
    if address is not None:
        st.session_state.run_ = address.get(RUN, "")
    _write_address()
    if question():
        st.info(f"**{t('common.lesson.question')}** {plain(question())}", icon=":material/school:")
    if _page().problems:
        st.warning("\n\n".join(map(_unusable, _page().problems)))


def values() -> Values:
    return _page().values


def change(name: str, value: Any) -> None:
    """Set one value, with whatever follows from it."""
    replace(_page().sheet.changed(values(), name, value))


def replace(new: Values) -> None:
    """Set all values; those that a lesson fixes stay."""
    page = _page()
    kept = {name: page.values[name] for name in page.fixed}
    st.session_state.pages_[page.sheet.name] = with_changes(page, values=new | kept, problems=[])
    _write_address()


def run_id() -> str:
    """The run that is looked at, as the address names it; empty for none."""
    return st.session_state.get("run_", "")


def look_at(run_id: str) -> None:
    st.session_state.run_ = run_id
    _write_address()


def presenting() -> bool:
    if (told := getattr(_told, "presenting", None)) is not None:
        return told
    return st.session_state.get("presenting_", False)


@contextmanager
def seen_by(spoken: str, presenter: bool) -> Iterator[None]:
    """Language and presenter mode for what is made in a thread that knows of no visitor."""
    with language.speaking(spoken):
        _told.presenting = presenter
        try:
            yield
        finally:
            _told.presenting = None


def present(on: bool) -> None:
    st.session_state.presenting_ = on
    _write_address()


def speak(chosen: str) -> None:
    language.choose(chosen)
    _write_address()


def bind(key: str, value: Any) -> str:
    """Make the widget of this key show ``value``; returns the key.

    One that does already is left alone: what is set here is sent to the browser with every run, and
    would put back what the visitor has moved meanwhile.
    """
    if key not in st.session_state or st.session_state[key] != value:
        st.session_state[key] = value
    return key


def question() -> str:
    """What a lesson asks; empty outside of lessons."""
    return _page().question


def is_fixed(name: str) -> bool:
    """Whether a lesson fixes this setting of the open page."""
    return name in _page().fixed


def in_lesson() -> bool:
    return bool(_page().fixed or _page().question)


def visitor() -> str:
    """A name for this session, which says nothing about who it is."""
    return st.session_state.setdefault("visitor_", secrets.token_hex(8))


def open_sheet() -> Sheet:
    return _page().sheet


def lesson_address(fixed: list[str], asked: str) -> dict[str, str]:
    """Parameters that open this page as it is, as a lesson."""
    page = with_changes(_page(), fixed=tuple(fixed), question=_question(asked))
    return _address(page, run="")


def _unusable(problem: Problem) -> str:
    if problem.setting is None:
        return t("common.address.unknown", name=quoted(problem.name), text=quoted(problem.text))
    return t(
        "common.address.unusable",
        label=t(f"{open_sheet().name}.{problem.name}.label"),
        text=quoted(problem.text),
        used=quoted(problem.setting.write(values()[problem.name])),
    )


def _read(sheet: Sheet, address: dict[str, str]) -> Opened:
    own = {name: text for name, text in address.items() if name not in COMMON}
    found, problems = sheet.read_address(own)
    wanted = [name for name in address.get(FIX, "").split(",") if name]
    fixed = tuple(name for name in sheet.names if name in wanted)
    problems += [Problem(FIX, name, None) for name in wanted if name not in fixed]
    for name, allowed in ((LANGUAGE, language.LANGUAGES), (PRESENT, ("0", "1"))):
        if name in address and address[name] not in allowed:
            problems.append(Problem(name, address[name], None))
    return Opened(sheet, found, problems, fixed, _question(address.get(ASK, "")))


def _question(text: str) -> str:
    return one_line(text)[:LONGEST_QUESTION]


def _address(page: Opened, run: str) -> dict[str, str]:
    address = page.sheet.write_address(page.values)
    common = {
        LANGUAGE: language.current() if language.current() != language.of_browser() else "",
        PRESENT: "1" if presenting() else "",
        FIX: ",".join(page.fixed),
        ASK: page.question,
        RUN: run,
    }
    return address | {name: text for name, text in common.items() if text}


def _write_address() -> None:
    """Make the address say what the session holds, so that a link reproduces it."""
    address = _address(_page(), run_id())
    written = st.session_state.setdefault("written_", [])
    if address != (written and written[-1]):
        st.session_state.written_ = [*written, address][-REMEMBERED:]
    if st.query_params.to_dict() != address:
        st.query_params.from_dict(address)


def _news() -> dict[str, str] | None:
    """The address, if it says something else than this session wrote last.

    A click that was made before the browser learned of the newest address still brings an older
    one along: that is an echo and no news, unless the visitor went back to it.
    """
    address = st.query_params.to_dict()
    written = st.session_state.get("written_", [])
    if written and address == written[-1]:
        return None
    return None if address in written and not _went_back() else address


def _went_back() -> bool:
    """Whether the browser's back or forward button made this rerun."""
    return bool(getattr(get_script_run_ctx(), "is_history_navigation", True))


def _page() -> Opened:
    return st.session_state.pages_[st.session_state.open_]
