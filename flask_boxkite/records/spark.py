"""An executor whose processes are the ones of Spark."""

from __future__ import annotations

import pickle
from collections.abc import Callable, Iterable, Iterator
from importlib import import_module
from typing import Any

__all__ = ["SparkExecutor"]


class SparkExecutor:
    """Counts records in the processes of a Spark cluster: ``Records(..., executor=SparkExecutor(spark))``.

    All its machines need this package with the extra ``records``, and the records at the same path or URL. Calls go
    there as rows of a frame, so a session of Spark Connect will do.

    Args:
        session: Session of Spark, from 3.5 on.
    """

    def __init__(self, session: Any) -> None:
        self._session = session

    def map(self, function: Callable[..., Any], /, *iterables: Iterable[Any]) -> Iterator[Any]:
        """Yield the results of calls with one item of each iterable, in their order.

        Raises:
            PySparkException: A call has failed; the text has its error.
        """
        functions = import_module("pyspark.sql.functions")

        calls = [(place, pickle.dumps((function, items))) for place, items in enumerate(zip(*iterables, strict=True))]
        if not calls:
            return
        frame = self._session.createDataFrame(calls, "place int, call binary")
        called = functions.udf(_called, "binary", useArrow=False)("call").alias("result")
        done = frame.repartitionByRange(len(calls), "place").select("place", called)
        results = {row.place: row.result for row in done.collect()}
        for place in range(len(calls)):
            yield pickle.loads(results[place])  # made by `_called`


def _called(call: bytes) -> bytes:
    """Return the result of a call; called in a process of Spark."""
    function, items = pickle.loads(call)  # made by `map`
    return pickle.dumps(function(*items))
