"""Options: how settings are declared, and the keys that every platform's file has.

A group of settings is a frozen dataclass. The annotation of a field is its type (``str``,
``Secret``, ``int``, ``float``, ``bool``, ``list[str]``, ``Literal[...]``, ``X | None``, another such
dataclass, ``dict[str, Any]``), and ``key()`` gives its default and the sentence of help that errors
and documents print. The loader reads these declarations; adapters receive the values.
"""

from __future__ import annotations

from dataclasses import MISSING, dataclass, field, replace
from typing import Any, Callable, Literal


def key(
    default: Any = MISSING,
    *,
    help: str,
    factory: Any = MISSING,
    live: bool = False,
    minimum: float | None = None,
    maximum: float | None = None,
    url: tuple[str, ...] = (),
    masked: bool = False,
    check: Callable[[Any], str] | None = None,
) -> Any:
    """A settings field.

    No default and no factory: the user must set it (for a platform: once it is enabled).
    ``live``: a change applies without restarting anything. ``url``: the schemes allowed in an
    address ("" is always allowed where it is the default). ``masked``: its values may hold
    credentials and are not shown. ``check``: says what is wrong with a value, or "".
    """
    meta = {
        "help": help,
        "live": live,
        "minimum": minimum,
        "maximum": maximum,
        "url": url,
        "masked": masked,
        "check": check,
    }
    if factory is not MISSING:
        return field(default_factory=factory, metadata=meta)
    if default is not MISSING:
        return field(default=default, metadata=meta)
    return field(metadata=meta)


HTTP = ("http", "https")
SOCKET = ("ws", "wss")
PROXY = ("http", "socks5", "socks5h")

DmPolicy = Literal["pairing", "open", "allowlist", "closed"]
Threads = Literal["thread", "chat"]
Conversation = Literal["chat", "user"]


@dataclass(frozen=True, slots=True, kw_only=True)
class GroupAccess:
    """What one group does otherwise; null: as all do."""

    require_mention: bool | None = key(None, help="in this group, answer only when mentioned", live=True)
    threads: Threads | None = key(None, help="whether this group's threads are conversations of their own", live=True)
    session: Conversation | None = key(None, help="whose a conversation in this group is", live=True)
    users: list[str] | None = key(None, help="ids of those who may write in this group; null: all in it", live=True)


@dataclass(frozen=True, slots=True, kw_only=True)
class Access:
    """Who may talk to the agent."""

    dm: DmPolicy = key("pairing", help="who may write in direct chats", live=True)
    group: DmPolicy = key("allowlist", help="in which groups the bot answers", live=True)
    users: list[str] = key(factory=list, help="ids of users who may write", live=True)
    groups: list[str] = key(factory=list, help="ids of groups in which the bot answers", live=True)
    admins: list[str] = key(factory=list, help="ids of users who may use admin commands", live=True)
    require_mention: bool = key(True, help="in groups, answer only when mentioned", live=True)
    bots: bool = key(False, help="whether other bots are answered as people are; never without an end", live=True)
    threads: Threads = key("thread", help="a thread or topic: a conversation of its own, or its chat's", live=True)
    session: Conversation = key("chat", help="in groups: one conversation for all, or one for each user", live=True)
    overrides: dict[str, GroupAccess] = key(factory=dict, help="group id -> what is otherwise there", live=True)

    def within(self, chat: str) -> Access:
        """The rules of one chat: these, and over them what is otherwise there."""
        own = self.overrides.get(chat)
        if own is None:
            return self
        set_there = {name: getattr(own, name) for name in ("require_mention", "threads", "session")}
        return replace(self, **{name: value for name, value in set_there.items() if value is not None})


def _bad_budget(budget: list[list[float]]) -> str:
    for pair in budget or ():
        if len(pair) != 2 or pair[0] < 1 or pair[0] != int(pair[0]) or pair[1] <= 0:
            return f"{pair} is not a pair [dials, seconds]"
    return ""


@dataclass(frozen=True, slots=True, kw_only=True)
class PlatformOptions:
    """The keys that every ``<platform>.yaml`` has; a platform's ``Settings`` adds its own."""

    enabled: bool = key(False, help="true turns the platform on")
    accounts: dict[str, Any] = key(factory=dict, help="name -> overrides of this file's keys; one child each")
    api_base: str = key("", help="scheme, host and port for every HTTP call of the platform", url=HTTP)
    ws_base: str = key("", help="the socket's address, where the platform's answer shall not decide", url=SOCKET)
    ca_file: str = key("", help="PEM file of a private certificate authority")
    proxy: str = key("", help="http://host:port or socks5://host:port; NO_PROXY is honoured", url=PROXY)
    ping_interval: float | None = key(
        None, help="seconds between our heartbeats; null: the platform's own", minimum=0.05
    )
    ping_timeout: float | None = key(
        None, help="seconds until a heartbeat's answer is due; null: the platform's own", minimum=0.05
    )
    access: Access | None = key(None, help="overrides of gateway.yaml's access for this platform", live=True)
    dial_budget: list[list[float]] | None = key(
        None, help="[[dials, seconds], ...]; null: the platform's own", live=True, check=_bad_budget
    )
    streaming: Literal["auto", "off"] = key("auto", help="drafts (cards, edits) where the platform can", live=True)
