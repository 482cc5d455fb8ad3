"""An ordinary bot on unmodified lark-oapi: echoes what it hears. Runs in the SDK's own virtualenv.

Arguments: domain, app id, app secret. Only the host is overridden.
"""

import json
import sys
import uuid

import lark_oapi as lark
from lark_oapi.api.im.v1 import (
    CreateMessageRequest,
    CreateMessageRequestBody,
    P2ImMessageReceiveV1,
    ReplyMessageRequest,
    ReplyMessageRequestBody,
)
from lark_oapi.event.callback.model.p2_card_action_trigger import (
    P2CardActionTrigger,
    P2CardActionTriggerResponse,
)

domain, app_id, app_secret = sys.argv[1:4]
rest = lark.Client.builder().app_id(app_id).app_secret(app_secret).domain(domain).build()


def say(chat_id, text, key):
    body = CreateMessageRequestBody.builder().receive_id(chat_id).msg_type("text")
    body = body.content(json.dumps({"text": text})).uuid(key).build()
    request = CreateMessageRequest.builder().receive_id_type("chat_id").request_body(body).build()
    return rest.im.v1.message.create(request)


def reply(message_id, text, in_thread):
    body = ReplyMessageRequestBody.builder().msg_type("text").content(json.dumps({"text": text}))
    body = body.reply_in_thread(in_thread).uuid(uuid.uuid4().hex).build()
    request = ReplyMessageRequest.builder().message_id(message_id).request_body(body).build()
    return rest.im.v1.message.reply(request)


def on_message(data: P2ImMessageReceiveV1) -> None:
    message = data.event.message
    content = json.loads(message.content)
    text = content["text"] if message.message_type == "text" else message.message_type
    print("heard", message.message_id, text[:80], flush=True)
    if text.startswith("twice "):
        key = uuid.uuid4().hex
        first, second = say(message.chat_id, text, key), say(message.chat_id, text, key)
        assert first.data.message_id == second.data.message_id, "the uuid made two messages"
        return
    answer = reply(message.message_id, f"echo {text}", bool(message.thread_id))
    assert answer.success(), (answer.code, answer.msg)


def on_card(data: P2CardActionTrigger) -> P2CardActionTriggerResponse:
    return P2CardActionTriggerResponse({"toast": {"type": "info", "content": "clicked"}})


handler = (
    lark.EventDispatcherHandler.builder("", "")
    .register_p2_im_message_receive_v1(on_message)
    .register_p2_card_action_trigger(on_card)
    .build()
)
lark.ws.Client(app_id, app_secret, event_handler=handler, log_level=lark.LogLevel.DEBUG, domain=domain).start()
