"""The sentences that people in a chat may read, in both languages."""

from __future__ import annotations

_TEXTS: dict[str, dict[str, str]] = {
    "failed": {
        "en": "Sorry, I could not answer that: the agent failed. Please try again.",
        "zh": "抱歉，智能体出错，这条消息未能回答，请再试一次。",
    },
    "timeout": {
        "en": "Sorry, the agent took too long to answer. Please try again.",
        "zh": "抱歉，智能体响应超时，请再试一次。",
    },
    "empty": {
        "en": "(the agent gave an empty answer)",
        "zh": "（智能体给出了空回答）",
    },
    "interrupted": {
        "en": "Sorry, my answer was interrupted. Please send your message again.",
        "zh": "抱歉，回答被中断，请重新发送消息。",
    },
    "crowded": {
        "en": "Too many of your messages are waiting; this one was not taken. Please send it again later.",
        "zh": "等待处理的消息太多，这条未被接收，请稍后再发。",
    },
    "unpaired": {
        "en": "This bot is private. Ask its operator to allow you; your id here is {user}.",
        "zh": "此机器人未公开。请联系管理员授权，您的 ID 是 {user}。",
    },
    "stopped": {"en": "Stopped.", "zh": "已停止。"},
    "nothing": {"en": "Nothing is running here.", "zh": "当前没有正在进行的回答。"},
    "fresh": {"en": "A new conversation begins.", "zh": "新的对话开始了。"},
    "status": {
        "en": "{child}: {state}. Answering: {busy}. Waiting: {waiting}.",
        "zh": "{child}：{state}。正在回答：{busy}。等待：{waiting}。",
    },
    "yes": {"en": "yes", "zh": "是"},
    "no": {"en": "no", "zh": "否"},
    "whoami": {
        "en": "child {child}, chat {chat}, user {user}",
        "zh": "通道 {child}，会话 {chat}，用户 {user}",
    },
    "help": {
        "en": "/new starts anew, /stop ends the answer in progress, /status tells how things stand, "
        "/whoami shows your ids. Everything else goes to the agent.",
        "zh": "/new 开始新对话，/stop 停止当前回答，/status 查看状态，/whoami 显示您的 ID。其他内容交给智能体。",
    },
}


def say(name: str, locale: str, **values: str) -> str:
    """The sentence ``name`` in ``locale`` (``en`` where the language is unknown)."""
    text = _TEXTS[name]
    return text.get(locale, text["en"]).format(**values)


def names() -> frozenset[str]:
    """Every sentence there is."""
    return frozenset(_TEXTS)


def locales(name: str) -> frozenset[str]:
    """The languages in which a sentence exists."""
    return frozenset(_TEXTS[name])
