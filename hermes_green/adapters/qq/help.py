"""HELP: what people are told of QQ's numbers, in Chinese, and what to do where ``codes`` says nothing."""

from __future__ import annotations

from types import MappingProxyType
from typing import Mapping

from hermes_green.core.codes import Help

_KEYS = "请对照 q.qq.com 的“开发设置”，检查 qq.yaml 的 app_id 和 client_secret。"
_TOKEN = Help("令牌被拒绝", "无需处理：网关会换取新令牌后重发。", "Nothing to do: another token is fetched and it is sent again.")
_WAITS = Help("发送过快", "无需处理：网关会等待后自动重发。", "Nothing to do: the gateway waits and sends it again.")
_DENIED = Help("机器人没有该权限，或权限已被收回", "请在 q.qq.com 申请该权限，或请群主、频道主允许机器人发言。")
_WINDOW = Help(
    "回复窗口已关闭：消息过旧，或不属于该会话",
    "请用户重新发送消息：群和频道须在 5 分钟内、单聊须在 60 分钟内回复。",
    "The user must write again: QQ takes answers for 5 minutes in groups and guilds, for 60 in direct chats.",
)
_PROACTIVE = Help("QQ 不接受主动消息", "QQ 已停用主动消息：机器人只能在回复窗口内回答用户。")
_MEDIA = Help("QQ 未能获取媒体文件", "无需处理：网关会自动重试。", "Nothing to do: it is tried again.")
_AGAIN = Help("连接须重新建立", "无需处理：网关会自动重连。", "Nothing to do: the gateway dials again.")
_BUG = "这是网关程序的缺陷：请附日志反馈。"

HELP: Mapping[int | str, Help] = MappingProxyType(
    {
        100007: Help("QQ 不认识该 app_id", _KEYS),
        100016: Help("app_id 或 client_secret 错误", _KEYS),
        **{code: _TOKEN for code in (11241, 11242, 11243, 11244)},
        11298: Help("本机地址不在机器人的 IP 白名单中", "请在 q.qq.com 的“开发设置”把本机公网地址加入 IP 白名单。"),
        11253: _DENIED,
        11254: _DENIED,
        22009: _PROACTIVE,
        304003: Help("文本中含有未登记的网址", "请在 q.qq.com 的“开发设置”登记消息网址。"),
        304018: Help("频道消息需要网关连接，而连接当时已断开", "无需处理：重连后会自动重发。", "Nothing to do: it is sent when the link is back."),
        304027: _WINDOW,
        304082: _MEDIA,
        304083: _MEDIA,
        1100100: _WAITS,
        1100308: _WAITS,
        50002: _WAITS,
        40034024: _WINDOW,
        40034102: _PROACTIVE,
        40034128: Help(
            "回复窗口已关闭：已超时，或已回复五次",
            "请用户重新发送消息；每条消息最多回复五次。",
            "The user must write again: each message may be answered five times.",
        ),
        40054005: Help("该回复序号已被使用", "无需处理：网关会取下一个序号。", "Nothing to do: the gateway takes the next number."),
        # How the gateway's socket was closed
        4001: Help("QQ 不认识我们的操作码", _BUG),
        4002: Help("QQ 无法解析我们的数据", _BUG),
        4003: _AGAIN,
        4004: Help("令牌无效", "无需处理：网关会换取新令牌后重连。", "Nothing to do: another token is fetched."),
        4005: _AGAIN,
        4006: _AGAIN,
        4007: _AGAIN,
        4008: Help("数据发送过快", "无需处理：约一分钟后自动重连。", "Nothing to do: the gateway dials again in a minute."),
        4009: Help("连接已过期", "无需处理：网关会恢复会话。", "Nothing to do: the session is resumed."),
        4010: Help("QQ 拒绝了该分片", _BUG),
        4011: Help("QQ 要求分片", "机器人所在的频道数超出了单个连接的上限。"),
        4012: Help("QQ 拒绝了协议版本", _BUG),
        4013: Help("QQ 不认识所请求的事件", "请检查 qq.yaml 的 intents。"),
        4014: Help("请求了没有权限的事件", "无需处理：网关会只请求单聊和群事件。", "Nothing to do: the gateway asks for less."),
        4914: Help("机器人已下线：仅沙箱可用", "请在 q.qq.com 发布机器人。"),
        4915: Help("机器人已被封禁", "请在 q.qq.com 申诉。"),
    }
)
