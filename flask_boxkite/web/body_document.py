"""The JSON document in a request's body: plain, compressed, or with binary tensors behind it.

It is parsed apart from the view's, so nothing is shared with the view.
"""

from __future__ import annotations

import json
from typing import Any

from werkzeug.wrappers import Request

from flask_boxkite.payloads import binary_document, decompressed
from flask_boxkite.web.request_features import BINARY_LENGTH

__all__ = ["BodyDocument"]


class BodyDocument:
    """Reads the body of one request.

    Args:
        request: The request.
        limit: Largest size of a decompressed body in bytes.
    """

    def __init__(self, request: Request, limit: int) -> None:
        self._encoding = request.environ.get("HTTP_CONTENT_ENCODING")
        self._length = request.environ.get(BINARY_LENGTH)
        self._limit = limit

    def of(self, body: bytes) -> Any:
        """Return the document of a whole body.

        Raises:
            LookupError, ValueError, RecursionError: It is not JSON.
        """
        if self._encoding:
            body = decompressed(body, self._encoding, self._limit)
        return binary_document(body, self._length) if self._length else json.loads(body)
