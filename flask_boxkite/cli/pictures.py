"""Distributions drawn in a terminal."""

from __future__ import annotations

from rich import box
from rich.cells import cell_len
from rich.console import Console
from rich.table import Table
from rich.text import Text

from flask_boxkite.baseline import Baseline, Distribution
from flask_boxkite.baseline.blindness import blind_spot, blind_spots
from flask_boxkite.baseline.distribution import group_counts
from flask_boxkite.baseline.pairs import Pair
from flask_boxkite.baseline.segment_baselines import segment_baselines
from flask_boxkite.baseline.segmentation import Segmentation
from flask_boxkite.cli.bars import bar, column_chart, narrowed, sparkline
from flask_boxkite.cli.group import listed
from flask_boxkite.drift.segments import segment_texts
from flask_boxkite.drift.wording import group_name
from flask_boxkite.page.chart_data import CELLS, Categories, Histogram, chart_data_of
from flask_boxkite.page.wording import number, percent
from flask_boxkite.policies import policy_lines
from flask_boxkite.quoting import printable
from flask_boxkite.suggestion import counted

__all__ = ["plain_table", "shortened", "show_baseline", "show_variable"]

_WIDE = 100
_NARROW = 64
_TOP = 3
_HEIGHT = 10
_NONE = "\N{EN DASH}"


def plain_table() -> Table:
    """Return a table without lines between cells, as usual in terminals."""
    return Table(box=box.SIMPLE_HEAD, padding=(0, 1, 0, 0), pad_edge=False, header_style="bold", show_edge=False)


def shortened(text: str) -> Text:
    """Return the text for a cell that may be cut when other cells need the width."""
    return Text(text, no_wrap=True, overflow="ellipsis")


def show_baseline(console: Console, baseline: Baseline, created: str) -> None:
    """Print a line for each variable."""
    version = f", version {baseline.version}" if baseline.version else ""
    about = f"Model {baseline.model!r}{version}, baseline {baseline.fingerprint}"
    console.print(printable(about), soft_wrap=True)
    console.print(f"{counted(baseline.rows, 'row')}, made {created}\n", soft_wrap=True)
    is_wide, is_narrow = console.width >= _WIDE, console.width < _NARROW
    width = CELLS // 2 if is_wide else CELLS // 3
    table = plain_table()
    table.add_column("variable", max_width=28 if is_wide else 20)
    if not is_narrow:
        table.add_column("kind", no_wrap=True)
    table.add_column("distribution", no_wrap=True)
    if not is_narrow:
        table.add_column("values")
    table.add_column("missing", justify="right", no_wrap=True)

    for side, item, _ in baseline.variables:
        note = " (output)" if side == "output" else ""
        name, missing = shortened(printable(item.name) + note), _share_missing(item)
        picture, values = _line(item, width)
        if is_narrow:
            table.add_row(name, picture, missing)
        else:
            table.add_row(name, item.kind, picture, shortened(values), missing)

    console.print(table)
    if baseline.pairs:
        names = [_pair_name(baseline, pair) for pair in baseline.pairs]
        console.print(Text(f"\nWatched together: {printable(listed(names))}."))
    for line in policy_lines(baseline.policies):
        console.print(Text(f"\n{printable(line[0].upper() + line[1:])}."))
    for segmentation in baseline.segmentations:
        console.print(Text(f"\nSegments by {printable(_segments(baseline, segmentation))}."))
    for spot, names in blind_spots(baseline.distributions).items():
        console.print(Text(f"\n{printable(listed(names))}: {spot}"))


def _segments(baseline: Baseline, item: Segmentation) -> str:
    """Name a variable, and its segments with their shares of training rows."""
    _, by = item.side_and_name(baseline.variables)
    texts = segment_texts(baseline, item)
    rows = [each.rows for each in segment_baselines(baseline, item)]
    shares = [f"{text} ({percent(own / max(sum(rows), 1))})" for text, own in zip(texts, rows, strict=True) if own]
    return f"{by}: {', '.join(shares)}"


def _pair_name(baseline: Baseline, pair: Pair) -> str:
    names = []
    for place in (pair.first, pair.second):
        variable = baseline.variables[place]
        names.append(f"{variable.name} (output)" if variable.side == "output" else variable.name)
    return " with ".join(names)


def _share_missing(item: Distribution) -> str:
    return percent(item.missing / item.rows) if item.missing else _NONE


def _line(item: Distribution, width: int) -> tuple[str, str]:
    """Return the picture and the description of one variable."""
    chart = chart_data_of(item, item.cells)
    if isinstance(chart, Histogram):
        return sparkline(chart.before, width), " to ".join(_ends(chart))
    by_share = sorted(chart.bars, key=lambda one: -one.before)
    words = [f"{printable(one.label)} {percent(one.before)}" for one in by_share[:_TOP]]
    if len(by_share) > _TOP:
        words.append(f"{len(by_share) - _TOP} more")
    return sparkline([one.before for one in chart.bars], width), ", ".join(words)


def show_variable(console: Console, item: Distribution) -> None:
    """Print one variable enlarged, and the groups on which drift is judged."""
    console.print(f"{printable(item.name)}: {item.kind}, {counted(item.rows, 'row')}\n", soft_wrap=True)
    if spot := blind_spot(item):
        console.print(f"{spot[0].upper()}{spot[1:]}.\n")
    chart = chart_data_of(item, item.cells)
    if isinstance(chart, Histogram):
        _show_histogram(console, chart)
    else:
        _show_categories(console, chart)

    console.print()
    table = plain_table()
    table.add_column("group")
    table.add_column("rows", justify="right", no_wrap=True)
    table.add_column("share", justify="right", no_wrap=True)
    for group, rows in zip(item.groups, group_counts(item, item.cells), strict=True):
        name = shortened(printable(group_name(item, group.name)))
        table.add_row(name, f"{rows:,}", percent(rows / max(item.rows, 1)))
    console.print(table)


def _show_histogram(console: Console, chart: Histogram) -> None:
    room = console.width - 8
    shares = narrowed(chart.before, room)
    letters = max(min(room // len(shares), 2), 1)
    top = percent(float(shares.max(initial=0.0)))
    for number_of_line, line in enumerate(column_chart(shares, _HEIGHT, letters)):
        console.print(Text(f"{top if number_of_line == 0 else '':>6} "), Text(line.rstrip()), sep="")

    width = letters * len(shares)
    lower, upper = _ends(chart)
    console.print(" " * 7 + "─" * width)
    console.print(" " * 7 + lower + upper.rjust(width - len(lower)))
    for one in chart.specials:
        console.print(f"       {one.label}: {percent(one.before)}")


def _ends(chart: Histogram) -> list[str]:
    return chart.texts(chart.ends) if chart.is_time else list(map(number, chart.ends))


def _show_categories(console: Console, chart: Categories) -> None:
    bars = [*chart.bars, *chart.specials]
    name_width = min(max((cell_len(printable(one.label)) for one in bars), default=0), console.width // 3)
    highest = max((one.before for one in bars), default=0.0) or 1.0
    room = max(console.width - name_width - 9, 1)
    for one in bars:
        label = Text(printable(one.label))
        label.truncate(name_width, overflow="ellipsis", pad=True)
        console.print(label, f"{percent(one.before):>6}", Text(bar(one.before / highest, room)))
