"""A bot of python-telegram-bot, run by its own interpreter: ``ptb_client.py http://host:port token``.

The library is untouched; its documented base_url and base_file_url are turned to the simulator. Texts
are answered with ``re: <text>`` in bold, documents with their content, edits with ``edited: <text>``;
"stream it" is answered by a message that is edited twice.
"""

import html
import json
import sys

from telegram import ReplyParameters, Update
from telegram.constants import ChatAction, ParseMode
from telegram.ext import Application, ContextTypes, MessageHandler, filters


def tell(what: str, **fields: object) -> None:
    print(json.dumps({"what": what, **fields}), flush=True)


async def on_text(update: Update, context: ContextTypes.DEFAULT_TYPE) -> None:
    message = update.effective_message
    tell("message", text=message.text, entities=[e.type for e in message.entities], topic=message.is_topic_message)
    if update.edited_message:
        await message.reply_text(f"edited: {message.text}")
        return
    if message.text == "stream it":
        draft = await message.reply_text("…")
        await draft.edit_text("half")
        await draft.edit_text("half and whole")
        return
    await context.bot.send_chat_action(message.chat_id, ChatAction.TYPING, message_thread_id=message.message_thread_id)
    await context.bot.send_message(
        message.chat_id,
        f"<b>re:</b> {html.escape(message.text)}",
        parse_mode=ParseMode.HTML,
        message_thread_id=message.message_thread_id if message.is_topic_message else None,
        reply_parameters=ReplyParameters(message.message_id, allow_sending_without_reply=True),
    )


async def on_document(update: Update, context: ContextTypes.DEFAULT_TYPE) -> None:
    message = update.effective_message
    file = await message.document.get_file()
    data = bytes(await file.download_as_bytearray())
    await message.reply_document(data.upper(), filename="back-" + message.document.file_name, caption="back")


async def on_error(update: object, context: ContextTypes.DEFAULT_TYPE) -> None:
    tell("error", error=repr(context.error))


def main() -> None:
    base, token = sys.argv[1:]
    application = (
        Application.builder().token(token).base_url(f"{base}/bot").base_file_url(f"{base}/file/bot").build()
    )
    application.add_handler(MessageHandler(filters.TEXT, on_text))
    application.add_handler(MessageHandler(filters.Document.ALL, on_document))
    application.add_error_handler(on_error)
    application.run_polling(timeout=2, drop_pending_updates=False)


main()
