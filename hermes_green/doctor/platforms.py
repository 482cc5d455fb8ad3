"""The platforms: whether each knows its bot, and what the bot lacks there; asked without a dial."""

from __future__ import annotations

from functools import partial
from typing import Iterator

from hermes_green.adapters import registry
from hermes_green.core.checkup import Tried
from hermes_green.core.errors import HermesError, Throttled
from hermes_green.doctor.finding import Check, Finding
from hermes_green.doctor.subject import Subject
from hermes_green.runtime.words import Reason, Words
from hermes_green.settings.schema import ChildConfig


def checks(subject: Subject) -> list[Check]:
    """One for each bot whose platform can be asked."""
    if subject.config is None:
        return []
    locale = subject.config.locale
    return [
        Check(f"credentials {child.id}", partial(_try, child, locale))
        for child in subject.config.children
        if hasattr(registry.package(child.platform), "try_credentials")
    ]


def _try(child: ChildConfig, locale: str) -> Iterator[Finding]:
    package, name = registry.package(child.platform), f"credentials {child.id}"
    try:
        tried: Tried = package.try_credentials(child.options)
    except Throttled as error:
        yield Finding(name, "note", f"the platform asks to wait {error.after:.0f} s: {error}", "ask again then")
        return
    except HermesError as error:
        words = Words(getattr(package, "HELP", {}), lambda: locale)
        reason = words(Reason(error.code, error.text, error.action))
        yield Finding(name, "wrong", reason.text, reason.action)
        return
    for text in tried.lacking:
        what, _, where = text.partition(": ")
        yield Finding(name, "wrong", what, where)
    if tried.who and not tried.lacking:
        yield Finding(name, "ok", f"accepted as {tried.who}")
    for note in tried.notes:
        yield Finding(name, "note", note)
