"""What every test run needs, the notebooks' too."""

import os

from hypothesis import settings
from nbclient.output_widget import OutputWidget

# Workers of pytest-xdist share the cores: with all threads each, they would only wait for one
# another. torch and the kernels of notebooks read this when they start, so it is said before.
if workers := os.environ.get("PYTEST_XDIST_WORKER_COUNT"):
    threads = str(max(1, (os.cpu_count() or 1) // int(workers)))
    os.environ |= {"OMP_NUM_THREADS": threads, "MKL_NUM_THREADS": threads}

# How long an example takes is no matter of right or wrong, and other work may share the machine.
settings.register_profile("patient", deadline=None)
settings.load_profile("patient")

# A widget's figure reaches nbclient while it awaits the cell's reply. nbclient then tells the
# kernel, through the very socket on which it awaits the reply but behind asyncio's back
# (jupyter_client's Session.send), so that it may never notice the reply and wait for ever. The
# kernel has no use for that message.
OutputWidget.send = lambda *_, **__: None
