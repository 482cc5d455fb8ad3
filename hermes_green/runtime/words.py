"""Words: why a child is in its state, said in the operator's language and never without a remedy that is known."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Callable, Mapping

from hermes_green.core.codes import Help
from hermes_green.ops.log import redact


@dataclass(frozen=True, slots=True)
class Reason:
    """Why a child is in its state: a code, a sentence, and what to do about it."""

    code: str = ""
    text: str = ""
    action: str = ""

    def __post_init__(self) -> None:
        # A platform, or a library, may echo what it was given; this is shown to whoever may see the status.
        object.__setattr__(self, "text", redact(self.text))
        object.__setattr__(self, "action", redact(self.action))


_DIALS = "无需处理：网关会自动重连。"
_CONF = "请修改配置后保存。"
_NETWORK = "Look at network, DNS and proxy: hermes-green doctor."
_NETWORK_ZH = "请检查网络、DNS 和代理：hermes-green doctor。"

# Codes of our own; what is special to the case follows in brackets.
GENERAL: Mapping[str, Help] = {
    "ready": Help("已连接", ""),
    "closed": Help("平台关闭了连接", _DIALS),
    "stopped": Help("已按要求停止", ""),
    "restart": Help("正在按要求重启", ""),
    "reconfigured": Help("配置已更改", ""),
    "stopping": Help("网关正在停止", ""),
    "crash": Help("适配器崩溃", "这是程序缺陷：日志中有调用栈。"),
    "crash_limit": Help("崩溃次数过多", ""),
    "budget_spent": Help("拨号次数已达上限", "无需处理：到时自动重连。", "Nothing to do: it dials again by itself then."),
    "boot_spacing": Help("启动过于频繁", "无需处理：到时自动重连。", "Nothing to do: it dials again by itself then."),
    "store_away": Help("存储暂不可用", "请检查磁盘空间和权限。", "Look at the disk's space and permissions."),
    "ledger_away": Help("无法写入拨号记录", "请释放磁盘空间，或使目录可写。"),
    "intake_full": Help("接收队列已满", "请检查磁盘是否过慢。", "See whether the disk is too slow."),
    "timeout": Help("连接超时", _NETWORK_ZH, _NETWORK),
    "tls": Help("TLS 握手失败", "若服务器使用私有证书机构，请设置 ca_file。"),
    "gaierror": Help("域名解析失败", "请检查 DNS：hermes-green doctor。", "Look at the DNS: hermes-green doctor."),
    "ConnectionRefusedError": Help("连接被拒绝", "请检查地址、防火墙和代理。", "Look at address, firewall and proxy."),
    "ConnectionResetError": Help("连接被重置", _DIALS),
    "heartbeat": Help("心跳未获应答", _DIALS),
    "eof": Help("连接意外中断", _DIALS),
    "cut": Help("连接意外中断", _DIALS),
    "write": Help("写入超时", _DIALS),
    "retired": Help("连接已被替换", ""),
    "upgrade": Help("平台拒绝了 WebSocket 连接", _DIALS),
    "bad_answer": Help("平台的应答无法读取", _DIALS),
    "no_url": Help("平台未给出连接地址", _DIALS),
    "not_sent": Help("无法连接平台", _NETWORK_ZH, _NETWORK),
    "connect_timeout": Help("连接超时", _NETWORK_ZH, _NETWORK),
    "answer_lost": Help("平台未完整应答", _DIALS),
    "not_ready": Help("平台未及时确认连接", _DIALS),
    "http": Help("地址或凭证含有无法发送的字符", _CONF),
    "proxy": Help("代理地址有误", "请修改 proxy。"),
    "ca_file": Help("证书文件不可用", "请把 ca_file 设为可读的 PEM 文件，或留空。"),
    "url": Help("地址有误", _CONF),
    "lock_held": Help("该机器人属于另一个进程", ""),
    "lock_file": Help("无法加锁", "请把目录放在本地文件系统，并使其可写。"),
    "AuthRejected": Help("平台拒绝了凭证", "请检查该平台配置文件中的凭证。", "Check the credentials in the platform's file."),
    "Displaced": Help("另一个程序正在使用该机器人", "请停止它，或换一个机器人。", "Stop it, or give this gateway a bot of its own."),
    "Throttled": Help("平台要求等待", "无需处理：到时自动重连。", "Nothing to do: it dials again by itself then."),
    "LinkLost": Help("连接已断开", _DIALS),
    "ConfError": Help("配置有误", _CONF),
}
# Here the code has said it all.
_WHOLE = frozenset({"closed", "stopped", "restart", "reconfigured", "stopping"})
_SPECIAL = (
    (re.compile(r"cooling down until ([\d:]*\d)(?:: .+)?$"), r"冷却至 \1"),
    (re.compile(r"connected as the page$"), "网页"),
    (re.compile(r"connected as (.+)$"), r"身份 \1"),
    (re.compile(r"several starts in (\d+) s without a link: the first dial waits (\d+) s$"), r"\1 秒内多次，\2 秒后拨号"),
)
_NEXT = re.compile(r"(?:; )?next try at (\S+)$")


class Words:
    """``help``: the platform's own table; ``locale``: the operator's language now."""

    def __init__(self, help: Mapping[int | str, Help], locale: Callable[[], str]) -> None:
        self._help = {**GENERAL, **{str(code): each for code, each in help.items()}}
        self._locale = locale

    def __call__(self, reason: Reason) -> Reason:
        """The reason, as it was raised, in the operator's language."""
        return self.spoken(reason, self._locale())

    def spoken(self, reason: Reason, locale: str) -> Reason:
        """The same for a reader of ``locale``: what has no Chinese is shown as it came."""
        known = self._help.get(reason.code)
        if known is None:
            return reason
        if locale != "zh":
            return Reason(reason.code, reason.text, reason.action or known.action)
        return Reason(reason.code, _said(known.zh, reason), _remedy(known.zh_action, reason.action))


def _said(zh: str, reason: Reason) -> str:
    """The Chinese sentence, and in brackets what only this case has."""
    if reason.code in _WHOLE or not reason.text:
        return zh
    # A vendor's code: "sentence (code): the vendor's own words".
    _, found, detail = reason.text.partition(f" ({reason.code})")
    special = f"{reason.code}{detail}" if found else reason.text
    for english, chinese in _SPECIAL:
        special = english.sub(chinese, special)
    return f"{zh}（{special}）"


def _remedy(zh: str, action: str) -> str:
    again = _NEXT.search(action)
    rest = _NEXT.sub("", action)
    if not again:
        return zh or rest
    return "；".join(part for part in ((zh or rest).rstrip("。."), f"下次尝试 {again[1]}") if part)
