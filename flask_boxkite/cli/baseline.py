"""``baseline``: `ModelMonitoringService.export_text` for data in files."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from itertools import combinations
from pathlib import Path

import click

from flask_boxkite.baseline import Baseline
from flask_boxkite.baseline.training.problems import ColumnError
from flask_boxkite.cli.group import PATH, boxkite, listed, write
from flask_boxkite.cli.policies import named_numbers, named_sizes, policy_options
from flask_boxkite.drift.wording import group_name
from flask_boxkite.errors import BaselineError
from flask_boxkite.policies import policy_lines
from flask_boxkite.quoting import printable
from flask_boxkite.service import ModelMonitoringService
from flask_boxkite.suggestion import counted

__all__ = ["baseline"]

_SHOWN = 5


@boxkite.command()
@click.argument("data", nargs=-1, required=True)
@click.option("--out", type=PATH, required=True, help="Baseline file to write.")
@click.option(
    "--output-column",
    "outputs",
    multiple=True,
    metavar="NAME",
    help="Column that the model outputs; repeatable. All others are features.",
)
@click.option(
    "--actual-column",
    "actual",
    metavar="NAME",
    help="Column of the values that came true, for rows that the model was not fitted to. With it, the model's quality "
    "can be judged.",
)
@click.option(
    "--threshold",
    type=float,
    help="Score from which a row is predicted to be positive, where two values can come true.  [default: 0.5]",
)
@click.option("--positive", metavar="VALUE", help="Actual value that the score stands for.  [default: the larger one]")
@click.option("--exclude", multiple=True, metavar="NAME", help="Column to leave out; repeatable.")
@click.option("--model", default="default", help="Name of the model.")
@click.option("--version", help="Version of the model, for people.")
@click.option(
    "--discrete",
    multiple=True,
    metavar="NAME",
    help="Numeric column that is discrete; repeatable. All others are then continuous.  [default: columns with few "
    "distinct values]",
)
@click.option(
    "--bins",
    multiple=True,
    metavar="NAME=BOUND,…",
    help="Upper bounds of a column's bins, numbers or dates, such as 'age=18,65' or 'day=2024-01-01,2024-07-01'; "
    "repeatable.",
)
@click.option("--max-bins", type=int, default=50, help="Largest number of bounds of a continuous column.")
@click.option("--max-categories", type=int, default=50, help="Largest number of categories of a discrete column.")
@click.option(
    "--min-category-rows",
    type=int,
    help="Number of rows that a category needs to be named in the file; with fewer, it is rare.  [default: 5; fewer "
    "below 100 rows]",
)
@click.option(
    "--no-pairs", "pairs", is_flag=True, flag_value=False, default=True, show_default=False, help="Watch no pairs."
)
@click.option(
    "--segment",
    "segments",
    multiple=True,
    metavar="NAME",
    help="Column that segments rows, such as a country: up to ten of its values are also judged each by itself; "
    "repeatable.",
)
@click.option(
    "--names", type=click.Choice(["labels", "boxkite"]), default="labels", help="Metric names; boxkite: as in 0.0.5."
)
@click.option(
    "--missing-text",
    "missing",
    multiple=True,
    metavar="TEXT",
    help="Text that also stands for a missing value; repeatable. In CSV an empty field, -, NA, N/A, #N/A, NaN, NaT, "
    "null and None in any capitals always do.",
)
@click.option(
    "--text",
    "texts",
    multiple=True,
    metavar="NAME",
    help="Column of texts, even if they look like numbers, as postcodes do; repeatable.",
)
@policy_options()
def baseline(
    data: tuple[str, ...],
    out: Path,
    outputs: tuple[str, ...],
    actual: str | None,
    threshold: float | None,
    positive: str | None,
    exclude: tuple[str, ...],
    model: str,
    version: str | None,
    discrete: tuple[str, ...],
    bins: tuple[str, ...],
    max_bins: int,
    max_categories: int,
    min_category_rows: int | None,
    pairs: bool,
    segments: tuple[str, ...],
    names: str,
    missing: tuple[str, ...],
    texts: tuple[str, ...],
    ignore: tuple[str, ...],
    weights: tuple[str, ...],
    drift_sizes: tuple[str, ...],
) -> None:
    """Count training data and write the baseline file.

    DATA is one or more files: CSV, TSV, JSON lines (.jsonl, .ndjson), each also as .gz, or Parquet.
    Every row counts. Folders such as day=2026-01-01 are columns; so are values in objects and lists, such as home.zip
    and readings.0.

    \b
    Examples:
      flask boxkite baseline train.parquet --out baseline.prom
      flask boxkite baseline 'train/**/*.parquet' --out baseline.prom
      flask boxkite baseline 'train/*.csv.gz' --output-column score --exclude id --out baseline.prom
      flask boxkite baseline held_out.csv --output-column score --actual-column defaulted --out baseline.prom
      flask boxkite baseline train.csv --segment country --segment plan --out segments.prom
      flask boxkite baseline train.jsonl --discrete grade --model fraud --version 2026-01 --out fraud.prom
    """
    from flask_boxkite.cli.leading_zeros import note_on_zeros, texts_with_zeros
    from flask_boxkite.cli.terminal import waiting
    from flask_boxkite.cli.training_data import parts_of, table_of
    from flask_boxkite.cli.training_files import readable

    _check_output(out)
    bounds = dict(map(_named_bounds, bins))
    importances, sizes = named_numbers(weights), named_sizes(drift_sizes)
    named = {"--discrete": discrete, "--bins": bounds, "--text": texts, "--segment": segments}
    named |= {"--ignore": ignore, "--weight": importances, "--drift-size": sizes}
    with waiting("Looking at the data"):
        aside = {actual} if actual is not None else set()
        parts = parts_of(data, named={*outputs, *aside, *exclude, *discrete, *bounds, *texts, *segments})
        frame = table_of(parts, data, missing, texts)
    schema = frame.collect_schema()
    features = _features(schema.names(), outputs, actual, exclude, named)

    with waiting("Looking at the numbers"), readable(listed(data)):
        zeros = texts_with_zeros(parts, [name for name in (*features, *outputs) if schema[name].is_numeric()])
    if zeros:
        click.echo(note_on_zeros(zeros), err=True)

    with waiting(f"Counting {len(features) + len(outputs)} columns") as tell, readable(listed(data)):
        try:
            made = ModelMonitoringService.export_text(
                features=frame.select(features),
                inference=frame.select(outputs) if outputs else None,
                actual=None if actual is None else frame.select(actual),
                threshold=threshold,
                positive=positive,
                path=out,
                model=model,
                version=version,
                discrete=[name for name in discrete if name not in exclude] if discrete else None,
                bins={name: own for name, own in bounds.items() if name not in exclude},
                max_bins=max_bins,
                max_categories=max_categories,
                min_category_rows=min_category_rows,
                texts=[name for name in texts if name not in exclude],
                missing_texts=missing,
                ignore=[name for name in ignore if name not in exclude],
                weights={name: weight for name, weight in importances.items() if name not in exclude},
                drift_sizes={name: size for name, size in sizes.items() if name not in exclude},
                pairs=pairs,
                segments=segments,
                names=names,
                progress=tell,
            )
        except ColumnError as error:
            raise error.for_command() from None
    write("".join(f"{printable(line)}\n" for line in _summary(made, out)), None)


def _check_output(out: Path) -> None:
    """Refuse a name for data: a slip may have named the training data itself."""
    from flask_boxkite.cli.training_data import is_data

    if is_data(str(out)):
        msg = f"'{out}' is a name for data. Choose another name for the baseline, such as 'baseline.prom'."
        raise BaselineError(msg)


def _features(
    columns: Sequence[str],
    outputs: Sequence[str],
    actual: str | None,
    exclude: Sequence[str],
    named: Mapping[str, Collection[str]],
) -> list[str]:
    """Return the columns that are features.

    Args:
        columns: Columns of the data.
        outputs: Columns that the model outputs.
        actual: Column of the values that came true; None if there is none.
        exclude: Columns to leave out.
        named: Columns that other options name, by option.

    Raises:
        BaselineError: An option names a column that the data does not have, or a column has no name.
    """
    from flask_boxkite.cli.training_data import check_columns

    roles = {"--output-column": outputs, "--actual-column": [actual] if actual is not None else []}
    for option, names in {**roles, "--exclude": exclude, **named}.items():
        check_columns(option, names, columns)
    for (first, own), (second, other) in combinations({**roles, "--exclude": exclude}.items(), 2):
        if both := sorted({*own} & {*other}):
            msg = f"'{first}' and '{second}' both name {both[0]!r}. Remove it from one of them."
            raise BaselineError(msg)

    for option, names in {"--actual-column": roles["--actual-column"], "--exclude": exclude}.items():
        if both := sorted({*named["--segment"]} & {*names}):
            msg = (
                f"'--segment' and '{option}' both name {both[0]!r}. Rows of files are segmented by features and "
                f"outputs alone: remove it from '{option}', or give export_text() the rows in memory, with "
                f"segments=[{both[0]!r}] and exclude=[{both[0]!r}]."
            )
            raise BaselineError(msg)

    features = [name for name in columns if name not in {*outputs, *roles["--actual-column"], *exclude}]
    if "" in features:
        msg = "A column has no name, like the index that pandas writes. Name it, or leave it out: --exclude ''"
        raise BaselineError(msg)
    return features


def _named_bounds(text: str) -> tuple[str, list[str]]:
    name, equals, bounds = text.rpartition("=")
    if not equals:
        msg = f"'--bins' must be a name and bounds, such as 'age=18,65', got {text!r}."
        raise BaselineError(msg)
    return name, bounds.split(",")


def _summary(made: Baseline, out: Path) -> Iterator[str]:
    variables = made.distributions
    version = f", version {made.version}" if made.version else ""
    yield f"{out}: {counted(made.rows, 'row')}, model {made.model!r}{version}, baseline {made.fingerprint}"
    for title, items in (("features", made.features), ("outputs", made.outputs)):
        if items:
            discrete = [item.name for item in items if item.kind == "discrete"]
            yield f"  {title}: {len(items) - len(discrete)} continuous, {len(discrete)} discrete{_some(discrete)}"
    yield from (f"  {line}" for line in policy_lines(made.policies))
    for item in made.segmentations:
        own, (_, by) = made.distributions[item.variable], item.side_and_name(made.variables)
        yield f"  segments by {by}: {len(item.segments)}{_some([group_name(own, name) for name in item.segments])}"
    gaps = sorted((item for item in variables if item.missing), key=lambda item: -item.missing)
    if gaps:
        yield f"  with missing values: {len(gaps)}{_some([f'{v.name} {v.missing / v.rows:.1%}' for v in gaps])}"


def _some(names: list[str]) -> str:
    if not names:
        return ""
    return f" ({listed(names, _SHOWN)})"
