"""Code: what a vendor's error number means for us, in words and in policy."""

from __future__ import annotations

from dataclasses import dataclass

from hermes_green.core.errors import HermesError, SendRetry, Throttled


@dataclass(frozen=True, slots=True)
class Help:
    """What people are told of a code beside its ``Code``: sentence and remedy in Chinese, and the English
    remedy where the code itself, which goes with every error, has none."""

    zh: str
    zh_action: str
    action: str = ""


@dataclass(frozen=True, slots=True)
class Code:
    """One entry of a platform's table of error codes.

    error: the class to raise. text: what happened. action: how to mend it, naming the key or the
    page. after (seconds) and scope: for the classes that carry a wait.
    """

    error: type[HermesError]
    text: str
    action: str = ""
    after: float = 0.0
    scope: str = "chat"

    def build(self, code: int | str, detail: str = "", after: float | None = None) -> HermesError:
        """The error to raise for an answer that carried ``code``."""
        said = f"{self.text} ({code})" + (f": {detail}" if detail else "")
        wait = self.after if after is None else after
        if issubclass(self.error, SendRetry):
            return self.error(said, after=wait, scope=self.scope, code=str(code), action=self.action)
        if issubclass(self.error, Throttled):
            return self.error(said, after=wait, code=str(code), action=self.action)
        return self.error(said, code=str(code), action=self.action)
