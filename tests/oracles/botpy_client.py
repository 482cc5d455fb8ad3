"""A bot of qq-botpy, run by its own interpreter: ``botpy_client.py http://host:port app_id secret``.

The SDK is untouched. Only its hosts are turned to the simulator: ``Route.DOMAIN`` and ``SCHEME`` are
class attributes; its literal token address is redirected by one hook in aiohttp. Every message is
answered with ``re: <text>``; what happens is told on stdout, one JSON object a line.
"""

import json
import sys
from urllib.parse import urlsplit

import aiohttp
import botpy
from botpy.http import Route

TOKEN_HOST = "https://bots.qq.com"


def tell(what: str, **fields: object) -> None:
    print(json.dumps({"what": what, **fields}), flush=True)


def redirect(base: str) -> None:
    """Turn every host of the SDK to ``base``."""
    Route.SCHEME, Route.DOMAIN = urlsplit(base).scheme, urlsplit(base).netloc
    genuine = aiohttp.ClientSession._request

    async def request(self, method, url, **rest):  # type: ignore[no-untyped-def]
        return await genuine(self, method, str(url).replace(TOKEN_HOST, base), **rest)

    aiohttp.ClientSession._request = request  # type: ignore[method-assign]


class Bot(botpy.Client):
    """Answers people, groups and guilds."""

    async def on_ready(self) -> None:
        tell("ready", name=self.robot.name)

    async def on_resumed(self) -> None:
        tell("resumed")

    async def on_c2c_message_create(self, message) -> None:  # type: ignore[no-untyped-def]
        tell("c2c", text=message.content, user=message.author.user_openid, id=message.id)
        for seq, text in enumerate((f"re: {message.content}", f"and: {message.content}"), 1):
            await self.api.post_c2c_message(
                openid=message.author.user_openid, msg_type=0, msg_id=message.id, msg_seq=seq, content=text
            )

    async def on_group_at_message_create(self, message) -> None:  # type: ignore[no-untyped-def]
        tell("group", text=message.content, group=message.group_openid, id=message.id)
        await message.reply(msg_type=0, content=f"re: {message.content.strip()}")

    async def on_at_message_create(self, message) -> None:  # type: ignore[no-untyped-def]
        tell("guild", text=message.content, channel=message.channel_id, id=message.id)
        await message.reply(content=f"re: {message.content.partition('> ')[2]}")

    async def on_direct_message_create(self, message) -> None:  # type: ignore[no-untyped-def]
        tell("direct", text=message.content, guild=message.guild_id, id=message.id)
        await self.api.post_dms(guild_id=message.guild_id, content=f"re: {message.content}", msg_id=message.id)

    async def on_error(self, event_method, *args, **kwargs) -> None:  # type: ignore[no-untyped-def]
        tell("error", where=event_method, why=repr(sys.exc_info()[1]))


def main() -> None:
    base, app_id, secret = sys.argv[1:4]
    redirect(base)
    intents = botpy.Intents(public_messages=True, public_guild_messages=True, direct_message=True)
    Bot(intents=intents, ext_handlers=False).run(appid=app_id, secret=secret)


if __name__ == "__main__":
    main()
