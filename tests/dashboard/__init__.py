"""The pages. Streamlit would warn, as tests import them, that they run outside of a server."""

from streamlit import logger

logger.set_log_level("ERROR")
