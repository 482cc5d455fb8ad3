"""HELP: what people are told of the platform's numbers, in Chinese, and what to do where ``codes`` says nothing."""

from __future__ import annotations

from types import MappingProxyType
from typing import Mapping

from hermes_green.core.codes import Help

_WAITS = "无需处理：网关会等待后自动重发。"
_WAITS_EN = "Nothing to do: the gateway waits and sends it again."
_KEYS = "请对照开发者后台“凭证与基础信息”，检查 feishu.yaml 的 app_id 和 app_secret。"
_SCOPE = "请在开发者后台“权限管理”为应用开通所缺权限，并发布新版本。"
_RANGE = "请在开发者后台扩大应用的可用范围。"
_SPEAK = "请让群主或管理员允许机器人在该群发言。"
_SPEAK_EN = "Ask the chat's owner or administrators to let the bot speak there."
_AUDIT = "请修改内容；未通过审核的消息不会重发。"
_AUDIT_EN = "Change the text; what did not pass the audit is not sent again."
_ANEW = "无需处理：内容会作为新消息发送。"
_ANEW_EN = "Nothing to do: the text is sent as a message of its own."
_CARD = "无需处理：网关会改用普通消息发送完整回答。"
_CARD_EN = "Nothing to do: the whole answer is sent another way."

HELP: Mapping[int | str, Help] = MappingProxyType(
    {
        1: Help("平台繁忙", "无需处理：网关会自动重连。", "Nothing to do: the gateway dials again."),
        1000040343: Help("平台内部错误", "无需处理：网关会自动重连。", "Nothing to do: the gateway dials again."),
        1000040350: Help("应用的长连接数过多", "有其他程序占用了该应用的长连接：请停止它，或为本网关单独创建应用。"),
        403: Help("平台禁止该应用建立长连接", _KEYS),
        514: Help("平台拒绝了应用凭证", _KEYS),
        1000040344: Help("平台不认识该凭证", _KEYS),
        10003: Help("App ID 不存在", _KEYS),
        10014: Help("App Secret 错误", _KEYS),
        99991543: Help("App ID 或 App Secret 错误", _KEYS),
        99991400: Help("应用发送过快", _WAITS, _WAITS_EN),
        11232: Help("应用发送过快", _WAITS, _WAITS_EN),
        230020: Help("该会话的消息过于频繁", _WAITS, _WAITS_EN),
        200810: Help("用户正在操作该卡片", _WAITS, _WAITS_EN),
        230049: Help("消息仍在发送中", "无需处理：网关会用同一 uuid 查证。", "Nothing to do: the same uuid tells what became of it."),
        300120: Help("平台内部错误", "无需处理：网关会用同一 uuid 重试。", "Nothing to do: it is sent again under the same uuid."),
        230001: Help(
            "请求参数被拒绝",
            "请检查会话 ID；若反复出现，请附日志反馈。",
            "Check the chat's id; if it comes again and again, report it with the log.",
        ),
        230002: Help("机器人不在该群中", "请把机器人加入该群。"),
        230006: Help("应用未启用机器人能力", "请在开发者后台为应用添加“机器人”能力。"),
        230013: Help("用户不在机器人的可用范围内", _RANGE),
        230018: Help("机器人无权在该会话发言", _SPEAK, _SPEAK_EN),
        230022: Help("内容未通过审核", _AUDIT, _AUDIT_EN),
        230025: Help("消息过长", "请让智能体回答得更短。", "Let the agent answer more briefly."),
        230027: Help("应用缺少权限", _SCOPE),
        230028: Help("内容未通过审核", _AUDIT, _AUDIT_EN),
        230035: Help("机器人无权在该会话发言", _SPEAK, _SPEAK_EN),
        230053: Help("用户已停用该机器人", "请用户重新启用机器人。", "The user must let the bot write again."),
        230099: Help("平台无法用该内容生成卡片", _CARD, _CARD_EN),
        232009: Help(
            "群已解散",
            "无法再发送；请从 access.groups 中移除该群。",
            "Nothing can be sent there; take the group out of access.groups.",
        ),
        230011: Help("被回复的消息已撤回", _ANEW, _ANEW_EN),
        230031: Help("被回复的消息过旧", _ANEW, _ANEW_EN),
        99992354: Help("被回复的消息不存在", _ANEW, _ANEW_EN),
        99991672: Help("应用缺少此接口所需权限", _SCOPE),
        # Cards that grow
        300313: Help("卡片的文本尚未就绪", _WAITS, _WAITS_EN),
        200740: Help("卡片不存在", _CARD, _CARD_EN),
        200750: Help("卡片已超过 14 天", _CARD, _CARD_EN),
        200770: Help("该卡片更新的标识已用过", _CARD, _CARD_EN),
        200850: Help("卡片的流式模式已结束", _CARD, _CARD_EN),
        200860: Help("卡片过大", _CARD, _CARD_EN),
        300309: Help("卡片已不在流式模式", _CARD, _CARD_EN),
        300317: Help("卡片已有更新的修改", _CARD, _CARD_EN),
        # Files
        234006: Help("文件过大", "请发送更小的文件。", "Send a smaller file."),
        234010: Help("文件为空", "请检查智能体给出的文件。", "Look at the file that the agent gave."),
    }
)
