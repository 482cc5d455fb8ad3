"""HELP: what people are told of WeCom's numbers, in Chinese, and what to do where ``codes`` says nothing."""

from __future__ import annotations

from types import MappingProxyType
from typing import Mapping

from hermes_green.core.codes import Help

_WAITS = "无需处理：网关会等待后自动重发。"
_WAITS_EN = "Nothing to do: the gateway waits and sends it again."
_BUSY = Help("企业微信繁忙", _WAITS, _WAITS_EN)

HELP: Mapping[int | str, Help] = MappingProxyType(
    {
        853000: Help(
            "企业微信拒绝了 bot_id 或 secret",
            "请对照企业微信中机器人页面（API 模式，长连接），检查 wecom.yaml 的 bot_id 和 secret；重新生成 Secret 后旧的立即失效。",
        ),
        -1: _BUSY,
        846601: _BUSY,
        846602: _BUSY,
        45009: Help("调用过于频繁", _WAITS, _WAITS_EN),
        40058: Help("企业微信拒绝了请求参数", "若反复出现，请附日志反馈。", "If it comes again and again, report it with the log."),
        93006: Help("企业微信不认识该会话", "机器人只能写给曾经与它对话的用户和群。"),
        846605: Help(
            "消息过旧，无法回复", "无需处理：回答会作为主动消息发送。", "Nothing to do: the answer goes as a message of its own."
        ),
        846608: Help(
            "回答的气泡不再接受更新", "无需处理：完整回答会另行发送。", "Nothing to do: the whole answer goes as a message of its own."
        ),
        846609: Help("机器人的订阅已丢失", "无需处理：网关会重新订阅后重发。", "Nothing to do: the gateway subscribes again."),
        "disconnected_event": Help(
            "另一个程序正在使用该机器人", "请停止它，或为本网关单独创建机器人（wecom.yaml 的 bot_id 和 secret），然后重新启动该通道。"
        ),
    }
)
