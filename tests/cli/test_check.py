"""`check` in a terminal: what is right, what is wrong, and its exit code for a CI job."""

from __future__ import annotations

import subprocess
from pathlib import Path

import numpy as np
import pytest

from flask_boxkite import ModelMonitoringService
from flask_boxkite.cli.probes import TAG
from tests.cli.commands import people, run, run_module, run_python
from tests.faults import read_only
from tests.peers import FluentServer

SOURCE = """
from flask import Flask
from flask_boxkite import Boxkite

app = Flask("scoring")
app.config.from_prefixed_env()
monitor = Boxkite(app)


@app.post("/score")
@monitor.predict
def score():
    return {"score": 0.5}
"""
Done = subprocess.CompletedProcess[str]


@pytest.fixture(autouse=True)
def directory(tmp_path: Path, rng: np.random.Generator) -> Path:
    """Return a directory with an app and a baseline."""
    frame = people(rng)
    ModelMonitoringService.export_text(frame.drop("score"), frame["score"], tmp_path / "b.prom", model="credit")
    (tmp_path / "scoring.py").write_text(SOURCE)
    return tmp_path


def check(cwd: Path, *words: str, app: str | None = "scoring", **settings: str | Path) -> Done:
    """Run the command for an app, or for the environment alone; settings are named without ``BOXKITE_``."""
    env = {f"FLASK_BOXKITE_{key}": str(value) for key, value in settings.items()} | {"COLUMNS": "200"}
    if app is None:
        return run("check", *words, cwd=cwd, **env)
    return run_module("flask", "--app", app, "boxkite", "check", *words, cwd=cwd, **env)


def lines(done: Done) -> list[str]:
    assert done.stderr == ""
    return [line.rstrip() for line in done.stdout.splitlines()]


def test_a_large_number_of_series_is_told_with_the_remedy(directory: Path, rng: np.random.Generator) -> None:
    columns = {f"x{number}": rng.normal(size=300) for number in range(1200)}
    ModelMonitoringService.export_text(columns, None, directory / "wide.prom", progress=False)
    found = lines(check(directory, BASELINE="wide.prom"))

    (place,) = (index for index, line in enumerate(found) if line.startswith("! '/metrics' has "))
    number = int(found[place].removeprefix("! '/metrics' has ").split()[0].replace(",", ""))
    assert found[place].endswith(" series, which each replica adds to Prometheus.")
    assert "Set 'BOXKITE_EXPORT_BINS' to false" in found[place + 1]
    body, _ = ModelMonitoringService(directory / "wide.prom", sink="none").export_http()
    ours = [line for line in body.decode().splitlines() if not line.startswith("#")]
    assert number == pytest.approx(len(ours), abs=20)  # the app's sink adds some
    assert number > 100_000
    few = lines(check(directory, BASELINE="wide.prom", EXPORT_BINS="false"))
    assert not [line for line in few if "each replica adds" in line]


def test_an_app_in_order_has_no_problem(directory: Path) -> None:
    settings = {"BASELINE": "b.prom", "STATE_DIR": directory / "state", "LOG_DIR": directory / "records"}
    done = check(directory, METRICS_TOKEN="secret", **settings)
    found = lines(done)

    assert done.returncode == 0
    assert found[:2] == [
        "✓ App 'scoring' has a monitor, whose settings are valid.",
        "✓ Model 'credit' has a baseline: 5 features, 1 output, 600 training rows.",
    ]
    assert found[2].startswith(f"✓ Processes of a server count together in '{directory / 'state'}")
    assert found[3] == "✓ Metrics are at '/metrics', for everyone with the token."
    assert found[4].startswith(f"✓ State directory: '{directory / 'state'}' can be written; ")
    assert found[5].startswith(f"✓ Files of records: '{directory / 'records'}' can be written; ")
    assert found[6:] == ["", "0 problems, 0 hints"]
    assert "secret" not in done.stdout


def test_what_the_doctor_says_is_there_with_its_remedy(directory: Path) -> None:
    done = check(directory, BASELINE="b.prom", DASHBOARD_PATH="/drift")
    found = lines(done)
    place = found.index("! Everybody who reaches the server can see the drift page.")
    assert found[place + 1] == "  Set 'BOXKITE_METRICS_TOKEN', or give Boxkite a 'dashboard_guard'."
    assert (done.returncode, found[-1]) == (0, "0 problems, 2 hints")


