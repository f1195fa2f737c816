"""The accounts of a monitored app: what it should have counted and recorded, worked out from what its twin did."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

from tests.web.fuzz.pairs import Pair
from tests.web.fuzz.requests import Request
from tests.web.fuzz.serving import Served
from tests.web.twins import Samples

__all__ = ["Accounts"]

_DURATIONS = "boxkite_prediction_duration_seconds_count"
_NEVER_FALL = ("_total", "_count", "_bucket")


class Accounts:
    """Expected changes of the metrics and records through the requests since the last check.

    A prediction is counted once by its duration; its rows are counted by status and stand in its record. A prediction
    that the view logs by hand has a record, and no duration.

    Args:
        pair: The apps.
    """

    def __init__(self, pair: Pair) -> None:
        self._pair = pair
        self._samples = pair.scrape()
        self._known: set[tuple[str, frozenset[tuple[str, str]]]] | None = None
        self.series = 0
        self.totals: Counter[str] = Counter()
        self._begin()

    def _begin(self) -> None:
        self._predicted = 0
        self._logged = 0
        self._may_be_empty = 0
        self._answered: dict[str, str | None] = {}

    def add(self, request: Request, ours: Served, theirs: Served | None) -> None:
        """Add a request."""
        if theirs is None:
            return
        notes = theirs.notes
        is_predicted = self._pair.is_predicted(request, theirs)
        is_logged = notes.logged > 0 and not self._pair.setup.is_middleware
        if is_logged:
            self._logged += notes.logged
        if not is_predicted:
            return
        self.totals["predictions"] += 1
        if is_logged:
            return
        self._predicted += 1
        self._may_be_empty += request.may_be_empty
        is_known = not (ours.errors or notes.has_raised or request.takes is not None)
        for identifier in ours.ids:
            self._answered[identifier] = _status(ours.status_code) if is_known else None

    def check(self) -> Iterator[str]:
        """Yield what is wrong; begin again."""
        assert self._pair.flush(60) == 0
        before, self._samples = self._samples, self._pair.scrape()
        yield from self._metrics(before, self._samples)
        yield from self._records(before, self._samples)
        self._begin()

    def _metrics(self, before: Samples, after: Samples) -> Iterator[str]:
        counted = _added(before, after, _DURATIONS)
        self.totals["counted"] += counted
        if counted != self._predicted:
            yield f"{counted} predictions counted, {self._predicted} made"
        for reason in ("features", "output", "internal"):
            self.totals[reason] += _added(before, after, "boxkite_capture_errors_total", reason=reason)
        if internal := _added(before, after, "boxkite_capture_errors_total", reason="internal"):
            yield f"{internal} internal errors"
        old, new = _values(before), _values(after)
        fallen = [key for key, value in old.items() if key[0].endswith(_NEVER_FALL) and new.get(key, -1) < value]
        if fallen:
            yield f"counters fell: {fallen[:3]}"
        # A model without a baseline has its series from its first prediction on.
        if self._known is None and counted:
            self._known = set(new)
        if self._known is not None and not set(new) <= self._known:
            yield f"new series: {sorted(map(str, set(new) - self._known))[:3]}"
        self.series = len(new)

    def _records(self, before: Samples, after: Samples) -> Iterator[str]:
        records = self._pair.ledger.take()
        self.totals["records"] += len(records)
        twice = [name for name, number in Counter(name for name, _, _ in records).items() if number > 1]
        if twice:
            yield f"recorded twice: {twice[:3]}"
        if not self._pair.setup.logs_all:
            return
        accepted = _added(before, after, "boxkite_log_records_total", outcome="accepted")
        dropped = _added(before, after, "boxkite_log_dropped_total")
        self.totals["dropped"] += dropped
        if len(records) + dropped < accepted or len(records) > accepted:
            yield f"{accepted} records accepted, {len(records)} delivered, {dropped} dropped"
        empty = self._predicted + self._logged - len(records) - dropped
        self.totals["empty"] += empty
        if not 0 <= empty <= self._may_be_empty:
            yield f"{empty} of {self._predicted + self._logged} predictions have no record, {self._may_be_empty} may"
        rows = _added(before, after, "boxkite_predictions_total")
        recorded = sum(number for _, _, number in records)
        if rows < recorded + dropped or (rows != recorded and not dropped):
            yield f"{rows} rows counted, {recorded} recorded, {dropped} records dropped"
        statuses = {name: status for name, status, _ in records}
        wrong = [
            (name, status, statuses[name])
            for name, status in self._answered.items()
            if status is not None and statuses.get(name, status) != status
        ]
        if wrong:
            yield f"status of records: {wrong[:3]}"
        without = sum(name not in statuses for name in self._answered)
        if without > empty + dropped:
            yield f"{without} answered predictions have no record, {empty} were empty, {dropped} dropped"


def _status(code: int) -> str:
    return "error" if code >= 500 else "client_error" if code >= 400 else "ok"


def _values(samples: Samples) -> dict[tuple[str, frozenset[tuple[str, str]]], float]:
    return {(name, frozenset(labels.items())): value for name, labels, value in samples.all()}


def _added(before: Samples, after: Samples, name: str, **labels: str) -> int:
    return int(_sum(after, name, labels) - _sum(before, name, labels))


def _sum(samples: Samples, name: str, labels: dict[str, str]) -> float:
    wanted = labels.items()
    return sum(value for sample, given, value in samples.all() if sample == name and wanted <= given.items())
