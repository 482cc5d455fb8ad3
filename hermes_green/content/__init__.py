'''Neutral knowledge about text and media that several platforms share; pure, imports core only.

Markdown is walked once, and written by a dialect that a platform's ``render.py`` states as data::

    from hermes_green.content import markdown
    from hermes_green.content.pack import Wrap, pack
    from hermes_green.content.writer import Dialect, write

    DIALECT = Dialect(
        escape=html_escape,                     # every word passes it
        code_escape=html_escape,                # every piece of code passes it
        bold=Wrap("<b>", "</b>"), italic=Wrap("<i>", "</i>"), strike=Wrap("<s>", "</s>"),
        code=lambda text: Wrap("<code>", "</code>"),
        fence=lambda info, text: Wrap("<pre>", "</pre>"),
        heading=lambda level: Wrap("<b>", "</b>"),
        link=lambda href, text: Wrap(f'<a href="{quoted(href)}">', "</a>", spare=f" ({href})"),
        quote=Wrap("<blockquote>", "</blockquote>"), quote_lead="",
    )

    found = markdown.blocks(reply.text)
    texts = pack(write(found, DIALECT), LIMIT, UNIT)

- ``markdown.blocks(text)`` gives the blocks of ``blocks.py``; it raises nothing and bounds time and depth.
  ``markdown.unmarked(text, blocks)`` says that the text has no markup: it may be sent as it is.
- ``writer.Dialect`` is the markup: start from the defaults (readable plain text), or from
  ``dataclasses.replace(writer.MARKDOWN, ...)`` where the platform reads some kind of Markdown.
  ``Wrap(open, close, joint, spare)`` is a mark around words: ``joint`` for platforms that see marks only
  beside blanks (``"\\u200b"``), ``spare`` what is said instead when a mark is too long for a message.
  ``table``: ``tables.auto`` (aligned columns if narrow, else a list a row), ``tables.grid``,
  ``tables.records``, or None for platforms that read ``| cells |``.
- ``pack.pack(pieces, limit, unit)`` gives messages that fit *after* rendering, each with balanced marks,
  cut at blocks, lines, sentences or words; a fence that is cut is closed and opened again. ``unit`` is a
  ``core.model.Unit`` or a function from finished text to what it takes of the limit (escapes of JSON,
  HTML tags that do not count). ``pack.fit`` is the same for platforms that allow only some messages.
  ``pack.join(pieces)`` gives one text of any length. No messages come from a text without words.
- ``media.payloads(reply.media)`` are the payloads of media after those of text; ``media.lines(reply.media)``
  are pieces in place of those that cannot be sent, ``media.named`` is the words of one;
  ``markdown.storable`` mends texts that have no UTF-8 form.
- ``plain.text(markdown)`` and ``plain.pieces(markdown)``: readable plain text, for platforms without markup,
  for fallbacks and for titles; ``plain.pieces(markdown, DIALECT)``: in a dialect, but a text without marks is
  left as it is (and escaped).
'''
