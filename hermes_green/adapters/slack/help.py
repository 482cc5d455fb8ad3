"""HELP: what people are told of Slack's error names, in Chinese, and what to do where ``codes`` says nothing."""

from __future__ import annotations

from types import MappingProxyType
from typing import Mapping

from hermes_green.core.codes import Help

_TOKENS = "请对照 api.slack.com/apps，检查 slack.yaml 的 bot_token 和 app_token。"
_INVITE = "请把机器人邀请进频道：/invite @机器人。"
_SCOPE = "请在 api.slack.com/apps 的 OAuth & Permissions 添加该权限，并把应用重新安装到工作区。"
_ADMIN = "请工作区管理员允许该应用在那里发言。"
_BUG = "这是网关程序的缺陷：请附日志反馈。"
_FAST = Help("Slack 暂不接受更多消息", "无需处理：网关会等待后自动重发。", "Nothing to do: the gateway waits as long as Slack asks.")
_MOVING = Help("工作区正在迁移", "无需处理：网关会自动重试。", "Nothing to do: it is tried again.")
_FAILED = Help("Slack 内部错误", "无需处理：网关会查证消息是否已送达。", "Nothing to do: the gateway looks whether the message has arrived.")
_THREAD = Help("无法在该主题中回复", "无需处理：内容会发在频道里。", "Nothing to do: the text is sent beside the thread.")
_POLICY = Help("工作区策略禁止该消息", _ADMIN)
_LONG = Help("消息过长", "请让智能体回答得更短。", "Let the agent answer more briefly.")
_METADATA = Help("Slack 拒绝了消息的元数据", _BUG)

HELP: Mapping[int | str, Help] = MappingProxyType(
    {
        "invalid_auth": Help("token 无效，或不允许从本机地址使用", _TOKENS),
        "not_authed": Help("没有提供 token", _TOKENS),
        "account_inactive": Help("token 所属的机器人或工作区已删除", _TOKENS),
        "token_revoked": Help("token 已吊销，或应用已移除", _TOKENS),
        "token_expired": Help(
            "token 已过期", "请在 api.slack.com/apps 的 OAuth & Permissions 关闭 token 轮换，并设置 slack.yaml 的 bot_token。"
        ),
        "not_allowed_token_type": Help("token 类型不对", _TOKENS),
        **{name: _FAST for name in ("ratelimited", "rate_limited", "message_limit_exceeded")},
        "request_timeout": Help("请求只到达了一部分", _FAST.zh_action, "Nothing to do: it is sent again."),
        "team_added_to_org": _MOVING,
        "org_login_required": _MOVING,
        **{name: _FAILED for name in ("fatal_error", "internal_error", "service_unavailable")},
        "channel_not_found": Help("没有该会话，或机器人看不到它", _INVITE),
        "not_in_channel": Help("机器人不在该频道中", _INVITE),
        "is_archived": Help("频道已归档", "请取消归档，或换一个频道。", "Unarchive the channel, or use another one."),
        "user_not_found": Help("没有该用户", "请检查用户 ID。", "Check the user's id."),
        "user_disabled": Help("用户账号已停用", "无法再发送。", "Nothing can be sent there any more."),
        "cannot_dm_bot": Help("机器人之间不能私聊", "请选择真人用户。", "Write to a person."),
        "messages_tab_disabled": Help("应用不接受私聊", "请在 api.slack.com/apps 的 App Home 打开 Messages Tab。"),
        "thread_not_found": _THREAD,
        "invalid_thread_ts": _THREAD,
        "restricted_action_non_threadable_channel": _THREAD,
        "restricted_action_thread_locked": _THREAD,
        "missing_scope": Help("应用缺少权限", _SCOPE),
        "no_permission": Help("机器人在此没有权限", _INVITE),
        "access_denied": _POLICY,
        "ekm_access_denied": _POLICY,
        "restricted_action": _POLICY,
        "restricted_action_read_only_channel": _POLICY,
        "restricted_action_thread_only_channel": _POLICY,
        "team_access_not_granted": Help("应用未安装到该工作区", _SCOPE),
        "no_text": Help("Slack 不接受空消息", "请检查智能体的回答。", "Look at what the agent answers."),
        "msg_too_long": _LONG,
        "msg_blocks_too_long": _LONG,
        "invalid_blocks": Help("Slack 拒绝了消息的内容块", _BUG),
        "invalid_arguments": Help("Slack 拒绝了请求参数", _BUG),
        "invalid_metadata_format": _METADATA,
        "invalid_metadata_schema": _METADATA,
        "metadata_too_large": _METADATA,
        "message_not_found": Help("要修改的消息已不存在", "无需处理：回答会另行发送。", "Nothing to do: the answer is sent anew."),
        "cant_update_message": Help("该消息不归机器人修改", "无需处理：回答会另行发送。", "Nothing to do: the answer is sent anew."),
        "cant_delete_message": Help("该消息不归机器人删除", "请手动删除。", "Delete it by hand."),
        "edit_window_closed": Help("工作区允许修改的时间已过", "无需处理：回答会另行发送。", "Nothing to do: the answer is sent anew."),
        "file_not_found": Help("上传的文件已不存在", "请让智能体重新给出文件。", "Let the agent give the file again."),
        "file_upload_size_restricted": Help("文件超出工作区允许的大小", "请发送更小的文件。", "Send a smaller file."),
        "storage_limit_reached": Help("工作区存储已满", "请删除工作区中的文件，或升级套餐。"),
        # Why a connection was ended
        "link_disabled": Help("应用的 Socket Mode 已关闭", "请在 api.slack.com/apps 的 Socket Mode 打开它。"),
        "too_many_websockets": Help("应用的连接过多", "请停止使用同一 app_token 的其他程序。"),
    }
)
