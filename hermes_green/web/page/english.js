// English: every sentence of the page.

export const ENGLISH = {
  "language.name": "English",
  "theme": "Dark or light",
  "views": "Views",
  "view.lab": "Simulated platforms", "view.chat": "Chat", "view.board": "Status", "view.dead": "Dead letters",
  "view.sessions": "Sessions", "view.events": "Events", "view.pairing": "Pairing",
  "connecting": "connecting…",
  "lost": "not connected to the gateway, trying again…",
  "unreachable": "the gateway cannot be reached",
  "pulse": "{ready} of {all} ready · version {version}",
  "answered": "the gateway answered {status}",
  "dismiss": "Dismiss",
  "cancel": "Cancel",
  "load": "Load again",
  "nothing": "Nothing here.",
  "newest": "The newest {count} are shown.",

  "chat.lines": "Messages", "chat.none": "No messages yet. Write the first one.", "chat.text": "Message",
  "chat.hint": "Write a message", "chat.send": "Send", "chat.sending": "sending…", "chat.failed": "not sent: {error}",
  "chat.again": "Try again",

  "lab.platform": "Platform", "lab.break": "Break it", "lab.faults": "Faults", "lab.lines": "What the user sees",
  "lab.chat": "Chat", "lab.hint": "Write as a user", "lab.clear": "Everything works again",
  "lab.note": "— links: {links} · messages sent: {sent} · protocol faults of ours: {violations}",
  "lab.growing": "being written…",
  "lab.changed": "changed {count} times",
  "lab.once": "changed once",
  "lab.gone": "taken back",
  "kind.dm": "direct chat", "kind.group": "group", "Kind.dm": "Direct chat", "Kind.group": "Group",

  "board.children": "Platforms",
  "board.none": "No platform is enabled: set `enabled: true` in one of the files in conf/.",
  "state.READY": "READY", "state.silent": "READY, silent", "state.STARTING": "STARTING", "state.WAITING": "WAITING",
  "state.STOPPING": "STOPPING", "state.STOPPED": "STOPPED", "state.HALTED": "HALTED", "state.FAILED": "FAILED",
  "state.IDLE": "IDLE",
  "child.since": "Since", "child.proof": "Last heard", "child.inbound": "Last message", "child.link": "Link up for",
  "child.dials": "Dials", "child.dials.of": "{used} of {limit} in {window}",
  "child.ago": "{span} ago", "child.never": "none yet", "child.silent": "not heard in time: the link may be dead",
  "child.todo": "What to do: {action}",
  "child.cooling": "cooling down until {time}", "child.losses": "links lost: {count}",
  "child.restarts": "restarts: {count}", "child.suspect": "suspect: the platform may have stopped routing to this bot",
  "verb.start": "Start", "verb.stop": "Stop", "verb.restart": "Restart",
  "verb.of": "{verb} {child}",
  "start.ask": "Start {child}? It dials its platform now, as far as its dial budget allows.",
  "stop.ask":
    "Stop {child}? Its link is closed and it stays stopped until it is started again. Replies that wait are kept.",
  "restart.ask":
    "Restart {child}? Its link is closed and dialled anew, which its dial budget must allow. Nothing that " +
    "waits is lost, no other platform notices.",
  "child.done": "{child} is now {state}. {why}",

  "total.inbox": "Waiting for an answer", "total.turns": "Answering now", "total.outbox": "Waiting for delivery",
  "total.oldest": "Oldest undelivered", "total.dead": "Dead letters", "total.lag": "Hub lag", "total.pid": "Process",
  "total.up": "Up since", "total.none": "none",

  "charts": "The last hour",
  "chart.lag": "Hub lag, worst of each minute", "chart.turn": "Time to answer", "chart.delivery": "Time to deliver",
  "chart.rate": "Throughput per minute", "chart.wait": "Queues",
  "series.lag": "lag", "series.p50": "half of them (p50)", "series.p95": "19 of 20 (p95)", "series.turns": "answers",
  "series.deliveries": "deliveries", "series.inbox": "to answer", "series.outbox": "to deliver",
  "chart.none": "Nothing measured yet; the first point comes after 10 s.",
  "chart.now": "{name} {now}, at most {most}", "chart.told": "{title}: {all}",

  "config": "Configuration",
  "config.reload": "Reload configuration",
  "config.about": "Applies what was changed in the files. A file with an error changes nothing.",
  "config.same": "Nothing has changed.", "config.changed": "Applied: {names}.",
  "config.restart": "Only a restart of the gateway applies: {names}.",
  "config.wrong": "The configuration as saved was not applied; what ran before goes on:",
  "config.partly": "Applied, but not everything could start:",

  "hooks": "Hooks", "hook.calls": "called: {count}", "hook.failed": "failed: {count}", "hook.late": "cut off: {count}",

  "dead.about": "Messages and replies that were given up. Retry puts one back into its queue; drop forgets it.",
  "dead.none": "No dead letters.", "dead.retry": "Retry", "dead.drop": "Drop",
  "dead.inbox": "message", "dead.outbox": "reply",
  "dead.retry.of": "Retry {id}", "dead.drop.of": "Drop {id}",
  "dead.retry.ask":
    "Put this {kind} back into its queue? A reply may reach the chat twice if it had arrived after all.",
  "dead.drop.ask": "Forget this {kind} for good? It cannot be brought back.",
  "dead.retry.done": "{id} is in its queue again.", "dead.drop.done": "{id} is forgotten.",

  "sessions.about": "What the agent remembers, one conversation each. Reset begins a conversation anew.",
  "sessions.none": "No sessions yet.", "sessions.show": "Show", "sessions.reset": "Reset", "sessions.hide": "Hide",
  "sessions.show.of": "Show {id}", "sessions.hide.of": "Hide {id}", "sessions.reset.of": "Reset {id}",
  "sessions.reset.ask": "Begin {id} anew? The agent forgets this conversation; the platform's own messages stay.",
  "sessions.reset.done": "{id} begins anew.",
  "sessions.facts": "messages: {count} · last {time}",
  "role.user": "User", "role.assistant": "Agent", "role.system": "System", "role.tool": "Tool",

  "events.about": "What happens, as it happens. The newest stand first; {bound} are kept.",
  "events.none": "Nothing has happened since the page was opened.",
  "events.pause": "Pause", "events.resume": "Go on", "events.held": "{count} more meanwhile", "events.clear": "Clear",

  "pairing.about":
    "Strangers who wrote to a bot and were told a code. Approve only a code that you were given by somebody " +
    "you know.",
  "pairing.waiting": "Waiting", "pairing.paired": "Let in", "pairing.none": "Nobody waits.",
  "pairing.nobody": "Nobody was let in by a code yet.",
  "pairing.approve": "Approve", "pairing.revoke": "Revoke",
  "pairing.approve.of": "Approve {name}", "pairing.revoke.of": "Revoke {name}",
  "pairing.approve.ask": "Let {name} ({user}) write to {child}?",
  "pairing.revoke.ask": "Let {name} ({user}) no longer write to {child}?",
  "pairing.approve.done": "{name} may write to {child}.",
  "pairing.revoke.done": "{name} may no longer write to {child}.",
  "pairing.until": "valid until {time}", "pairing.since": "since {time}",

  "login": "Token", "login.about": "This gateway asks for the token that stands in gateway.yaml under http.token.",
  "login.go": "Continue",
};
