#!/usr/bin/env bash
# Dask's distributed 2026.8.0: Client.get_executor() is an Executor of concurrent.futures, but its map() takes no
# iterator: repeat(2) beside a list, as with the executors of the standard library, is a TypeError (it has no length), and
# so is a generator alone. Code that is given any executor has to make lists of all its arguments.
#
# Seen: "threads: [1, 4, 9] [1, 4, 9]  Dask: [1, 4, 9] TypeError TypeError  is an Executor: True"
set -euo pipefail
folder="$(mktemp -d)"
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check distributed==2026.8.0
"$folder/venv/bin/python" - <<'PYTHON'
from concurrent.futures import Executor, ThreadPoolExecutor
from itertools import repeat

import distributed


def mapped(executor, *iterables):
    """Return the results, or the name of the error."""
    try:
        return list(executor.map(pow, *iterables))
    except Exception as error:
        return type(error).__name__


def numbers():
    """Yield 1, 2 and 3."""
    yield from (1, 2, 3)


print("distributed", distributed.__version__)
with ThreadPoolExecutor(1) as threads:
    of_threads = mapped(threads, [1, 2, 3], repeat(2)), mapped(threads, numbers(), [2, 2, 2])
with distributed.Client(processes=False, dashboard_address=None) as client:
    executor = client.get_executor()
    of_lists = mapped(executor, [1, 2, 3], [2, 2, 2])
    of_iterators = mapped(executor, [1, 2, 3], repeat(2)), mapped(executor, numbers(), [2, 2, 2])
print("threads:", *of_threads, " Dask:", of_lists, *of_iterators, " is an Executor:", isinstance(executor, Executor))
assert of_threads == ([1, 4, 9], [1, 4, 9])
assert of_lists == [1, 4, 9]
assert of_iterators == ("TypeError", "TypeError")
assert isinstance(executor, Executor)
PYTHON
