"""A browser tab without a browser: it speaks Streamlit's protocol and does what visitors do."""

from __future__ import annotations

import asyncio
import random
import time
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qs

from streamlit.proto.BackMsg_pb2 import BackMsg
from streamlit.proto.ForwardMsg_pb2 import ForwardMsg
from streamlit.proto.NumberInput_pb2 import NumberInput
from streamlit.proto.Slider_pb2 import Slider
from streamlit.proto.WidgetStates_pb2 import WidgetState
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed

PATIENCE = 30.0  # seconds for an answer; a visitor would have gone by then


@dataclass
class Visitor:
    """One session, from its first page to its last.

    Attributes:
        page: Streamlit's hash of the page to open; by default the app's first.
        query: what stands behind the question mark of its address.
        types: whether it also fills in number fields, at random.
        runs: ids of the runs that its address has named.
        errors: whatever a visitor or the server's log would call one.
        received: bytes.
    """

    port: int
    chance: random.Random
    page: str = ""
    query: str = ""
    types: bool = True
    runs: set[str] = field(default_factory=set)
    errors: list[str] = field(default_factory=list)
    received: int = 0

    _connection: ClientConnection | None = None
    _widgets: dict[str, Any] = field(default_factory=dict)
    _fragments: dict[str, str] = field(default_factory=dict)  # of widgets that have one
    _asked: str = ""  # the fragment whose answer is awaited; the whole page by default
    _begun: bool = False
    _answered: asyncio.Event = field(default_factory=asyncio.Event)
    _timers: dict[str, asyncio.Task] = field(default_factory=dict)
    _reader: asyncio.Task | None = None

    async def open(self, patience: float = PATIENCE) -> float | None:
        """Open the page; returns the seconds until it was complete, None if it never was."""
        self._connection = await connect(
            f"ws://127.0.0.1:{self.port}/_stcore/stream",
            subprotocols=["streamlit"],
            max_size=None,
            proxy=None,
        )
        self._reader = asyncio.create_task(self._read())
        return await self._ask(patience=patience)

    async def move_a_slider(self) -> float | None:
        """Change one setting; returns the seconds until the page had followed, None for no page."""
        kinds = (Slider, NumberInput) if self.types else Slider
        sliders = [w for w in self._widgets.values() if isinstance(w, kinds) and not w.disabled]
        if not sliders:
            self.errors.append("there was no slider on the page")
            return None
        return await self._ask(_moved(self.chance.choice(sliders), self.chance))

    async def start_a_run(self) -> float | None:
        """Press the page's primary button; returns as ``move_a_slider`` does."""
        button = next((i for i, w in self._widgets.items() if w == "primary"), None)
        if button is None:
            self.errors.append("there was no primary button on the page")
            return None
        return await self._ask(WidgetState(id=button, trigger_value=True))

    async def close(self) -> None:
        self._stop_timers()
        if self._connection:
            await self._connection.close()
        if self._reader:
            await self._reader

    async def _ask(
        self, changed: WidgetState | None = None, patience: float = PATIENCE
    ) -> float | None:
        self._answered.clear()
        self._begun = False
        self._asked = self._fragments.get(changed.id, "") if changed else ""
        began = time.perf_counter()
        try:
            await self._send(changed, self._asked)
            await asyncio.wait_for(self._answered.wait(), patience)
        except TimeoutError:
            self.errors.append(f"no answer within {patience:.0f} s")
            return None
        except ConnectionClosed as closed:
            self.errors.append(f"the connection was closed: {closed}")
            return None
        return time.perf_counter() - began

    async def _send(self, changed: WidgetState | None = None, fragment: str = "") -> None:
        message = BackMsg()
        state = message.rerun_script
        state.query_string, state.page_script_hash = self.query, self.page
        state.fragment_id, state.is_auto_rerun = fragment, bool(fragment) and changed is None
        state.context_info.timezone, state.context_info.locale = "UTC", "en"
        state.context_info.url = f"http://127.0.0.1:{self.port}/"
        state.context_info.color_scheme = "light"
        if changed is not None:
            state.widget_states.widgets.append(changed)
        await self._connection.send(message.SerializeToString())

    async def _read(self) -> None:
        with suppress(ConnectionClosed):
            async for data in self._connection:
                self.received += len(data)
                self._take(ForwardMsg.FromString(data))

    def _take(self, message: ForwardMsg) -> None:
        kind = message.WhichOneof("type")
        fragments = message.metadata.run.fragment_ids
        is_the_asked = self._asked in fragments if self._asked else not fragments
        if kind == "new_session":
            self._begun |= is_the_asked
            if not fragments:
                self.page = message.new_session.page_script_hash
                self._widgets.clear()
                self._fragments.clear()
                self._stop_timers()
        elif kind == "delta":
            self._see(message.delta.new_element, message.delta.fragment_id)
        elif kind == "page_info_changed":
            self.query = message.page_info_changed.query_string
            self.runs.update(parse_qs(self.query.removeprefix("?")).get("run", []))
        elif kind == "auto_rerun":
            rerun = message.auto_rerun
            self._again_and_again(rerun.fragment_id, rerun.interval)
        elif kind == "stop_auto_rerun":
            for fragment in message.stop_auto_rerun.fragment_ids:
                if timer := self._timers.pop(fragment, None):
                    timer.cancel()
        elif kind == "script_finished":
            if message.script_finished == ForwardMsg.FINISHED_WITH_COMPILE_ERROR:
                self.errors.append("the script could not be compiled")
            # A script that ends early runs again, and that is the end to wait for.
            ended = message.script_finished in (
                ForwardMsg.FINISHED_SUCCESSFULLY,
                ForwardMsg.FINISHED_FRAGMENT_RUN_SUCCESSFULLY,
            )
            if is_the_asked and self._begun and ended:
                self._answered.set()

    def _see(self, element: Any, fragment: str) -> None:
        kind = element.WhichOneof("type")
        if kind in ("slider", "number_input"):
            widget = getattr(element, kind)
            self._widgets[widget.id] = widget
            if fragment:
                self._fragments[widget.id] = fragment
        elif kind == "button" and not element.button.disabled:
            self._widgets[element.button.id] = element.button.type
        elif kind == "exception":
            self.errors.append(f"exception on the page: {element.exception.message[:200]}")
        elif kind == "alert" and element.alert.format == element.alert.ERROR:
            self.errors.append(f"error on the page: {element.alert.body[:200]}")

    def _again_and_again(self, fragment: str, interval: float) -> None:
        """As the browser does for a fragment that wants to be run every so often."""

        async def repeat() -> None:
            with suppress(ConnectionClosed):
                while True:
                    await asyncio.sleep(interval)
                    await self._send(fragment=fragment)

        if fragment not in self._timers:
            self._timers[fragment] = asyncio.create_task(repeat())

    def _stop_timers(self) -> None:
        for timer in self._timers.values():
            timer.cancel()
        self._timers.clear()


def _moved(widget: Slider | NumberInput, chance: random.Random) -> WidgetState:
    """A slider or a number field at another of its values."""
    state = WidgetState(id=widget.id)
    if isinstance(widget, Slider) and widget.options:
        state.string_array_value.data.append(chance.choice(list(widget.options)))
        return state
    steps = max(1, round((widget.max - widget.min) / (widget.step or 1)))
    value = widget.min + chance.randint(0, min(steps, 1000)) * (widget.step or 1)
    if isinstance(widget, Slider):
        state.double_array_value.data.append(value)
    else:
        state.double_value = value
    return state
