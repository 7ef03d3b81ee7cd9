"""Where a visitor hands in a CSV file and says which columns to learn from."""

from __future__ import annotations

import pandas as pd
import streamlit as st

from lora_lab.checkpoints import StorageError
from lora_lab.dashboard import state, uploads, wording
from lora_lab.dashboard.language import t

SAMPLE = 3  # rows shown


def show(name: str) -> None:
    """A file becomes the value of the setting ``name``."""
    if state.is_fixed(name) or state.presenting():
        return
    with st.popover(t("train.upload.open"), icon=":material/upload_file:", width="stretch"):
        most = dict(megabytes=uploads.MOST_BYTES // 1_000_000, rows=uploads.MOST_ROWS)
        file = st.file_uploader(
            t("train.upload.file"),
            type="csv",
            max_upload_size=most["megabytes"],
            key="upload.file",
            help=t("train.upload.help", **most),
        )
        if file is None:
            st.caption(t("train.upload.help", **most))
            return
        try:
            _columns(name, uploads.read(file.getvalue()), file.name)
        except uploads.UploadError as error:
            st.error(wording.plain(str(error)))


def _columns(name: str, table: pd.DataFrame, file_name: str) -> None:
    st.dataframe(table.head(SAMPLE).astype(str), hide_index=True)
    st.caption(t("train.upload.rows", rows=len(table)))
    columns = list(table.columns)
    text = _column("text", columns, 0)
    label = _column("label", columns, len(columns) - 1)
    if not st.button(t("train.upload.use"), type="primary", key="upload.use"):
        return
    try:
        with st.spinner(t("train.upload.checking")):
            identity = uploads.keep(table, text, label, file_name)
    except StorageError as error:
        st.error(wording.plain(str(error)))
        return
    state.change(name, identity)
    st.rerun()


def _column(wanted: str, columns: list[str], otherwise: int) -> str:
    first = columns.index(wanted) if wanted in columns else otherwise
    return st.selectbox(t(f"train.upload.{wanted}"), columns, index=first, key=f"upload.{wanted}")
