"""Of an SDK only the part that is used is loaded, and the whole of it can still be loaded afterwards."""

import subprocess
import sys


def test_the_schema_loads_light_and_leaves_no_stand_in_behind():
    code = (
        "import sys\n"
        "from hermes_green.adapters.feishu import wire\n"
        "assert 'lark_oapi' not in sys.modules and 'lark_oapi.ws' not in sys.modules\n"
        "assert len([m for m in sys.modules if m.startswith('lark_oapi')]) < 60\n"
        "import importlib.util\n"
        "assert importlib.util.find_spec('lark_oapi').origin.endswith('__init__.py')\n"
        "from lark_oapi.ws.pb.pbbp2_pb2 import Frame\n"
        "assert Frame is wire.Frame\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True, timeout=300)


def test_the_sdk_s_frames_load_light_and_the_whole_of_it_loads_afterwards():
    code = (
        "import sys\n"
        "from hermes_green.adapters.dingtalk import wire\n"
        "assert not {'dingtalk_stream', 'aiohttp', 'websockets', 'asyncio'} & set(sys.modules)\n"
        "import dingtalk_stream\n"
        "assert dingtalk_stream.ChatbotMessage.TOPIC == wire.ROBOT\n"
        "assert dingtalk_stream.Card_Callback_Router_Topic == wire.CARD\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True, timeout=300)


def test_the_first_message_loads_nothing_from_the_disk_any_more():
    code = (
        "import json, sys\n"
        "from hermes_green.adapters.telegram import adapter, parse\n"
        "from hermes_green.core.model import Unit\n"
        "from hermes_green.core.text import measure\n"
        "loaded = set(sys.modules)\n"
        "assert measure('\U0001f600', Unit.UTF16) == 2\n"
        "assert set(sys.modules) == loaded, set(sys.modules) - loaded\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True, timeout=300)
