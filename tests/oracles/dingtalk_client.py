"""An ordinary bot on unmodified dingtalk-stream: echoes what it hears. Runs in the SDK's own virtualenv.

Arguments: host of the API, client id, client secret. Only the host is overridden.
"""

import os
import sys

os.environ["DINGTALK_OPENAPI_ENDPOINT"] = sys.argv[1]

import dingtalk_stream  # noqa: E402
from dingtalk_stream import AckMessage, ChatbotMessage  # noqa: E402
from dingtalk_stream.card_replier import AICardReplier  # noqa: E402

TEMPLATE = "sim.schema"


class Robot(dingtalk_stream.ChatbotHandler):
    async def process(self, callback):
        message = ChatbotMessage.from_dict(callback.data)
        texts, images = message.get_text_list() or [], message.get_image_list() or []
        text = "".join(texts).strip()
        print("heard", message.message_type, text, len(images), flush=True)
        if message.message_type == "picture":
            url = self.get_image_download_url(images[0])
            self.reply_text(f"echo picture {bool(url)}", message)
        elif text == "rich":
            self.reply_markdown("title", "# echo rich", message)
        elif text == "card":
            self.card(message)
        elif text == "fail":
            raise ValueError("a handler that fails")
        else:
            self.reply_text(f"echo {text}", message)
        return AckMessage.STATUS_OK, "OK"

    def card(self, message):
        replier = AICardReplier(self.dingtalk_client, message)
        card = replier.create_and_deliver_card(TEMPLATE, {"content": "", "flowStatus": "1"})
        for text in ("one", "one two"):
            replier.streaming(card, "content", text, append=False, finished=False, failed=False)
        replier.streaming(card, "content", "echo card", append=False, finished=True, failed=False)
        options = {"updateCardDataByKey": True}
        replier.put_card_data(card, {"flowStatus": "3"}, cardUpdateOptions=options)


class Events(dingtalk_stream.EventHandler):
    async def process(self, event):
        print("event", event.headers.event_type, flush=True)
        return AckMessage.STATUS_OK, "OK"


class Clicks(dingtalk_stream.CallbackHandler):
    async def process(self, callback):
        message = dingtalk_stream.CardCallbackMessage.from_dict(callback.data)
        print("click", message.card_instance_id, flush=True)
        return AckMessage.STATUS_OK, {"cardData": {"cardParamMap": {"clicked": "yes"}}}


client = dingtalk_stream.DingTalkStreamClient(dingtalk_stream.Credential(sys.argv[2], sys.argv[3]))
client.register_callback_handler(ChatbotMessage.TOPIC, Robot())
client.register_callback_handler(dingtalk_stream.Card_Callback_Router_Topic, Clicks())
client.register_all_event_handler(Events())
client.start_forever()
