"""How long it takes to walk an answer, to write it and to pack it: printed, not judged.

    python -m tests.bench.bench_content
"""

from __future__ import annotations

import time
from collections.abc import Callable

from hermes_green.content.markdown import LINES, LONGEST, blocks
from hermes_green.content.pack import join, pack
from hermes_green.content.writer import MARKDOWN, write
from tests.support.dialects import HTML, STARS

CHAPTER = """\
## What happened

The gateway **lost** its link at _noon_, see [the log](https://logs.example.test/2026/11/20?id=7), and
was back within a second. **注意：**没有丢失任何消息，所有回复都已送达。

1. It dialled, with `budget.dial`.
2. It said who it is:
   - by id,
   - by ~~password~~ token.

```python
def answer(question: str) -> str:
    return question if question < "m" else f"<{question}>"
```

| platform | links | lost |
|:---------|------:|-----:|
| first    |     3 |    1 |
| second   |     2 |    0 |

> And that was all there is to say about it, for today.

"""


def best(work: Callable[[], object], rounds: int = 5) -> float:
    """Seconds of processor of the fastest of some rounds."""
    found = []
    for _ in range(rounds):
        started = time.process_time()
        work()
        found.append(time.process_time() - started)
    return min(found)


def main() -> None:
    """Print a line for each size."""
    blocks(CHAPTER)
    for size in (1_000, 4_000, 20_000, 100_000):
        text = (CHAPTER * (size // len(CHAPTER) + 1))[:size]
        walked = blocks(text)
        print(f"{size:7} characters: walk {1e3 * best(lambda: blocks(text)):6.1f} ms", end="")
        for name, dialect in (("html", HTML), ("stars", STARS), ("markdown", MARKDOWN)):
            pieces = write(walked, dialect)
            wrote = best(lambda: write(walked, dialect))
            whole, packed = best(lambda: join(pieces)), best(lambda: pack(pieces, 4096))
            print(f"; {name}: write {1e3 * wrote:.1f}, join {1e3 * whole:.1f}, pack {1e3 * packed:.1f} ms", end="")
        print()
    hostile = {"[": LONGEST, "> ": LONGEST // 2, "*a ": LONGEST // 3, "- a\n": LINES}
    hostile |= {"|a|b|\n|-|-|\n" + "|`x|y`|\n" * (LINES - 3): 1}
    for mark, count in hostile.items():
        taken = best(lambda: blocks(mark * count), 1)
        print(f"{len(mark) * count} characters of {mark[:24]!r}: walk {1e3 * taken:.0f} ms")
    print(f"1,000,000 characters of '>': {1e3 * best(lambda: blocks('>' * 10**6), 1):.0f} ms (not walked)")


if __name__ == "__main__":
    main()
