"""CODES: what Slack's error names mean for us, and what people can do about them.

Names and meanings: docs.slack.dev/reference/methods (chat.postMessage, chat.update, auth.test,
apps.connections.open, conversations.history, files.getUploadURLExternal, files.completeUploadExternal).
Reasons of a ``disconnect`` frame stand in ``wire``.
"""

from __future__ import annotations

from types import MappingProxyType
from typing import Mapping

from hermes_green.core.codes import Code
from hermes_green.core.errors import AuthRejected, SendRefused, SendRetry, SendUnknown

APP_TOKEN = (
    "Check app_token in slack.yaml: an app-level token (xapp-) with the scope connections:write, from "
    "api.slack.com/apps > Basic Information > App-Level Tokens."
)
BOT_TOKEN = (
    "Check bot_token in slack.yaml: the bot token (xoxb-) from api.slack.com/apps > OAuth & Permissions, "
    "of an app that is installed in the workspace."
)
_TOKENS = "Check bot_token and app_token in slack.yaml against api.slack.com/apps."
_INVITE = "Invite the bot into the channel: /invite @bot."
_SCOPE = "Add the scope on api.slack.com/apps > OAuth & Permissions, and install the app into the workspace again."
_ADMIN = "Ask the workspace's administrators to let the app post there."
_BUG = "This is a fault of the gateway program: please report it with the log."

# The thread is gone, or the channel takes none: the same text is sent beside it.
LOST_THREAD = frozenset({"thread_not_found", "invalid_thread_ts", "restricted_action_non_threadable_channel"})
RATES = frozenset({"ratelimited", "rate_limited", "message_limit_exceeded"})

_FAST = Code(SendRetry, "Slack takes no more messages for now", after=1.0)
_POLICY = Code(SendRefused, "a policy of the workspace forbids this message", _ADMIN)
_THREAD = Code(SendRefused, "the thread cannot be answered in")
_MOVING = Code(SendRetry, "the workspace is being migrated", after=60.0, scope="account")
_FAILED = Code(SendUnknown, "Slack had an error of its own")
_METADATA = Code(SendRefused, "Slack refused the message's metadata", _BUG)

CODES: Mapping[int | str, Code] = MappingProxyType(
    {
        # tokens
        "invalid_auth": Code(AuthRejected, "the token is not valid, or not from this address", _TOKENS),
        "not_authed": Code(AuthRejected, "no token was given", _TOKENS),
        "account_inactive": Code(AuthRejected, "the token's bot or workspace was deleted", _TOKENS),
        "token_revoked": Code(AuthRejected, "the token was revoked, or the app removed", _TOKENS),
        "token_expired": Code(
            AuthRejected,
            "the token has expired",
            "Turn token rotation off on api.slack.com/apps > OAuth & Permissions, and set bot_token in slack.yaml.",
        ),
        "not_allowed_token_type": Code(AuthRejected, "a token of the wrong kind", _TOKENS),
        # pace, and what passes by itself
        **{name: _FAST for name in RATES},
        "request_timeout": Code(SendRetry, "the request reached Slack in part", after=1.0),
        "team_added_to_org": _MOVING,
        "org_login_required": _MOVING,
        "fatal_error": _FAILED,
        "internal_error": _FAILED,
        "service_unavailable": _FAILED,
        # where to
        "channel_not_found": Code(SendRefused, "there is no such chat, or the bot may not see it", _INVITE),
        "not_in_channel": Code(SendRefused, "the bot is not in this channel", _INVITE),
        "is_archived": Code(SendRefused, "the channel is archived"),
        "user_not_found": Code(SendRefused, "there is no such user"),
        "user_disabled": Code(SendRefused, "the user's account is disabled"),
        "cannot_dm_bot": Code(SendRefused, "bots cannot write to bots directly"),
        "messages_tab_disabled": Code(
            SendRefused,
            "the app takes no direct messages",
            "Turn on the Messages Tab on api.slack.com/apps > App Home.",
        ),
        "thread_not_found": _THREAD,
        "invalid_thread_ts": _THREAD,
        "restricted_action_non_threadable_channel": _THREAD,
        "restricted_action_thread_locked": _THREAD,
        # may we
        "missing_scope": Code(SendRefused, "the app lacks a scope", _SCOPE),
        "no_permission": Code(SendRefused, "the bot may not do this here", _INVITE),
        "access_denied": _POLICY,
        "ekm_access_denied": _POLICY,
        "restricted_action": _POLICY,
        "restricted_action_read_only_channel": _POLICY,
        "restricted_action_thread_only_channel": _POLICY,
        "team_access_not_granted": Code(SendRefused, "the app is not installed in that workspace", _SCOPE),
        # what
        "no_text": Code(SendRefused, "Slack takes no empty message"),
        "msg_too_long": Code(SendRefused, "the message is too long"),
        "msg_blocks_too_long": Code(SendRefused, "the message is too long"),
        "invalid_blocks": Code(SendRefused, "Slack refused the message's blocks", _BUG),
        "invalid_arguments": Code(SendRefused, "Slack refused the request's arguments", _BUG),
        "invalid_metadata_format": _METADATA,
        "invalid_metadata_schema": _METADATA,
        "metadata_too_large": _METADATA,
        # edits
        "message_not_found": Code(SendRefused, "the message to edit is gone"),
        "cant_update_message": Code(SendRefused, "the message is not the bot's to edit"),
        "cant_delete_message": Code(SendRefused, "the message is not the bot's to delete"),
        "edit_window_closed": Code(SendRefused, "the workspace's time for edits is over"),
        # files
        "file_not_found": Code(SendRefused, "the uploaded file is gone"),
        "file_upload_size_restricted": Code(SendRefused, "the file is larger than the workspace allows"),
        "storage_limit_reached": Code(
            SendRefused, "the workspace's storage is full", "Delete files in the workspace, or extend its plan."
        ),
    }
)
