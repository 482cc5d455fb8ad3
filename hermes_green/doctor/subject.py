"""Subject: the gateway that is looked at: its configuration as far as it can be read, and where its data lies."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from hermes_green.blueprint import credentials, hide_secrets, load_config, sentences
from hermes_green.core.errors import ConfError
from hermes_green.doctor.finding import Finding
from hermes_green.ops.lock import state_dir
from hermes_green.settings.load import load_outline
from hermes_green.settings.schema import AgentOptions, Config, Outline

MEND = "mend it; hermes-green check shows it again"


@dataclass(frozen=True, slots=True)
class Subject:
    """``config`` and ``outline`` are None as far as the files are broken; ``findings``: what reading them said."""

    conf_dir: Path
    state_dir: Path
    config: Config | None = None
    outline: Outline | None = None
    findings: list[Finding] = field(default_factory=list)

    @classmethod
    def of(cls, conf_dir: Path) -> Subject:
        """Read what can be read."""
        findings: list[Finding] = []
        outline = None
        try:
            outline = load_outline(conf_dir)
        except ConfError:
            pass  # said in full below
        try:
            config = load_config(conf_dir)
            hide_secrets(config)
            credentials(config.children)
        except ConfError as error:
            wrong = [Finding("configuration", "wrong", text, error.action or MEND) for text in sentences(error)]
            return cls(conf_dir, state_dir(), None, outline, wrong)
        names = ", ".join(child.id for child in config.children) or "no platform"
        findings.append(Finding("configuration", "ok", f"valid; enabled: {names}"))
        findings += [Finding("configuration", "note", note) for note in config.notes]
        return cls(conf_dir, state_dir(), config, outline, findings)

    @property
    def home(self) -> Path:
        """What relative names in the configuration start from."""
        return self.conf_dir.resolve().parent


def agents(config: Config) -> list[AgentOptions]:
    """Every agent that may be asked, each once."""
    found: list[AgentOptions] = []
    fallback = getattr(config, "fallback", None)
    for agent in (config.agent, *(route.agent for route in config.routes), fallback):
        if agent is not None and agent not in found:
            found.append(agent)
    return found