def test_a_forgotten_decorator_is_a_hint(directory: Path) -> None:
    (directory / "scoring.py").write_text(SOURCE.replace("@monitor.predict\n", ""))
    found = lines(check(directory, BASELINE="b.prom"))

    place = found.index("! No view of the app has '@monitor.predict', so none is counted by itself.")
    assert found[place + 1].strip().startswith("Write it below the route of the view that predicts")


def test_values_that_cannot_be_read_name_the_baseline(directory: Path) -> None:
    """As where the baseline is of another model: texts come in a feature of numbers."""
    program = """
from scoring import app, monitor
with app.app_context():
    for _ in range(30):
        monitor.log_prediction(features={"age": "a text", "income": 5.0, "city": "Rome"}, output=0.5)
"""
    settings = {"BASELINE": "b.prom", "STATE_DIR": directory / "state"}
    env = {f"FLASK_BOXKITE_{key}": str(value) for key, value in settings.items()}
    assert run_python("-c", program, cwd=directory, **env).returncode == 0
    found = lines(check(directory, **settings))

    what = "✗ Model 'credit': no live value of 'age' can be read: texts such as 'a text', not numbers."
    assert found[found.index(what) + 1].strip().startswith("Is it the baseline of another model?")


def test_a_problem_has_an_exit_code(directory: Path) -> None:
    done = check(directory, LOG_DIR=directory / "records")
    assert "✗ Model 'default' has no baseline, so nothing can drift." in lines(done)
    assert (done.returncode, lines(done)[-1]) == (1, "1 problem, 0 hints")


def test_problems_of_the_running_server_are_seen(directory: Path) -> None:
    """The command reads the counts of a server whose state directory has a name."""
    program = """
from scoring import app, monitor
with app.app_context():
    monitor.log_prediction(features=None, output=0.5)
"""
    settings = {"BASELINE": "b.prom", "STATE_DIR": directory / "state", "LOG_DIR": directory / "records"}
    env = {f"FLASK_BOXKITE_{key}": str(value) for key, value in settings.items()}
    assert run_python("-c", program, cwd=directory, **env).returncode == 0
    done = check(directory, **settings)
    found = lines(done)
    place = found.index("✗ Features were not found in 1 request.")
    assert found[place + 1] == "  log_prediction() was called without 'features'."
    assert done.returncode == 1


def test_what_was_not_looked_at_is_said_before_the_number_of_problems(directory: Path) -> None:
    """Counts of a server in its own memory, or without the app that names its models, are out of reach."""
    start, end = "The requests of a running server were not looked at. ", ", or run: flask boxkite drift --url URL"
    found = lines(check(directory, BASELINE="b.prom", SINK="none"))
    remedy = "Give it and this command the same 'BOXKITE_STATE_DIR'"
    assert found[-4:-1] == ["", f"{start}{remedy}{end}", ""]
    assert found[-1].startswith("0 problems, ")
    found = lines(check(directory, app=None, BASELINE="b.prom", STATE_DIR="state", SINK="none"))
    assert found[-3] == f"{start}Name the app (--app){end}"


def test_processes_that_would_count_for_themselves_are_a_hint(directory: Path) -> None:
    """A file of another user has the name of the directory that they would share."""
    (directory / "state").mkdir()
    (directory / "state" / "boxkite-pod-scoring.0").touch()
    done = check(directory, BASELINE="b.prom", STATE_DIR="state", POD_NAME="pod", SINK="none")
    found = lines(done)
    place = found.index(
        "! Each process counts in its own memory, so metrics and page show only the process that answers."
    )
    assert found[place + 1].startswith("  See the log: 'BOXKITE_STATE_DIR' must be on a local disk")
    assert not any("count together" in line for line in found)
    assert done.returncode == 0


def test_a_wrong_setting_is_a_problem(directory: Path) -> None:
    done = check(directory, LOGDIR="records")
    assert lines(done)[0] == "✗ 'BOXKITE_LOGDIR' is not a setting of flask-boxkite. Did you mean 'BOXKITE_LOG_DIR'?"
    assert done.returncode == 1


