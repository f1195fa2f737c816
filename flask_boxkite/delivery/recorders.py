"""All recorders of an app, one for each sink: a sink that fails does not delay the others or cost them records."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from flask_boxkite.delivery.recorder import Recorder
from flask_boxkite.delivery.shipper import Shipper
from flask_boxkite.delivery.shutdown import HEALTHY_EXIT_SECONDS, close_together, ends_after_answer, skips_exit_hooks
from flask_boxkite.quoting import loggable
from flask_boxkite.system.throttle import Throttle

__all__ = ["Recorders"]

logger = logging.getLogger("flask_boxkite")


class Recorders:
    """Hands every record to all sinks; false if there are none.

    Args:
        recorders: Recorders, one for each sink.
        clock: Returns a monotonic time, by which they share the time at the end.
    """

    def __init__(self, recorders: Sequence[Recorder], clock: Callable[[], float] = time.monotonic) -> None:
        self._recorders = tuple(recorders)
        self._shippers: Sequence[Shipper] = ()
        self._clock = clock
        self._throttle = Throttle()

    def __bool__(self) -> bool:
        return bool(self._recorders)

    def __iter__(self) -> Iterator[Recorder]:
        return iter(self._recorders)

    def own(self) -> Sequence[Shipper]:
        """Return the shippers of this process, one for each sink."""
        shippers = self._shippers
        if not shippers or not shippers[0].mark[0]:
            shippers = self._shippers = tuple(recorder.own() for recorder in self._recorders)
        return shippers

    def record(self, time_ns: int, record: dict[str, Any]) -> None:
        """Pack a record of plain JSON values and queue it, for every sink; a sink that cannot pack it counts it."""
        for recorder in self._recorders:
            try:
                recorder.record(time_ns, record)
            except Exception as error:
                recorder.drop("unencodable")
                if self._throttle.allows():
                    text = "A prediction could not be packed for the sink %r; it is counted as dropped."
                    logger.warning(text, recorder.sink.name, exc_info=loggable(error))

    def drop(self, reason: str) -> None:
        """Count a record that could not be made."""
        for recorder in self._recorders:
            recorder.drop(reason)

    def check_server(self, environ: Mapping[str, Any]) -> bool:
        """Log which setting helps where a process may end before it has delivered waiting records.

        Args:
            environ: Environment of a WSGI request.

        Returns:
            Whether `hand_over` must be called when the request is answered, because the process ends then.
        """
        if ends_after_answer():
            return bool(self._recorders)
        if skips_exit_hooks(environ) and not all(recorder.is_spooling for recorder in self._recorders):
            logger.warning(
                "SIGTERM may end this server before it has delivered the records of its last moments, which are then "
                "lost. Set 'BOXKITE_SPOOL_DIR' to keep records on disk until they are delivered."
            )
        return False

    def hand_over(self) -> None:
        """Deliver waiting records, in the time that healthy sinks need."""
        self.flush(HEALTHY_EXIT_SECONDS)

    def adopt_orphans(self) -> None:
        """See that all records are delivered, including records that dead processes left on disk."""
        for recorder in self._recorders:
            recorder.adopt_orphans()

    def flush(self, timeout: float) -> int:
        """Wait until all records are delivered; return the number left after *timeout* seconds, over all sinks."""
        deadline = self._clock() + timeout
        return sum(recorder.flush(max(deadline - self._clock(), 0)) for recorder in self._recorders)

    def close(self) -> None:
        """Deliver the records that can be delivered in time, all sinks at once, and stop."""
        close_together((recorder.at_shutdown() for recorder in self._recorders), self._clock)
