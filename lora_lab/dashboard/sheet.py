"""One page's settings, said once: the list drives the form, the address and the presets."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from lora_lab.dashboard.kinds import Setting

Values = dict[str, Any]


@dataclass(frozen=True)
class Preset:
    """A named set of values; what it does not name is at its default."""

    name: str
    values: Mapping[str, Any] = field(default_factory=dict, hash=False)


@dataclass(frozen=True)
class Problem:
    """Something in an address that was not used. ``setting`` is None for an unknown name."""

    name: str
    text: str
    setting: Setting | None


@dataclass(frozen=True)
class Sheet:
    """The settings of one page.

    Attributes:
        name: the page's, and of its file of texts.
        lead: the setting on which defaults of others depend; empty if none does.
    """

    name: str
    settings: tuple[Setting, ...]
    presets: tuple[Preset, ...] = ()
    lead: str = ""

    def __getitem__(self, name: str) -> Setting:
        return next(setting for setting in self.settings if setting.name == name)

    @property
    def names(self) -> tuple[str, ...]:
        return tuple(setting.name for setting in self.settings)

    def defaults(self, lead_value: str | None = None) -> Values:
        if self.lead and lead_value is None:
            lead_value = self[self.lead].default
        values = {s.name: s.default_for(lead_value) for s in self.settings}
        return values | {self.lead: lead_value} if self.lead else values

    def preset_values(self, preset: Preset) -> Values:
        return self.defaults(preset.values.get(self.lead)) | dict(preset.values)

    def changed(self, values: Values, name: str, value: Any) -> Values:
        """The values with one of them changed; a new lead brings the defaults that suit it."""
        new = values | {name: value}
        if name == self.lead:
            new |= {s.name: s.default_for(value) for s in self.settings if s.by_lead}
        return new

    def that_matter(self, values: Values) -> list[Setting]:
        """The settings that mean something beside the leading one's value."""
        lead_value = values.get(self.lead)
        return [setting for setting in self.settings if setting.matters_for(lead_value)]

    def read_address(self, parameters: Mapping[str, str]) -> tuple[Values, list[Problem]]:
        """Values from an address, and what in it could not be used."""
        given, problems = {}, []
        for setting in self.settings:
            if setting.name in parameters:
                try:
                    given[setting.name] = setting.read(parameters[setting.name])
                except (ValueError, OverflowError):
                    problems.append(Problem(setting.name, parameters[setting.name], setting))
        unknown = ((n, text) for n, text in parameters.items() if n not in self.names)
        problems += [Problem(name, text, None) for name, text in unknown]
        return self.defaults(given.get(self.lead)) | given, problems

    def write_address(self, values: Values) -> dict[str, str]:
        """The shortest address that ``read_address`` turns into ``values``."""
        usual = self.defaults(values.get(self.lead))
        if self.lead:
            usual[self.lead] = self[self.lead].default
        return {
            s.name: s.write(values[s.name])
            for s in self.settings
            if values[s.name] != usual[s.name]
        }
