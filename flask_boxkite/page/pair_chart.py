"""The picture of a pair: a table of four by four parts, darker where more rows are; in training, and live."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from markupsafe import Markup, escape

from flask_boxkite.baseline.distribution import Continuous, Distribution
from flask_boxkite.baseline.pairs import PARTS, parts_of_groups
from flask_boxkite.drift.wording import category_label, cut, numbers
from flask_boxkite.naming import ABOVE, BELOW, RARE, UNSEEN
from flask_boxkite.page.charts import svg
from flask_boxkite.page.wording import percent
from flask_boxkite.values.times import time_text

__all__ = ["pair_chart", "part_texts"]

_CELL, _LEFT, _TOP, _RIGHT, _BOTTOM = 46, 122, 8, 28, 34
_LETTERS = 16
_OTHERS = frozenset({RARE, UNSEEN})
_TO = "\N{EN DASH}"


def part_texts(item: Distribution) -> list[str]:
    """Return the name of each part of a variable; empty for a part without groups."""
    texts = []
    for part in range(PARTS):
        groups = [group for group, own in zip(item.groups, parts_of_groups(item), strict=True) if own == part]
        texts.append(_text(item, [group.name for group in groups]))
    return texts


def _text(item: Distribution, names: Sequence[str]) -> str:
    inner = [name for name in names if name not in (BELOW, ABOVE)]
    if not inner:
        return ""
    if isinstance(item, Continuous):
        places = {group.name: place for place, group in enumerate(item.groups)}
        ends = item.group_bounds[places[inner[0]] - 1], item.group_bounds[places[inner[-1]]]
        ends = max(ends[0], item.extremes[0]), min(ends[1], item.extremes[1])
        return _TO.join(time_text(end)[:10] for end in ends) if item.is_time else _TO.join(numbers(ends))

    spans = [group for group in item.groups if group.name in inner and group.name not in _OTHERS]
    categories = [category_label(label) for span in spans for label in item.categories[span.start : span.stop]]
    if not categories:
        return "others"
    if len(categories) == 1:
        return categories[0] if len(inner) == 1 else f"{categories[0]}, others"
    return f"{categories[0]} + {len(categories) - 1}" if item.is_text else _TO.join((categories[0], categories[-1]))


def pair_chart(items: Sequence[Distribution], counts: Sequence[Sequence[int]], label: str) -> Markup:
    """Draw one table.

    Args:
        items: Distributions of the first variable, from left to right, and of the second, upwards.
        counts: Rows by the parts of both, `PARTS` numbers for each part of the first.
        label: Name of the picture for those who cannot see it.
    """
    texts = [part_texts(item) for item in items]
    size = (_LEFT + PARTS * _CELL + _RIGHT, _TOP + PARTS * _CELL + _BOTTOM)
    return svg(size, label, list(_elements(items, texts, counts)), "pair")


def _elements(
    items: Sequence[Distribution], texts: Sequence[Sequence[str]], counts: Sequence[Sequence[int]]
) -> Iterator[str]:
    rows = max(sum(map(sum, counts)), 1)
    most = max(max(map(max, counts)), 1)
    for first in range(PARTS):
        for second in range(PARTS):
            share = counts[first][second]
            x, y = _LEFT + first * _CELL, _TOP + (PARTS - 1 - second) * _CELL
            hint = f"{items[0].name} {texts[0][first]}, {items[1].name} {texts[1][second]}: {percent(share / rows)}"
            yield (
                f'<rect class="part" x="{x + 1}" y="{y + 1}" width="{_CELL - 2}" height="{_CELL - 2}" '
                f'fill-opacity="{0.06 + 0.84 * share / most:.2f}"><title>{escape(hint)}</title></rect>'
            )
            yield (
                f'<text x="{x + _CELL / 2:.0f}" y="{y + _CELL / 2 + 4:.0f}" text-anchor="middle" class="share">'
                f"{escape(percent(share / rows))}</text>"
            )
    for second, text in enumerate(texts[1]):
        middle = _TOP + (PARTS - 1 - second) * _CELL + _CELL // 2
        yield f'<text x="{_LEFT - 6}" y="{middle + 4}" text-anchor="end">{escape(cut(text, _LETTERS))}</text>'
    for first, text in enumerate(texts[0]):
        middle, below = _LEFT + first * _CELL + _CELL // 2, _TOP + PARTS * _CELL + 14 * (1 + first % 2)
        yield f'<text x="{middle}" y="{below}" text-anchor="middle">{escape(cut(text, _LETTERS))}</text>'
