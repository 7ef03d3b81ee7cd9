"""Tests of the pages. Streamlit would warn, as they import it, that they run outside of a server."""

from streamlit import logger

logger.set_log_level("ERROR")
