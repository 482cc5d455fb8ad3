"""What may stand in gateway.yaml, with every default; and Config, the whole configuration once read."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, Union

from hermes_green.core.model import Secret
from hermes_green.core.options import HTTP, Access, PlatformOptions, key
from hermes_green.settings.sound import (
    bad_directory,
    bad_headers,
    bad_hook,
    bad_host,
    bad_key,
    bad_program,
    bad_target,
    bad_time,
    bad_token,
)

Isolation = Literal["process", "thread", "greenlet"]

HookEvent = Literal[
    "gateway:startup",
    "gateway:shutdown",
    "adapter:ready",
    "adapter:lost",
    "adapter:halted",
    "session:start",
    "session:reset",
    "message:received",
    "message:reaction",
    "command:*",
    "agent:start",
    "agent:end",
    "agent:error",
    "delivery:dead",
]


@dataclass(frozen=True, slots=True, kw_only=True)
class Http:
    """The gateway's own web server."""

    host: str = key(
        "127.0.0.1",
        help="address to listen on; anything but loopback needs http.token",
        check=bad_host,
    )
    port: int = key(8787, help="port to listen on; 0 picks a free one", minimum=0, maximum=65535)
    token: Secret = key(
        Secret(""), help="bearer token that requests must carry; needed when host is not loopback", check=bad_token
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Log:
    """What is logged, and where."""

    level: Literal["DEBUG", "INFO", "WARNING", "ERROR"] = key("INFO", help="least level that is logged", live=True)
    format: Literal["text", "json"] = key("text", help="text for people, json for machines")
    file: str = key("", help='log file; "" logs to standard error only')
    max_mb: float = key(20, help="size in MB at which the file is rotated", minimum=0.001)
    keep: int = key(5, help="how many rotated files are kept", minimum=0)


@dataclass(frozen=True, slots=True, kw_only=True)
class EchoAgent:
    """Answers with what it was told."""

    type: Literal["echo"] = key("echo", help="which agent answers")
    pace: float = key(0, help="seconds between two words; 0 answers at once", minimum=0)


@dataclass(frozen=True, slots=True, kw_only=True)
class OpenaiAgent:
    """Any endpoint that speaks the OpenAI chat protocol."""

    type: Literal["openai"] = key(help="which agent answers")
    base_url: str = key(help="address up to and including /v1", url=HTTP)
    api_key: Secret = key(Secret(""), help="bearer key; empty sends none", check=bad_key)
    model: str = key(help="the model's name as the endpoint knows it")
    system_prompt: str = key("", help="first message of every conversation; file:prompt.txt reads a file")
    history_turns: int = key(20, help="how many earlier exchanges are sent along", minimum=0)
    timeout: float = key(600, help="seconds for the whole answer", minimum=0.05)
    connect_timeout: float = key(10, help="seconds until the connection stands", minimum=0.05)
    first_byte_timeout: float = key(120, help="seconds until the answer begins", minimum=0.05)
    chunk_timeout: float = key(60, help="seconds between two pieces of the answer", minimum=0.05)
    headers: dict[str, str] = key(factory=dict, help="headers sent with every request", masked=True, check=bad_headers)
    session: Literal["local", "hermes"] = key("local", help="who keeps the conversation: the gateway or the endpoint")
    stream: bool = key(True, help="ask for the answer piece by piece")


@dataclass(frozen=True, slots=True, kw_only=True)
class PythonAgent:
    """A Python callable of yours."""

    type: Literal["python"] = key(help="which agent answers")
    target: str = key(help='the callable, as "package.module:function"', check=bad_target)
    isolation: Isolation = key("process", help="where it runs; only a process cannot delay anything else")
    workers: int = key(4, help="how many processes", minimum=1)
    worker_max_rss_mb: float = key(512, help="memory in MB that ends a worker and its turn; 0: none", minimum=0)
    max_turns_per_worker: int = key(200, help="turns after which a worker is replaced", minimum=1)
    timeout: float = key(600, help="seconds for the whole answer", minimum=0.05)


@dataclass(frozen=True, slots=True, kw_only=True)
class CommandAgent:
    """A program: the turn as JSON on its input, the answer on its output."""

    type: Literal["command"] = key(help="which agent answers")
    argv: list[str] = key(help="the program and its arguments", check=bad_program)
    timeout: float = key(600, help="seconds for the whole answer", minimum=0.05)


@dataclass(frozen=True, slots=True, kw_only=True)
class OtherAgent:
    """An agent that another package brings; its options are its own."""

    type: str = key(help="the name under which a package offers it (entry-point group hermes_green.agents)")
    options: dict[str, Any] = key(factory=dict, help="handed to the agent as they are", masked=True)


AgentOptions = Union[EchoAgent, OpenaiAgent, PythonAgent, CommandAgent, OtherAgent]
MaybeAgent = Union[EchoAgent, OpenaiAgent, PythonAgent, CommandAgent, OtherAgent, None]
AGENTS: dict[str, type] = {
    "echo": EchoAgent,
    "openai": OpenaiAgent,
    "python": PythonAgent,
    "command": CommandAgent,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Route:
    """Which agent answers where; the first route whose given selectors all match decides."""

    child: str = key("", help="a child's id, such as web; empty: any")
    chat: str = key("", help="a chat's id; empty: any")
    user: str = key("", help="a user's id; empty: any")
    prefix: str = key("", help="how the message begins; empty: any")
    agent: MaybeAgent = key(None, help="the agent that answers here; null: gateway.yaml's agent")
    fallback: MaybeAgent = key(None, help="asked where this route's own agent fails before it has said anything")
    system_prompt: str = key("", help='in place of the agent\'s own; "" leaves that')


@dataclass(frozen=True, slots=True, kw_only=True)
class Turns:
    """How messages become calls of the agent."""

    busy_input_mode: Literal["queue", "merge", "interrupt", "steer"] = key(
        "queue", help="what happens to a message that comes while the agent works", live=True
    )
    max_parallel: int = key(256, help="turns at a time, over all sessions", minimum=1, live=True)
    queue_per_session: int = key(32, help="messages that may wait in one session", minimum=1, live=True)
    timeout: float = key(600, help="seconds for a turn", minimum=0.05, live=True)
    on_crash: Literal["rerun", "notify", "drop"] = key("rerun", help="what becomes of a turn cut by a crash", live=True)
    poison_limit: int = key(3, help="crashes after which a message is given up", minimum=1, live=True)
    merge_window: float = key(
        0, help="seconds without another message before a turn begins; those become one turn", minimum=0, live=True
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Reset:
    """When a conversation begins anew by itself."""

    reset: Literal["none", "idle", "daily"] = key(
        "none", help="when conversations begin anew by themselves", live=True
    )
    idle_minutes: float = key(1440, help="with reset: idle, minutes without a message", minimum=0.01, live=True)
    daily_at: str = key("04:00", help="with reset: daily, the local time of day", check=bad_time, live=True)


@dataclass(frozen=True, slots=True, kw_only=True)
class Sessions:
    """How long a conversation lasts, and how much of it an agent is given."""

    dm: Reset = key(Reset(), help="conversations in direct chats", live=True)
    group: Reset = key(Reset(), help="conversations in groups and channels", live=True)
    chats: dict[str, Reset] = key(factory=dict, help="chat id -> what holds there instead", live=True)
    history_tokens: int = key(
        0, help="most tokens of history sent along, roughly counted; 0: any number", minimum=0, live=True
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Limit:
    """How much may be asked; 0: no limit."""

    messages_per_minute: int = key(0, help="messages in a minute, commands included; 0: any", minimum=0, live=True)
    turns_per_day: int = key(0, help="messages for the agent in a day; 0: any", minimum=0, live=True)
    tokens_per_day: int = key(0, help="tokens in a day, as the agent reports them; 0: any", minimum=0, live=True)


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """How much one user, and all users of one chat, may ask."""

    user: Limit = key(Limit(), help="one user of a platform, in all chats together", live=True)
    chat: Limit = key(Limit(), help="one chat, all its users together", live=True)


@dataclass(frozen=True, slots=True, kw_only=True)
class Supervisor:
    """How children are kept alive."""

    backoff_min: float = key(
        1, help="most seconds before the first reconnect; twice as many after each failure", minimum=0, live=True
    )
    backoff_max: float = key(60, help="most seconds between reconnects", minimum=0, live=True)
    healthy_after: float = key(30, help="seconds after which a link counts as healthy", minimum=0, live=True)
    crashes: int = key(5, help="crashes within crash_window after which a child has FAILED", minimum=1, live=True)
    crash_window: float = key(300, help="seconds over which crashes are counted", minimum=0, live=True)
    escalate_after: int = key(30, help="failed dials in a row before a fresh process tries", minimum=1, live=True)
    drain_seconds: float = key(25, help="seconds for running turns when stopping", minimum=0, live=True)
    lock_wait: float = key(10, help="seconds to wait for another gateway's lock", minimum=0, live=True)
    stall_warn: float = key(0.25, help="seconds of a blocked hub that are logged with a stack", minimum=0, live=True)
    stall_kill: float = key(30, help="seconds of a blocked hub that end the process; 0: never", minimum=0, live=True)
    max_rss_mb: float = key(
        0, help="memory in MB above which the gateway drains and asks for a restart; 0: none", minimum=0, live=True
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Delivery:
    """How replies reach the platforms."""

    max_age: float = key(86400, help="seconds after which an inbound message is marked stale", minimum=0, live=True)
    give_up_after: float = key(14400, help="seconds after which a reply becomes a dead letter", minimum=0, live=True)
    on_unknown: Literal["resend", "hold"] = key(
        "resend", help="what to do when a send may or may not have arrived", live=True
    )
    dedup_days: float = key(8, help="days for which message ids are remembered", minimum=0, live=True)


@dataclass(frozen=True, slots=True, kw_only=True)
class RetentionOptions:
    """How long what is finished is kept."""

    inbox_days: float = key(8, help="days for which answered messages are kept", minimum=0, live=True)
    outbox_days: float = key(8, help="days for which delivered replies are kept", minimum=0, live=True)
    history_turns: int = key(200, help="exchanges kept per session", minimum=0, live=True)
    dead_days: float = key(90, help="days for which dead letters are kept", minimum=0, live=True)
    media_days: float = key(7, help="days for which media files are kept", minimum=0, live=True)


@dataclass(frozen=True, slots=True, kw_only=True)
class Audit:
    """What an audit tells."""

    contents: bool = key(False, help="tell what was said too, not only who asked what kind of thing when", live=True)


@dataclass(frozen=True, slots=True, kw_only=True)
class Hook:
    """Something of yours that is called when something happens."""

    event: HookEvent = key(help="when it is called")
    run: str | list[str] = key(help='"package.module:function", or a program and its arguments', check=bad_hook)
    timeout: float = key(5, help="seconds after which it is given up", minimum=0.05)
    isolation: Isolation = key("process", help="where a Python callable runs")
    name: str = key("", help="what it is called in the log; empty: what it runs")


@dataclass(frozen=True, slots=True, kw_only=True)
class Gateway:
    """gateway.yaml as it stands."""

    data_dir: str = key(
        "var",
        help="where the gateway keeps its data; relative to the configuration directory's parent",
        check=bad_directory,
    )
    locale: Literal["en", "zh"] = key("en", help="language of the gateway's own sentences", live=True)
    http: Http = key(Http(), help="the gateway's own web server")
    log: Log = key(Log(), help="what is logged, and where")
    agent: AgentOptions = key(EchoAgent(), help="who answers", live=True)
    fallback: MaybeAgent = key(None, help="asked where agent fails before it has said anything", live=True)
    routes: list[Route] = key(factory=list, help="other agents for some chats", live=True)
    turns: Turns = key(Turns(), help="how messages become calls of the agent", live=True)
    access: Access = key(Access(), help="who may talk to the agent", live=True)
    sessions: Sessions = key(Sessions(), help="when conversations begin anew, and what agents are given", live=True)
    limits: Limits = key(Limits(), help="how much one user and one chat may ask", live=True)
    supervisor: Supervisor = key(Supervisor(), help="how children are kept alive", live=True)
    delivery: Delivery = key(Delivery(), help="how replies reach the platforms", live=True)
    retention: RetentionOptions = key(RetentionOptions(), help="how long what is finished is kept", live=True)
    audit: Audit = key(Audit(), help="what hermes-green audit tells", live=True)
    hooks: list[Hook] = key(factory=list, help="what is called when something happens", live=True)
    hooks_dir: str = key(
        "hooks", help="a directory of hooks, each <name>/HOOK.yaml with handler.py; relative as data_dir is", live=True
    )
    watch: bool = key(True, help="apply a file of the configuration when it is saved", live=True)


@dataclass(frozen=True, slots=True)
class ChildConfig:
    """One enabled bot. ``id`` is the platform's name, or ``platform/account``; ``account`` is ""
    for the one child of a file without accounts. ``options.access`` is always whole: the
    platform's overrides laid over gateway.yaml's."""

    id: str
    platform: str
    account: str
    options: PlatformOptions


@dataclass(frozen=True, slots=True)
class Outline:
    """As much of the configuration as it takes to find a running gateway or its data."""

    conf_dir: Path
    data_dir: Path
    http: Http
    audit: Audit = Audit()


@dataclass(frozen=True, slots=True, kw_only=True)
class Config:
    """The whole configuration, valid. ``files`` is a digest of its files, for whoever notices changes;
    ``notes`` are sentences about what was left out."""

    conf_dir: Path
    data_dir: Path
    locale: Literal["en", "zh"]
    http: Http
    log: Log
    agent: AgentOptions
    fallback: MaybeAgent
    routes: tuple[Route, ...]
    turns: Turns
    access: Access
    sessions: Sessions
    limits: Limits
    supervisor: Supervisor
    delivery: Delivery
    retention: RetentionOptions
    audit: Audit
    hooks: tuple[Hook, ...]
    hooks_dir: str
    watch: bool
    children: tuple[ChildConfig, ...]
    files: str = ""
    notes: tuple[str, ...] = ()
