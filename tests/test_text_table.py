"""Tables of plain text."""

from __future__ import annotations

from flask_boxkite.text_table import text_table


def test_columns_are_as_wide_as_their_longest_cell_and_never_touch() -> None:
    rows = [("metric", "difference", "verdict"), ("error", "-99,990 (-123,400 to -87,650)", "better")]

    assert text_table(rows, (8, 12)) == [
        "metric    difference                     verdict",
        "error     -99,990 (-123,400 to -87,650)  better",
    ]


def test_usual_cells_fill_the_least_widths_and_lines_end_with_their_last_letter() -> None:
    assert text_table([("a", "b", "c"), ("1", "22", "")], (3, 4), right=(1,)) == ["a       b  c", "1      22"]
