"""HELP: what people are told of Telegram's refusals, in Chinese, and what to do where ``codes`` says nothing."""

from __future__ import annotations

from types import MappingProxyType
from typing import Mapping

from hermes_green.core.codes import Help

_TOKEN = "请用 @BotFather 核对 telegram.yaml 的 token（若设置了 api_base 也请核对）。"
_INVITE = "用户须先给机器人发消息，或解除屏蔽。"
_WRITE = "请允许机器人在那里发送消息。"

HELP: Mapping[int | str, Help] = MappingProxyType(
    {
        401: Help("Telegram 不认识该 token", _TOKEN),
        404: Help("该地址上没有机器人", _TOKEN),
        409: Help(
            "另一个程序正在用该机器人收取消息",
            "请停止使用该 token 的其他程序，或为本网关单独创建机器人（telegram.yaml 的 token）。",
        ),
        408: Help("Telegram 放弃了该请求", "无需处理：按 delivery.on_unknown 处理。", "Nothing to do: delivery.on_unknown decides."),
        413: Help("文件对 Telegram 而言过大", "请发送更小的文件。", "Send a smaller file."),
        429: Help("发送过快", "无需处理：网关会等待后自动重发。", "Nothing to do: the gateway waits as long as Telegram asks."),
        "bot was blocked by the user": Help("用户已屏蔽机器人", _INVITE),
        "bot can't initiate conversation": Help("用户从未给机器人发过消息", _INVITE),
        "user is deactivated": Help("用户账号已注销", "无法再发送。", "Nothing can be sent there any more."),
        "bot was kicked": Help("机器人已被移出该会话", "请重新把机器人加入该会话。"),
        "bot is not a member": Help("机器人不在该会话中", "请把机器人加入该会话。"),
        "not enough rights": Help("机器人无权在那里发言", _WRITE),
        "chat_write_forbidden": Help("机器人无权在那里发言", _WRITE, "Let the bot send messages there."),
        "chat not found": Help("Telegram 中没有该会话", "请检查会话 ID。"),
        "message is too long": Help("消息过长", "请让智能体回答得更短。", "Let the agent answer more briefly."),
        "message text is empty": Help("消息为空", "请检查智能体的回答。", "Look at what the agent answers."),
    }
)