def test_what_would_move_the_cursor_is_not_printed(directory: Path) -> None:
    done = check(directory, BASELINE="x\n\x1b[31m.prom")
    assert lines(done)[0].startswith("✗ Baseline file 'x��[31m.prom': it cannot be read")


def test_a_terminal_of_few_letters_tells_problems_from_what_is_right(directory: Path) -> None:
    done = run("check", cwd=directory, PYTHONUTF8="0", PYTHONIOENCODING="ascii")
    assert [line[:2] for line in lines(done)[:4]] == ["+ ", "+ ", "x ", "  "]


def test_a_missing_baseline_is_a_problem(directory: Path) -> None:
    done = check(directory, BASELINE="none.prom")
    assert lines(done)[0].startswith("✗ Baseline file 'none.prom': it cannot be read: No such file or directory.")
    assert done.returncode == 1


@pytest.mark.parametrize(
    ("given", "problem"),
    [
        ("{}", "'BOXKITE_BASELINE' must name at least one model, each by a text, got {}."),
        (
            '{"fraud": 1}',
            "'BOXKITE_BASELINE' must be a path, a Baseline, or a mapping of model names to those, got 1.",
        ),
    ],
)
def test_baselines_that_no_app_would_take_are_a_problem(directory: Path, given: str, problem: str) -> None:
    done = check(directory, app=None, BASELINE=given)
    assert lines(done)[0] == f"✗ {problem}"
    assert done.returncode == 1


def test_an_app_without_a_monitor_is_told_so(directory: Path) -> None:
    (directory / "plain.py").write_text("from flask import Flask\napp = Flask('plain')\n")
    done = check(directory, app="plain")
    assert lines(done)[0] == "✗ App 'plain' has no Boxkite monitor. Did you forget to call 'init_app'?"
    assert done.returncode == 1


def test_an_app_that_is_not_there_is_wrong_usage(directory: Path) -> None:
    done = check(directory, app="nothing")
    assert done.returncode == 2
    assert "Could not import 'nothing'." in done.stderr


def test_monitoring_that_is_off_is_only_said(directory: Path) -> None:
    done = check(directory, ENABLED="false")
    assert (done.returncode, lines(done)[1]) == (0, "! Monitoring is off.")


def test_without_an_app_the_environment_is_looked_at(directory: Path) -> None:
    """Even where there is an ``app.py`` that flask would find."""
    (directory / "app.py").write_text("raise SystemExit(9)")
    done = check(directory, app=None, BASELINE="b.prom", LOG_DIR="records")
    assert lines(done)[:2] == [
        "✓ There is no app; the environment sets FLASK_BOXKITE_BASELINE, FLASK_BOXKITE_LOG_DIR.",
        "✓ Model 'credit' has a baseline: 5 features, 1 output, 600 training rows.",
    ]
    assert done.returncode == 0
    assert not (directory / "records").exists()


def test_a_baseline_of_another_model_is_a_hint(directory: Path) -> None:
    done = check(directory, app=None, BASELINE='{"fraud": "b.prom"}', LOG_DIR="records")
    assert lines(done)[1].startswith("! The baseline of model 'fraud' says that it is of 'credit': 5 features")


def test_a_redacted_name_that_is_nearly_a_variable_is_a_hint(directory: Path) -> None:
    """Any other name may be a field of the requests."""
    done = check(directory, BASELINE="b.prom", REDACT="AGE,incme,person.citty,phone,customer.mail")
    found = lines(done)
    place = found.index("! 'BOXKITE_REDACT' names 'incme', which is no feature or output.")
    assert found[place + 1] == (
        "  Did you mean 'income'? If 'incme' is another field of the requests, it is redacted as it is."
    )
    assert "! 'BOXKITE_REDACT' names 'person.citty', which is no feature or output." in found
    note = "names 'phone', 'customer.mail': no feature or output, but perhaps a field of the requests."
    assert f"✓ 'BOXKITE_REDACT' {note}" in found
    assert not any("AGE" in line for line in found)
    assert done.returncode == 0


def test_a_directory_that_cannot_be_written_is_a_problem(directory: Path) -> None:
    (directory / "file").touch()
    (directory / "readable").mkdir()
    done = check(
        directory, app=None, BASELINE="b.prom", LOG_DIR="file/records", SPOOL_DIR="readable", SPOOL_BYTES="9" * 17
    )
    found = lines(done)
    place = found.index(f"✗ Files of records: '{directory / 'file'}' cannot be written.")
    assert found[place + 1] == "  Name another directory in 'BOXKITE_LOG_DIR'."
    (spool,) = (line for line in found if line.startswith(f"! Spool: '{directory / 'readable'}' has "))
    assert " free, but may grow to " in spool
    assert list((directory / "readable").iterdir()) == []
    assert done.returncode == 1


