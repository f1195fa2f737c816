"""Send rows to a server by the clients of inference servers: `python inference_clients.py CLIENT URL COLUMNS`.

It runs in an environment of the client's, without flask_boxkite. Each way of a client posts all rows to `URL/WAY/…`,
and the client itself reads the answer. *COLUMNS* is a JSON file of `{name: {"dtype", "values"}}`.
"""

from __future__ import annotations

import asyncio
import json
import sys
import urllib.request
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

Columns = dict[str, Any]
CLIENTS: dict[str, Callable[[str, Columns], None]] = {}


def client(send: Callable[[str, Columns], None]) -> Callable[[str, Columns], None]:
    """Register a client by the name of its function."""
    CLIENTS[send.__name__] = send
    return send


@client
def kserve(url: str, columns: Columns) -> None:
    """KServe's own REST client, by both of its protocols."""
    from kserve import InferenceRESTClient, InferInput, InferRequest
    from kserve.inference_client import RESTConfig
    from kserve.utils.numpy_codec import from_np_dtype

    def request(*, is_binary: bool) -> Any:
        inputs = []
        for name, column in columns.items():
            if column.dtype == np.float16 and not is_binary:
                continue  # which the client sends in binary only
            one = InferInput(name=name, shape=list(column.shape), datatype=from_np_dtype(column.dtype))
            one.set_data_from_numpy(column, binary_data=is_binary)
            inputs.append(one)
        return InferRequest(model_name="m", infer_inputs=inputs)

    async def post(way: str, protocol: str, data: Any) -> Any:
        rest = InferenceRESTClient(RESTConfig(protocol=protocol))
        try:
            return await rest.infer(f"{url}/{way}", data, model_name="m")
        finally:
            await rest.close()

    for way, is_binary in (("kserve-v2", False), ("kserve-v2-binary", True)):
        answer = asyncio.run(post(way, "v2", request(is_binary=is_binary)))
        check(answer.outputs[0].as_numpy(), columns)
    answer = asyncio.run(post("kserve-v1", "v1", {"instances": rows(columns)}))
    check(answer["outputs"][0]["data"], columns)


@client
def tritonclient(url: str, columns: Columns) -> None:
    """Triton's HTTP client; binary tensors unless told otherwise."""
    from tritonclient.http import InferenceServerClient, InferInput
    from tritonclient.utils import np_to_triton_dtype

    for way, is_binary in (("triton", True), ("triton-json", False)):
        inputs = []
        for name, column in columns.items():
            if column.dtype == np.float16 and not is_binary:
                continue  # which the client sends in binary only
            shape = [len(column), 1]
            one = InferInput(name, shape, np_to_triton_dtype(column.dtype))
            one.set_data_from_numpy(column.reshape(shape), binary_data=is_binary)
            inputs.append(one)
        compression = "gzip" if is_binary else None
        with InferenceServerClient(f"{url}/{way}".removeprefix("http://")) as server:
            answer = server.infer("m", inputs, request_compression_algorithm=compression)
        check(answer.as_numpy("output"), columns)


@client
def mlserver(url: str, columns: Columns) -> None:
    """MLServer's codecs, which its users post with a client of their choice."""
    import pandas as pd
    from mlserver.codecs import NumpyRequestCodec, PandasCodec
    from mlserver.types import InferenceResponse

    # A column of texts of which some are missing is an error in the codec.
    frame = pd.DataFrame({name: column for name, column in columns.items() if None not in column.tolist()})
    matrix = np.column_stack([columns["float32"], columns["float32 few"]])
    requests = {
        "mlserver": PandasCodec.encode_request(frame, use_bytes=False),
        "mlserver-base64": PandasCodec.encode_request(frame),
        "mlserver-matrix": NumpyRequestCodec.encode_request(matrix),
    }
    for way, request in requests.items():
        body = request.model_dump_json().encode()
        answer = post_json(f"{url}/{way}/v2/models/m/infer", body)
        check(InferenceResponse.model_validate_json(answer).outputs[0].data.root, columns)


@client
def mlflow(url: str, columns: Columns) -> None:
    """MLflow's scoring client."""
    import pandas as pd
    from mlflow.pyfunc.scoring_server.client import ScoringServerClient

    frame = pd.DataFrame(columns)
    matrix = np.column_stack([columns["float32"], columns["float32 few"]])
    for way, each in (("mlflow", frame), ("mlflow-matrix", matrix)):
        server = ScoringServerClient("localhost", 0)
        server.url_prefix = f"{url}/{way}"
        check(server.invoke(each).get_predictions("ndarray").ravel(), columns)


def rows(columns: Columns) -> list[dict[str, Any]]:
    """Return plain rows; NaN as null."""
    plain = {name: [None if value != value else value for value in column.tolist()] for name, column in columns.items()}
    return [dict(zip(plain, row, strict=True)) for row in zip(*plain.values(), strict=True)]


def post_json(url: str, body: bytes) -> bytes:
    """Post JSON; return the answer."""
    request = urllib.request.Request(url, body, {"Content-Type": "application/json"})
    with urllib.request.urlopen(request, timeout=60) as answer:
        found: bytes = answer.read()
        return found


def check(answer: Any, columns: Columns) -> None:
    """Check that a client has read as many outputs as there are rows."""
    number = len(next(iter(columns.values())))
    assert len(list(answer)) == number, answer


def main(name: str, url: str, path: str) -> None:
    """Send the rows of a file by a client."""
    described = json.loads(Path(path).read_text(encoding="utf-8"))
    CLIENTS[name](url, {column: np.array(about["values"], about["dtype"]) for column, about in described.items()})


if __name__ == "__main__":
    main(*sys.argv[1:])
