"""A bot of wecom-aibot-sdk, run by its own interpreter: ``wecom_client.py ws://host:port/ bot_id secret``.

The SDK is untouched; the socket's address is an option of its own. What it does is what
``wecom_client.cjs`` does with the official SDK, so that one test judges both.
"""

import asyncio
import hashlib
import json
import os
import sys

from wecom_aibot_sdk import WSClient


def tell(what: str, **fields: object) -> None:
    print(json.dumps({"what": what, **fields}), flush=True)


def chat_of(body: dict) -> str:  # type: ignore[type-arg]
    return str(body.get("chatid") or body["from"]["userid"])


async def answer(client: WSClient, frame: dict) -> None:  # type: ignore[type-arg]
    body = frame["body"]
    text = body["text"]["content"].removeprefix("@Robot ")
    if text == "push":
        markdown = {"msgtype": "markdown", "markdown": {"content": "pushed"}}
        await client.send_message(chat_of(body), markdown)
    elif text == "upload":
        data = os.urandom(1_200_000)
        done = await client.upload_media(data, type="file", filename="data.bin")
        await client.reply_media(frame, "file", done["media_id"])
    else:
        stream = f"s-{body['msgid']}"
        for piece in ("re", "re:", f"re: {text[:2]}"):
            await client.reply_stream(frame, stream, piece)
        await client.reply_stream(frame, stream, f"re: {text}", True)


async def look(client: WSClient, frame: dict) -> None:  # type: ignore[type-arg]
    image = frame["body"]["image"]
    got = await client.download_file(image["url"], image["aeskey"])
    md5 = hashlib.md5(got["buffer"]).hexdigest()
    await client.reply_stream(frame, "picture", f"{got['filename']} {md5}", True)


async def main() -> None:
    url, bot_id, secret = sys.argv[1:4]
    client = WSClient(
        bot_id, secret, ws_url=url, heartbeat_interval=2000, reconnect_interval=100, max_reconnect_attempts=-1
    )
    client.on("authenticated", lambda: tell("authenticated"))
    client.on("error", lambda error: tell("error", why=str(error)))
    client.on("message.text", lambda frame: answer(client, frame))
    client.on("message.image", lambda frame: look(client, frame))
    welcome = {"msgtype": "text", "text": {"content": "welcome"}}
    client.on("event.enter_chat", lambda frame: client.reply_welcome(frame, welcome))
    await client.connect()
    await asyncio.Event().wait()


asyncio.run(main())
