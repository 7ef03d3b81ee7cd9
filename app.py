"""The workbench in the browser: ``streamlit run app.py``."""

import streamlit as st

with st.spinner("Loading PyTorch; the first time takes a few seconds."):
    from lora_lab.dashboard import main

main()
