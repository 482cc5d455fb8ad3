"""hermes_green: a gateway between chat platforms and an AI agent."""

__version__ = "0.1.0"