def test_a_read_only_disk_is_a_problem(directory: Path) -> None:
    spool = directory / "spool"
    spool.mkdir()
    with read_only(spool):
        done = check(directory, BASELINE="b.prom", SPOOL_DIR=spool, LOG_DIR=directory)
    found = lines(done)
    place = found.index(f"✗ Spool: the disk of '{spool}' is read-only.")
    assert found[place + 1] == "  Make it writable, or name a directory on another disk in 'BOXKITE_SPOOL_DIR'."
    assert done.returncode == 1


# --- fluentd ---------------------------------------------------------------------------------------------------------


@pytest.mark.peers
@pytest.mark.parametrize(("mode", "is_problem"), [(0o777, True), (0o1777, False), (0o770, False)])
def test_a_directory_in_which_anyone_can_replace_files_is_a_problem(
    directory: Path, mode: int, is_problem: bool
) -> None:
    shared = directory / "shared"
    shared.mkdir()
    shared.chmod(mode)
    found = lines(check(directory, BASELINE="b.prom", LOG_DIR=shared / "records", METRICS_TOKEN="secret"))
    said = f"✗ Files of records: every user of this machine can replace what is in '{shared}'."
    assert (said in found) is is_problem


SECRETS = ("S3CRET-TOKEN", "S3CRET-KEY", "S3CRET-PASSWORD")
HIDDEN = {
    "METRICS_TOKEN": SECRETS[0],
    "FLUENTD_ADDR": "127.0.0.1:1",
    "FLUENTD_SHARED_KEY": SECRETS[1],
    "FLUENTD_USER": "me",
    "FLUENTD_PASSWORD": SECRETS[2],
}


@pytest.mark.parametrize(
    "wrong",
    [
        {},
        {"QUEUE_BYTES": "x"},
        {"FLUENTD_USER": ""},
        {"FLUENTD_SHARED_KEY": ""},
        {"FLUENTD_CA_FILE": "none.pem"},
        {"FLUENTD_ADDR": "tls://me:S3CRET-PASSWORD@host:1"},
        {"FLUENTD_ADDR": "me:S3CRET-PASSWORD@host:1"},
        {"METRICS_TOKEN": "S3CRET-TOKEN\\n"},
        {"METRICS_TOKEN": "1.5"},
        {"FLUENTD_SHARED_KEY": "true"},
    ],
    ids=lambda wrong: ", ".join(wrong),
)
@pytest.mark.parametrize("app", ["scoring", None])
def test_no_secret_is_shown_whatever_is_wrong(directory: Path, wrong: dict[str, str], app: str | None) -> None:
    done = check(directory, BASELINE="b.prom", app=app, **(HIDDEN | wrong))
    assert done.stdout
    for secret in (*SECRETS, "S3CRET"):
        assert secret not in done.stdout + done.stderr


def test_no_secret_is_in_the_traceback_of_an_app_that_does_not_start(directory: Path) -> None:
    (directory / "scoring.py").write_text(SOURCE)
    env = {f"FLASK_BOXKITE_{key}": value for key, value in (HIDDEN | {"QUEUE_BYTES": "x"}).items()}
    done = run_python("scoring.py", cwd=directory, **env)
    assert "'BOXKITE_QUEUE_BYTES' must be an integer" in done.stderr
    assert "S3CRET" not in done.stderr


@pytest.mark.parametrize(
    "words",
    [
        ("drift", "--url", "http://me:S3CRET@127.0.0.1:1/boxkite"),
        ("drift", "--url", "me:S3CRET@127.0.0.1:1/boxkite"),
        ("drift", "--url", "http://127.0.0.1:1/boxkite", "--token", "S3CRET"),
        ("drift", "--records", "ftp://me:S3CRET@127.0.0.1:1/records", "--baseline", "b.prom"),
        ("drift", "--records", "nothing://me:S3CRET@host/records?sig=S3CRET", "--baseline", "b.prom"),
        ("baseline", "https://me:S3CRET@127.0.0.1:1/train.csv?sig=S3CRET", "--out", "new.prom"),
        ("compare", "b.prom", "https://me:S3CRET@127.0.0.1:1/train.parquet"),
    ],
    ids=lambda words: " ".join(words),
)
def test_no_command_shows_the_password_of_an_address(directory: Path, words: tuple[str, ...]) -> None:
    done = run(*words, cwd=directory)
    assert done.returncode in (1, 2)
    assert done.stderr
    assert "S3CRET" not in done.stdout + done.stderr


