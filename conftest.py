"""What every test run needs, the notebooks' too."""

from nbclient.output_widget import OutputWidget

# A widget's figure reaches nbclient while it awaits the cell's reply. nbclient then tells the
# kernel, through the very socket on which it awaits the reply but behind asyncio's back
# (jupyter_client's Session.send), so that it may never notice the reply and wait for ever. The
# kernel has no use for that message.
OutputWidget.send = lambda *_, **__: None
