"""Blocks in a platform's markup: what each dialect states is all that differs."""

from __future__ import annotations

from dataclasses import replace

import pytest

from hermes_green.content import markdown, plain, tables
from hermes_green.content.columns import width_of
from hermes_green.content.pack import join
from hermes_green.content.writer import MARKDOWN, write
from tests.support.dialects import HTML, ITEM_TO_COLUMNS, JOINT, LISTS_AND_QUOTE, PLAIN, RICH, STARS, faults_of

IN_HTML = """\
<b>Title b</b>

a <i>i</i> <s>s</s> <code>c|d</code> x &lt; y &amp; z
next <b>注意：</b>请看<a href="https://x.test/a(b)">文档</a>吧。<b><i>both</i> bold</b>

• a
   ◦ b <b>bold</b>
      1. deep
• code:
<pre>def f(x):

    return x &lt; 1</pre>
• c

3. x

4. y

   more

<blockquote>q

• qq

deeper

<pre>code</pre></blockquote>

<pre>名称 |   b
-----+----
你好 | x|y
1    |  22</pre>

a: <b>r1</b>
link: <a href="http://y.test">x</a>

a: <b>r2</b>
link: words

———

<a href="http://auto.test">http://auto.test</a> <a href="http://img.test/i.png">alt</a> rel (file.py)"""

IN_STARS = f"""\
*Title b*

a _i_ ~s~ `c|d` x &lt; y &amp; z
next *注意：*\u200b请看<https://x.test/a(b)|文档>吧。*_both_ bold*

• a
   ◦ b *bold*
      1. deep
• code:
```
def f(x):

    return x &lt; 1
```
{ITEM_TO_COLUMNS}

a: *r1*
link: <http://y.test|x>

a: *r2*
link: words

———

<http://auto.test|http://auto.test> <http://img.test/i.png|alt> rel (file.py)"""

IN_MARKDOWN = f"""\
# Title **b**

a *i* ~~s~~ `c|d` x < y & z
next **注意：**请看[文档](https://x.test/a%28b%29)吧。***both* bold**

{LISTS_AND_QUOTE}

| 名称 | b |
| :--- | ---: |
| 你好 | `x\\|y` |
| 1 | 22 |

| a | link |
| --- | --- |
| r1 | [x](http://y.test) |
| r2 | words |

---

[http://auto.test](http://auto.test) [alt](http://img.test/i.png) rel (file.py)"""

IN_PLAIN = f"""\
Title b

a i ~s~ c|d x < y & z
next 注意：请看文档 (https://x.test/a(b))吧。both bold

• a
   ◦ b bold
      1. deep
• code:
```py
def f(x):

    return x < 1
```
{ITEM_TO_COLUMNS}

a: r1
link: x (http://y.test)

a: r2
link: words

———

http://auto.test alt (http://img.test/i.png) rel (file.py)"""


def written(text, dialect):
    return join(write(markdown.blocks(text), dialect))


@pytest.mark.parametrize(
    "dialect, shown", [(HTML, IN_HTML), (STARS, IN_STARS), (MARKDOWN, IN_MARKDOWN), (PLAIN, IN_PLAIN)]
)
def test_a_rich_answer_looks_like_this(dialect, shown):
    assert written(RICH, dialect) == shown


def test_html_is_balanced():
    assert faults_of(written(RICH, HTML)) == []


def test_markdown_written_again_says_the_same():
    text = RICH.replace("(b)", "").replace("[rel](file.py)", "").replace("  def", "def").replace("```", "")
    once = written(text, MARKDOWN)
    assert once.count("|") > 9 and written(once, MARKDOWN) == once


def test_a_mark_that_is_open_is_not_opened_again():
    assert written("# a **b** c", STARS) == "*a b c*"
    assert written("> a\n>> b", HTML) == "<blockquote>a\n\nb</blockquote>"


def test_marks_are_closed_at_the_end_of_each_line():
    assert written("**a\nb**", STARS) == "*a*\n*b*"


