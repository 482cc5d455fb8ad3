"""A platform's table of codes is read as it says, and a line that makes no sense is not passed over."""

from __future__ import annotations

import pytest

from hermes_green.core.codes import Code, Help, table_of
from hermes_green.core.errors import AuthRejected, HermesError, SendRetry

TEXT = """# A comment.
[remedies]
keys | Check the key. | 请检查密钥。
waits | ~Nothing to do. | 无需处理。

[codes]
1, nope | AuthRejected | no such key | 没有该密钥 | keys
-2 | SendRetry 0.5 account | busy | 繁忙 | waits
3 | Own | of its own
    Mend it. | 请修复。
[told]
4 | - |  | 只作说明 | keys
"""


class Own(HermesError):
    """A platform's own error."""


def test_a_row_says_class_wait_scope_and_words_in_both_languages() -> None:
    table = table_of(TEXT, Own)
    wrong = Code(AuthRejected, "no such key", "Check the key.")
    busy, own = Code(SendRetry, "busy", "", 0.5, "account"), Code(Own, "of its own", "Mend it.")
    codes = {1: wrong, "nope": wrong, -2: busy, 3: own}
    assert table.sections == {"codes": codes}
    told, waits = Help("没有该密钥", "请检查密钥。"), Help("繁忙", "无需处理。", "Nothing to do.")
    assert table.help == {1: told, "nope": told, -2: waits, 4: Help("只作说明", "请检查密钥。")}


@pytest.mark.parametrize(
    "row", ["1 | NoSuchError | text", "1 | SendRefused | text | zh | nobody", "1 | LinkLost | a | b | keys | more"]
)
def test_a_row_that_makes_no_sense_is_refused(row: str) -> None:
    with pytest.raises((ValueError, LookupError, AttributeError)):
        table_of(TEXT.replace("[told]", row), Own)
