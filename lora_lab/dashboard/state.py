"""The session's settings and run, kept equal to the page's address in both directions."""

from __future__ import annotations

import secrets
from typing import Any

import streamlit as st

from lora_lab.dashboard import settings
from lora_lab.dashboard.settings import Problem, Values

RUN = "run"


def follow_address() -> list[Problem]:
    """Take over what the address says, if someone else wrote it; returns what was not usable."""
    address = st.query_params.to_dict()
    if address != st.session_state.get("address"):
        parameters = {name: text for name, text in address.items() if name != RUN}
        values, problems = settings.read_address(parameters)
        st.session_state.values_ = values
        st.session_state.problems = problems
        st.session_state.run_ = address.get(RUN, "")
        write_address()
    return st.session_state.problems


def values() -> Values:
    return st.session_state.values_


def change(name: str, value: Any) -> None:
    """Set one value; a change of method brings the learning rate that suits it."""
    changed = values() | {name: value}
    if name == "method":
        rate = settings.defaults(value)["rate"]
        changed["rate"] = rate
    replace(changed)


def replace(new: Values) -> None:
    st.session_state.values_ = new
    st.session_state.problems = []
    write_address()


def run_id() -> str:
    """The run that is looked at, as the address names it; empty for none."""
    return st.session_state.run_


def look_at(run_id: str) -> None:
    st.session_state.run_ = run_id
    write_address()


def visitor() -> str:
    """An id of this session, for the limit of runs that one visitor may have waiting."""
    return st.session_state.setdefault("visitor", secrets.token_hex(8))


def write_address() -> None:
    """Make the address say what the session holds, so that a link reproduces it."""
    address = settings.write_address(values())
    if run_id():
        address[RUN] = run_id()
    st.session_state.address = address
    if st.query_params.to_dict() != address:
        st.query_params.from_dict(address)