def test_a_receiver_acknowledges_one_record_of_its_own_tag(directory: Path) -> None:
    with FluentServer(directory / "server", shared_key="key") as server:
        done = check(directory, BASELINE="b.prom", FLUENTD_ADDR=server.addr, FLUENTD_SHARED_KEY="key")
        assert done.returncode == 0, done.stdout
        assert f"✓ fluentd at {server.addr} acknowledged a record (tag boxkite.check) in " in done.stdout
        assert [record["tag"] for record in server.records()] == [TAG]

        done = check(directory, BASELINE="b.prom", FLUENTD_ADDR=server.addr, FLUENTD_SHARED_KEY="other")
        assert done.returncode == 1
        assert f"✗ fluentd at {server.addr} does not acknowledge: fluentd refused us: " in done.stdout


def test_each_address_is_tried_unless_offline(directory: Path, free_tcp_port: int) -> None:
    addresses = f"127.0.0.1:{free_tcp_port},nowhere.invalid:1"
    done = check(directory, BASELINE="b.prom", FLUENTD_ADDR=addresses)
    assert f"✗ fluentd at 127.0.0.1:{free_tcp_port} does not acknowledge: [Errno 111] Connection refused." in lines(
        done
    )
    assert any(line.startswith("✗ fluentd at nowhere.invalid:1 does not acknowledge: ") for line in lines(done))
    assert done.returncode == 1

    done = check(directory, "--offline", BASELINE="b.prom", FLUENTD_ADDR=addresses)
    assert "fluentd at" not in done.stdout
    assert done.returncode == 0


ROUTES = """
from flask import Blueprint, Flask
from flask_boxkite import Boxkite

monitor = Boxkite()
app = Flask("scoring")
app.config.from_prefixed_env()
monitor.init_app(app)


@app.post("/one")
@monitor.predict(model="rsik")
def misspelt():
    return {"score": 0.5}


@monitor.predict
@app.post("/two")
def upside_down():
    return {"score": 0.5}


unused = Blueprint("unused", __name__)


@unused.post("/three")
@monitor.predict(model="other")
def unused_view():
    return {"score": 0.5}
"""


def test_views_that_are_routed_wrongly_are_problems(directory: Path) -> None:
    """Addresses that are not routed are not requested."""
    (directory / "routes.py").write_text(ROUTES)
    done = check(directory, BASELINE="b.prom", app="routes")
    assert done.returncode == 1
    problems = [line for line in lines(done) if line.startswith("✗")]
    assert problems == [
        "✗ '@monitor.predict' stands above the route of 'upside_down', so it sees no request and counts nothing. "
        "Write the route first: '@app.post(...)', then '@monitor.predict'.",
        "✗ 'misspelt' is counted without a baseline. 'BOXKITE_BASELINE' has only the model 'credit', not 'rsik'. "
        "Set it to a mapping, such as {'rsik': path}.",
    ]


TWINS = """
from flask import Flask
from flask_boxkite import Boxkite


def create_app(name=None):
    app = Flask("scoring")
    app.config.from_prefixed_env()
    Boxkite(app, name=name)
    return app


app, twin = create_app(), create_app({name})
"""


@pytest.mark.parametrize(("name", "hints"), [("None", 1), ("'twin'", 0)])
def test_apps_that_only_their_order_tells_apart_are_a_hint(directory: Path, name: str, hints: int) -> None:
    (directory / "twins.py").write_text(TWINS.format(name=name))
    done = check(directory, BASELINE="b.prom", LOG_DIR=directory / "records", app="twins")
    text = (
        "! Another app of this process has the same name, and monitors the same model with the same baseline: only the"
    )
    assert sum(line.startswith(text) for line in lines(done)) == hints
    assert done.returncode == 0
