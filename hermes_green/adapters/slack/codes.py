"""What Slack's error names mean, read from ``codes.txt``; and which of them ask for more than their policy.

Names and meanings: docs.slack.dev/reference/methods (chat.postMessage, chat.update, auth.test,
apps.connections.open, conversations.history, files.getUploadURLExternal, files.completeUploadExternal).
"""

from __future__ import annotations

from pathlib import Path

from hermes_green.core.codes import table_of

TABLE = table_of(Path(__file__).with_name("codes.txt").read_text("utf-8"))
CODES, HELP = TABLE.sections["codes"], TABLE.help
# Why Slack ends a link for good. Every other reason ("warning", "refresh_requested") is the routine
# of its containers: a successor is dialled while this link still delivers.
ENDINGS = TABLE.sections["endings"]
APP_TOKEN, BOT_TOKEN = TABLE.remedies["app_token"], TABLE.remedies["bot_token"]

# The thread is gone, or the channel takes none: the same text is sent beside it.
LOST_THREAD = frozenset({"thread_not_found", "invalid_thread_ts", "restricted_action_non_threadable_channel"})
RATES = frozenset({"ratelimited", "rate_limited", "message_limit_exceeded"})