def test_a_letter_beside_a_mark_is_kept_apart_where_marks_need_it():
    assert written("x**b**y, **c**", STARS) == f"x{JOINT}*b*{JOINT}y, *c*"
    assert written("**a***b*", STARS) == f"*a*{JOINT}_b_"
    assert written("(**b**)", STARS) == "(*b*)"


def test_two_quotes_two_codes_and_two_fences_stay_two():
    assert written("> a\n\n<!-- -->\n\n> b", HTML).count("<blockquote>") == 2
    assert written("`a` `b`", HTML) == "<code>a</code> <code>b</code>"
    assert written("```\na\n```\n```\nb\n```", HTML) == "<pre>a</pre>\n\n<pre>b</pre>"


def test_code_alone_stands_in_no_other_mark_but_leaves_links_alone():
    assert written("**a `b` c** [`d`](http://e)", HTML) == (
        '<b>a</b> <code>b</code> <b>c</b> <a href="http://e">d</a>'
    )
    assert written("**a `b`**", STARS) == "*a `b`*"


def test_code_that_holds_backticks_gets_longer_ones_in_markdown():
    assert written("`` a`b ``", MARKDOWN) == "``a`b``"
    assert written("````\n```\n````", MARKDOWN) == "````\n```\n````"


def test_a_fence_in_an_item_begins_its_own_line():
    assert written("- ```\n  a\n  ```", STARS) == "• \n```\na\n```"


def test_an_empty_item_an_empty_fence_and_an_empty_table_are_shown():
    assert written("-\n- a", PLAIN) == "• \n• a"
    assert written("```\n```", STARS) == "```\n\n```"
    assert written("|a|b|\n|-|-|", MARKDOWN) == "| a | b |\n| --- | --- |"
    assert written("> |a|\n> |-|", MARKDOWN) == "> | a |\n> | --- |"


def test_a_table_in_a_quote_keeps_its_marks():
    assert written("> |a|b|\n> |-|-|\n> |1|2|\n> |3|4|", MARKDOWN) == (
        "> | a | b |\n> | --- | --- |\n> | 1 | 2 |\n> | 3 | 4 |"
    )


def test_a_line_end_is_what_the_dialect_says():
    assert written("a\nb", replace(MARKDOWN, line="  \n")) == "a  \nb"
    assert written("> a\n> b", replace(MARKDOWN, line="\n\n")) == "> a\n>\n> b"


def test_images_can_be_shown_and_addresses_judged():
    shown = replace(MARKDOWN, image=lambda href, alt: f"![{alt}]({href})", linkable=lambda href: "ok" in href)
    assert written("![a](http://ok.test) ![b](http://no.test)", shown) == "![a](http://ok.test) b (http://no.test)"


def test_wide_tables_become_a_paragraph_a_row():
    text = f"|name|what|note|\n|-|-|-|\n|one|{'long ' * 9}|x|\n|two||y|"
    assert written(text, PLAIN) == f"name: one\nwhat: {'long ' * 9}".rstrip() + "\nnote: x\n\nname: two\nnote: y"
    assert written(text, replace(PLAIN, table=tables.grid)).startswith("```\nname | what")


def test_a_column_without_cells_is_still_named():
    assert written(f"|a|{'b' * 40}|\n|-|-|\n|1||", PLAIN) == f"{'b' * 40}\n\na: 1"


def test_wide_letters_take_two_columns_and_joined_marks_none():
    assert [width_of(text) for text in ("ab", "你好", "e\u0301", "ｱ", "👍")] == [2, 4, 1, 1, 2]


def test_an_address_that_is_its_own_text_stands_once():
    assert plain.text("<http://a.test> [b](http://b.test) <c@d.test>") == "http://a.test b (http://b.test) c@d.test"


def test_plain_text_without_marks_is_left_as_it_is():
    text = "  one\n    two  three\n\n\n- not* a_list"
    assert plain.text(text.replace("- ", "")) == text.replace("- ", "")
    assert plain.text("a \\* b **c**") == "a * b c"
    assert plain.text("") == plain.text(" \n") == ""
