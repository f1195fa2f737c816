"""The place of a model's outcomes in a state directory: their section, and the file of their book."""

from __future__ import annotations

from pathlib import Path

from flask_boxkite.baseline import Baseline
from flask_boxkite.live.folding import outcomes_path
from flask_boxkite.live.outcome_cells import OutcomeCells
from flask_boxkite.live.section import Section, SectionKey
from flask_boxkite.outcomes.book import OutcomeBook
from flask_boxkite.outcomes.book_file import FORMAT

__all__ = ["outcome_book", "outcome_section"]


def outcome_section(model: str, baseline: Baseline, layout: OutcomeCells) -> Section:
    """Return the section of a model's outcomes.

    Args:
        model: Name of the model.
        baseline: Baseline of the model.
        layout: Meaning of each count.
    """
    return Section(SectionKey("outcomes", model, baseline.fingerprint), layout.size, sums=0)


def outcome_book(directory: Path | None, section: Section) -> OutcomeBook:
    """Return the book of a model's outcomes.

    Args:
        directory: State directory of the server; None to count in this process.
        section: Section of the outcomes.
    """
    path = None if directory is None else outcomes_path(directory, section.key, FORMAT)
    return OutcomeBook(path, section.cells)
