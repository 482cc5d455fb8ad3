"""A rich answer, and markup of the two families that platforms use, for tests of content."""

from __future__ import annotations

import re
from html import escape, unescape
from html.parser import HTMLParser

from hermes_green.content.pack import Wrap
from hermes_green.content.writer import MARKDOWN, Dialect

JOINT = "\u200b"


def _html(text: str) -> str:
    return escape(text, quote=False)


HTML = Dialect(
    escape=_html,
    code_escape=_html,
    bold=Wrap("<b>", "</b>"),
    italic=Wrap("<i>", "</i>"),
    strike=Wrap("<s>", "</s>"),
    code=lambda text: Wrap("<code>", "</code>"),
    code_alone=True,
    fence=lambda info, text: Wrap("<pre>", "</pre>"),
    heading=lambda level: Wrap("<b>", "</b>"),
    link=lambda href, text: Wrap(f'<a href="{escape(href)}">', "</a>", spare=f" ({href})"),
    quote=Wrap("<blockquote>", "</blockquote>"),
    quote_lead="",
)

STARS = Dialect(
    escape=_html,
    code_escape=_html,
    bold=Wrap("*", "*", JOINT),
    italic=Wrap("_", "_", JOINT),
    strike=Wrap("~", "~", JOINT),
    code=lambda text: Wrap("`", "`", JOINT),
    fence=lambda info, text: Wrap("```\n", "\n```"),
    heading=lambda level: Wrap("*", "*"),
    link=lambda href, text: Wrap(f"<{href}|", ">", spare=f" ({href})"),
)

PLAIN = Dialect(strike=Wrap("~", "~"))

ALL = {"html": HTML, "stars": STARS, "markdown": MARKDOWN, "plain": PLAIN}


# An answer with everything in it.
RICH = """\
# Title **b**
a _i_ ~~s~~ `c|d` x < y & z
next **注意：**请看[文档](https://x.test/a(b))吧。***both* bold**

- a
  - b **bold**
    1. deep
- code:
  ```py
  def f(x):

      return x < 1
  ```
- c

3. x

4. y

   more
> q
>
> - qq
> > deeper
> ```
> code
> ```

| 名称 | b |
|:--|--:|
| 你好 | `x|y` |
| 1 | 22 |

| a | link |
|--|--|
| r1 | [x](http://y.test) |
| r2 | words |

---
<http://auto.test> ![alt](http://img.test/i.png) [rel](file.py)
"""

# Passages of it as more than one markup shows them: the lists and the quote in Markdown, ...
LISTS_AND_QUOTE = """\
- a
    - b **bold**
        1. deep
- code:
```py
def f(x):

    return x < 1
```
- c

3. x

4. y

    more

> q
>
> - qq
>
> > deeper
>
> ```
> code
> ```"""

# ... its first table where there are only columns of letters, ...
COLUMNS = """\
```
名称 |   b
-----+----
你好 | x|y
1    |  22
```"""

# ... and all from the last item to that table, in words with bullets.
ITEM_TO_COLUMNS = f"""\
• c

3. x

4. y

   more

> q
>
> • qq
>
> > deeper
>
> ```
> code
> ```

{COLUMNS}"""


class _Tags(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.faults: list[str] = []

    def handle_starttag(self, tag: str, attrs: object) -> None:
        if tag in self.open:
            self.faults.append(f"<{tag}> in itself")
        self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        if not self.open or self.open.pop() != tag:
            self.faults.append(f"</{tag}> unexpected")


def faults_of(html: str) -> list[str]:
    """What is unbalanced in a message of ``HTML``."""
    tags = _Tags()
    tags.feed(html)
    tags.close()
    return tags.faults + [f"<{tag}> left open" for tag in tags.open]


def words_of(html: str) -> str:
    """The words of a message of ``HTML``, addresses before what they stand at."""
    return unescape(re.sub(r"</?[a-z]+>", "", re.sub(r'<a href="([^"]*)">', r"\1 ", html)))
