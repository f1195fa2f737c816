"""Records made by hand, in files of the documented layout."""

from __future__ import annotations

import gzip
import json
from datetime import datetime, timezone
from pathlib import Path
from typing import Any
from uuid import uuid4

__all__ = ["ENDPOINT", "record", "seconds", "write"]

ENDPOINT = "models/predictions/credit"


def seconds(text: str) -> int:
    """Return a UTC time in Unix seconds."""
    return int(datetime.fromisoformat(text).replace(tzinfo=timezone.utc).timestamp())


def record(features: Any = None, at: str = "2026-01-01T08:00:30", **fields: Any) -> dict[str, Any]:
    """Return a record as the service makes it."""
    entity_id = fields.pop("entity_id", None) or str(uuid4())
    return {
        "entity_id": entity_id,
        "features": features,
        "request_body": "{}",
        "server_id": "server-1",
        "output": None,
        "created_at": seconds(at),
        "prediction_id": f"server-1/{at}/{entity_id}",
        "model": "credit",
        "baseline": None,
        "version": None,
        "status": "ok",
        "duration_ms": 1.25,
        "rows": 1,
        **fields,
    }


def write(root: Path, *lines: Any, name: str = "boxkite-pod-1", folder: str = ENDPOINT, suffix: str = ".txt") -> Path:
    """Append records, or lines as they are, to the file of the first record's minute; return its path."""
    first = next(line for line in lines if isinstance(line, dict))
    moment = datetime.fromtimestamp(first["created_at"], timezone.utc)
    path = root / folder / f"{moment:%Y-%m-%d}" / f"{moment:%H%M}_{name}{suffix}"
    path.parent.mkdir(parents=True, exist_ok=True)
    data = b"".join(
        json.dumps(line, ensure_ascii=False).encode() + b"\n" if isinstance(line, dict) else line for line in lines
    )
    with (gzip.open if suffix.endswith(".gz") else open)(path, "ab") as file:  # type: ignore[operator]
        file.write(data)
    return path
