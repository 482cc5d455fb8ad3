"""HELP: what people are told of the platform's error codes, in Chinese, and what to do where ``codes`` says nothing."""

from __future__ import annotations

from types import MappingProxyType
from typing import Mapping

from hermes_green.core.codes import Help

_KEYS = Help(
    "平台拒绝了 client_id 或 client_secret",
    "请对照 open-dev.dingtalk.com 的“凭证与基础信息”，检查 dingtalk.yaml 的 client_id 和 client_secret。",
)
_BUSY = Help("应用调用过于频繁", "无需处理：网关会等待后自动重发。", "Nothing to do: the gateway waits and sends it again.")
_CONTENT = Help("平台拒绝了消息内容", "请修改内容；被拒绝的消息不会重发。", "Change the text; what was refused is not sent again.")

HELP: Mapping[int | str, Help] = MappingProxyType(
    {
        "authFailed": _KEYS,
        "invalidClientIdOrSecret": _KEYS,
        "invalidClientId": _KEYS,
        "invalidClientSecret": _KEYS,
        "Forbidden.AccessDenied.Qps": _BUSY,
        "Forbidden.AccessDenied.QpsLimitForAppkeyAndApi": _BUSY,
        "QpsLimit": _BUSY,
        88: _BUSY,
        90018: _BUSY,
        1111: Help(
            "平台暂时封锁了本机地址",
            "请稍候：约五分钟后网关会重试；请检查本机是否有其他程序大量调用。",
            "Wait: the gateway tries again in five minutes; see what else calls the platform from this machine.",
        ),
        130101: Help(
            "该会话一分钟内超过 20 条消息：封锁十分钟",
            "请让机器人少发消息；网关十分钟后重发。",
            "Let the bot say less there; the gateway sends again in ten minutes.",
        ),
        -1: Help("平台内部错误", "无需处理：按 delivery.on_unknown 处理。", "Nothing to do: delivery.on_unknown decides."),
        "Forbidden.AccessDenied.AccessTokenPermissionDenied": Help(
            "应用没有此接口的权限", "请在 open-dev.dingtalk.com 的“权限管理”开通权限，并发布新版本。"
        ),
        "Forbidden.AccessDenied.IpNotInWhiteList": Help(
            "本机地址不在应用的 IP 白名单中", "请在 open-dev.dingtalk.com 把本机公网地址加入应用的 IP 白名单。"
        ),
        "invalidStaff": Help(
            "应用所在组织中没有该用户", "请检查用户 ID。", "Check the user's id: it must be of the app's own organisation."
        ),
        "flowControlled": Help("平台暂不接受发给该用户的消息", _BUSY.zh_action, _BUSY.action),
        43004: _CONTENT,
        400402: _CONTENT,
        460101: Help("消息过长", "请让智能体回答得更短。", "Let the agent answer more briefly."),
    }
)
