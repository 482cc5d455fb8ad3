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
        "en": "This bot is private. Give its operator this code to be let in: {code} (your id here is {user}).",
        "zh": "此机器人未公开。请将配对码 {code} 发给管理员以获得授权（您的 ID 是 {user}）。",
    },
    "over_minute": {
        "en": "That was too much for one minute. Please wait a little; I read on then.",
        "zh": "发送过于频繁，请稍等片刻再发。",
    },
    "over_day": {
        "en": "The limit for today is reached. I answer again tomorrow.",
        "zh": "今日用量已达上限，请明天再来。",
    },
    "answer_refused": {
        "en": "[this answer was not sent: the platform does not take it]",
        "zh": "[此回答未发送：平台拒收]",
    },
    "file_too_large": {
        "en": "[{file} was not sent: it is larger than the {limit} that are taken here]",
        "zh": "[{file} 未发送：超过此平台的上限 {limit}]",
    },
    "file_refused": {
        "en": "[{file} was not sent: the platform does not take it ({code})]",
        "zh": "[{file} 未发送：平台拒收（{code}）]",
    },
    "file_gone": {
        "en": "[{file} was not sent: it cannot be read]",
        "zh": "[{file} 未发送：文件无法读取]",
    },
    "file_unread": {
        "en": "[{file} could not be read: files of up to {limit} can, while the platform gives them out, and soon]",
        "zh": "[{file} 无法读取：只能读取 {limit} 以内、且平台仍可及时提供的文件]",
    },
    "files_unread": {
        "en": "[and {count} more could not be read]",
        "zh": "[另有 {count} 个文件无法读取]",
    },
    "cut": {"en": "(interrupted)", "zh": "（已中断）"},
    "undone": {"en": "Your last message and its answer are forgotten.", "zh": "已撤销上一条消息及其回答。"},
    "nothing_said": {"en": "There is nothing here to go back to.", "zh": "当前对话没有可撤销或重试的内容。"},
    "admins_only": {"en": "Only an admin of this bot may do that.", "zh": "只有管理员可以执行此操作。"},
    "approved": {"en": "{user} may write to me now.", "zh": "{user} 现在可以与我对话了。"},
    "pairing_code": {
        "en": "This code is not valid (any more). A new message of theirs makes a new one.",
        "zh": "配对码无效或已过期。请对方重新发送一条消息以获取新的配对码。",
    },
    "pairing_locked": {
        "en": "Too many wrong codes: pairing is locked for an hour.",
        "zh": "错误次数过多，配对功能已锁定一小时。",
    },
    "later": {"en": "That cannot be done now. Please try again later.", "zh": "暂时无法完成，请稍后再试。"},
    "unknown_child": {"en": "There is no {child}; there are: {known}.", "zh": "没有 {child}；现有：{known}。"},
    "restarting": {"en": "{child} is restarted.", "zh": "正在重启 {child}。"},
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
        "en": "/new begins a new conversation\n"
        "/stop ends the answer in progress\n"
        "/retry asks your last question again\n"
        "/undo forgets your last question and its answer\n"
        "/queue TEXT is answered after what is in progress\n"
        "/steer TEXT goes into the answer in progress, where the agent can\n"
        "/status tells how things stand\n"
        "/whoami shows your ids\n"
        "for admins: /adapters, /adapters restart NAME, /approve CODE\n"
        "Everything else goes to the agent.",
        "zh": "/new（/新对话）开始新对话\n"
        "/stop（/停止）停止当前回答\n"
        "/retry（/重试）重新回答上一个问题\n"
        "/undo（/撤销）撤销上一个问题及其回答\n"
        "/queue（/排队）内容：排在当前回答之后\n"
        "/steer（/引导）内容：补充给正在进行的回答（若智能体支持）\n"
        "/status（/状态）查看状态\n"
        "/whoami（/我是谁）显示您的 ID\n"
        "管理员：/adapters（/通道）、/adapters restart 名称、/approve（/批准）配对码\n"
        "其他内容交给智能体。",
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
