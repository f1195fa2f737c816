"""Which directory processes come to, who else may not, and what becomes of those that servers left."""

from __future__ import annotations

import itertools
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import textwrap
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from flask_boxkite import ConfigError, ModelMonitoringService
from flask_boxkite.delivery import records_section
from flask_boxkite.live.clock import Moment
from flask_boxkite.live.counts import Counts
from flask_boxkite.live.folding import IDLE
from flask_boxkite.live.increments import Increments
from flask_boxkite.live.process_counts import ProcessCounts
from flask_boxkite.live.retired import RETIRED
from flask_boxkite.live.sink_cells import ACCEPTED, DELIVERED
from flask_boxkite.live.state_directory import StateDirectory
from flask_boxkite.live.state_file import LiveFile
from flask_boxkite.live.store import Store
from flask_boxkite.live.sweeping import remove_unused
from flask_boxkite.system import process
from flask_boxkite.system.fork_mark import fork_mark
from flask_boxkite.system.process import ProcessName, ServerName, boot_id, name_of, pid_namespace
from tests.faults import die_at, ended, fork, go_on, has_stopped, killed, read_only, run_in_child, stop_at
from tests.live.directories import later, model_section, state_directory

ROOT = Path(__file__).parents[2]
needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="Only root can act as another user.")
NOBODY = 65534


@pytest.fixture
def base(tmp_path: Path) -> Path:
    """Return the only parent of automatic directories."""
    base = tmp_path / "base"
    base.mkdir()
    return base


def automatic(base: Path, app: str = "app", **options: Any) -> StateDirectory:
    """Return a state directory that is found by itself."""
    return state_directory(None, app, bases=[base], **options)


def opened(directory: StateDirectory) -> Path:
    """Return its path."""
    path = directory.open()
    assert path is not None
    return path


def said_by(child: Callable[[], object]) -> str:
    """Return what a forked process says."""
    read, write = os.pipe()
    assert ended(fork(lambda: os.write(write, str(child()).encode()))) == 0
    os.close(write)
    with open(read) as pipe:
        return pipe.read()


# --- found by itself -------------------------------------------------------------------------------------------------


def test_forks_of_the_builder_come_to_its_directory(base: Path) -> None:
    directory = automatic(base)
    child = said_by(lambda: opened(directory))
    assert child == said_by(lambda: said_by(lambda: opened(directory))) == str(opened(directory))


def test_each_app_has_a_directory_of_its_own(base: Path) -> None:
    directories = [automatic(base, name) for name in "aab"]
    assert len({opened(directory) for directory in directories}) == 3


@pytest.mark.parametrize("names", [("eu/churn", "eu_churn"), ("x" * 40 + "1", "x" * 40 + "2")], ids=["slash", "long"])
@pytest.mark.parametrize("explicit", [False, True], ids=["automatic", "explicit"])
def test_apps_whose_names_look_alike_share_nothing(
    base: Path, tmp_path: Path, names: tuple[str, str], explicit: bool
) -> None:
    first, second = (state_directory(tmp_path, name) if explicit else automatic(base, name) for name in names)
    assert opened(first) != opened(second)


NAME = """
import sys
sys.path.insert(0, {root!r})
from tests.live.directories import state_directory
print(state_directory(None, "only").open())
"""


def test_an_unrelated_process_of_the_same_program_comes_to_another() -> None:
    command = [sys.executable, "-c", NAME.format(root=str(ROOT))]
    found = [subprocess.run(command, check=True, capture_output=True, text=True).stdout for _ in range(2)]
    assert found[0] != found[1]
    for line in found:
        remove_unused(Path(line.strip()))


def test_the_name_says_whose_it_is(base: Path) -> None:
    directory = opened(automatic(base, "my app"))
    own = name_of(os.getpid())
    boot = boot_id().partition("-")[0]
    start = f"boxkite-{os.geteuid()}-{boot}-{pid_namespace()}-{own.pid}-{own.started}-my_app."
    assert directory.name.startswith(start)


@pytest.mark.parametrize("umask", [0o000, 0o077])
def test_it_is_private_whatever_the_umask(base: Path, umask: int) -> None:
    def check() -> None:
        os.umask(umask)
        store = Store(automatic(base))
        Counts(store, model_section()).add(Increments([0]))
        (directory,) = base.iterdir()
        assert directory.stat().st_mode & 0o7777 == 0o700
        assert {path.stat().st_mode & 0o7777 for path in directory.iterdir()} == {0o600}

    run_in_child(check)


def test_a_system_without_locks_keeps_counts_in_memory(base: Path) -> None:
    assert automatic(base, can_share=False).open() is None
    counts = Counts(Store(automatic(base, can_share=False)), model_section())
    counts.add(Increments([0]))
    assert counts.totals().cells.tolist() == [1]
    assert list(base.iterdir()) == []


# --- other users -----------------------------------------------------------------------------------------------------


def open_to_all(path: Path) -> None:
    path.mkdir()
    path.chmod(0o755)


def of_another(path: Path) -> None:
    if os.geteuid():
        pytest.skip("Only root can act as another user.")
    path.mkdir(0o700)
    os.chown(path, NOBODY, NOBODY)


def a_link(path: Path) -> None:
    target = path.parent.parent / "target"
    target.mkdir(0o700)
    path.symlink_to(target)


def a_file(path: Path) -> None:
    path.touch(0o600)


@pytest.mark.parametrize("make", [open_to_all, of_another, a_link, a_file])
def test_what_is_not_ours_alone_is_refused(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, make: Callable[[Path], None]
) -> None:
    """The next base is used; without any, counts stay in memory, and that is said once."""
    bases = [tmp_path / "first", tmp_path / "second"]
    for base in bases:
        base.mkdir()
    used = bases[:1]
    directory = state_directory(None, bases=used)
    name = opened(directory).name
    (bases[0] / name).rmdir()
    make(bases[0] / name)
    counts = Counts(Store(directory), model_section())
    for number in range(3):
        counts._block.slot_ends = 0.0
        counts.add(Increments([0]))
        assert counts.totals().cells.tolist() == [number + 1]
    assert sum("cannot be shared" in record.getMessage() for record in caplog.records) == 1
    used.append(bases[1])
    assert opened(directory) == bases[1] / name
    if make is a_link:
        assert list((tmp_path / "target").iterdir()) == []


# --- asked for -------------------------------------------------------------------------------------------------------


def message(path: Path) -> str:
    """Return what is said of a directory that cannot be written."""
    return re.escape(f"'BOXKITE_STATE_DIR': cannot write to '{path}'. Name a directory of this user on a local disk.")


def test_a_file_is_no_directory(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    for path in (tmp_path / "file", tmp_path / "file" / "below"):
        with pytest.raises(ConfigError, match=f"^{message(tmp_path / 'file')}$") as raised:
            state_directory(path)
        assert raised.value.key == "BOXKITE_STATE_DIR"


def test_a_link_to_nowhere_is_no_directory(tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to(tmp_path / "nowhere")
    with pytest.raises(ConfigError, match=message(tmp_path / "link")):
        state_directory(tmp_path / "link")


def test_a_read_only_disk_is_no_reason_to_refuse_a_directory_that_is_there(tmp_path: Path) -> None:
    """A worker that is replaced then reads what others have counted; a directory that is missing is a wrong name."""

    def counts() -> Counts:
        return Counts(Store(state_directory(tmp_path / "state")), model_section())

    killed(lambda: counts().add(Increments([0])))
    with read_only(tmp_path):
        fresh = counts()
        fresh.add(Increments([0]))
        assert fresh.totals().cells[0] == 2
        with pytest.raises(ConfigError, match=message(tmp_path)):
            state_directory(tmp_path / "wrong")
        by_another_name = state_directory(None, environ={"PROMETHEUS_MULTIPROC_DIR": str(tmp_path / "state")})
        assert by_another_name._explicit == tmp_path / "state"


@needs_root
def test_a_directory_that_this_user_cannot_write_is_refused(tmp_path: Path) -> None:
    # pytest keeps its directories to this user; in several processes there is one more of them.
    private = [path for path in (tmp_path, *tmp_path.parents) if path.stat().st_mode & 0o777 == 0o700]
    for path in private:
        path.chmod(0o755)
    (tmp_path / "state").mkdir(0o755)

    def check() -> None:
        os.setgid(NOBODY)
        os.setuid(NOBODY)
        for path in (tmp_path / "state", tmp_path / "state" / "below" / "it"):
            with pytest.raises(ConfigError, match=f"^{message(tmp_path / 'state')}$"):
                state_directory(path)

    try:
        run_in_child(check)
    finally:
        for path in private:
            path.chmod(0o700)


def test_a_missing_parent_is_made_with_the_first_prediction(tmp_path: Path) -> None:
    state = tmp_path / "a" / "b"
    service = ModelMonitoringService(sink="none", state_dir=str(state), model="m")
    assert not (tmp_path / "a").exists()
    service.log_prediction(None, [1.0], 1.0)
    assert len(list(state.iterdir())) == 1


def test_the_directory_of_the_multiprocess_client_is_used(tmp_path: Path) -> None:
    directory = state_directory(None, environ={"PROMETHEUS_MULTIPROC_DIR": str(tmp_path)})
    assert opened(directory).parent == tmp_path


@pytest.mark.parametrize("name", ["missing", "file"])
def test_a_multiprocess_directory_that_cannot_be_used_is_passed_over(base: Path, tmp_path: Path, name: str) -> None:
    (tmp_path / "file").touch()
    directory = automatic(base, environ={"PROMETHEUS_MULTIPROC_DIR": str(tmp_path / name)})
    assert opened(directory).parent == base


MULTIPROCESS = """
    import os, sys
    sys.path.insert(0, {root!r})
    from prometheus_client import Counter
    from flask_boxkite import ModelMonitoringService
    counter = Counter("mine", "Of the app.")
    service = ModelMonitoringService(sink="none", model="m")
    for _ in range(3):
        child = os.fork()
        if not child:
            counter.inc()
            service.log_prediction(None, [1.0], 1.0)
            os._exit(0)
        os.waitpid(child, 0)
    print(service.export_http()[0].decode())
"""


def test_the_multiprocess_collector_is_not_disturbed(tmp_path: Path) -> None:
    script = textwrap.dedent(MULTIPROCESS.format(root=str(ROOT)))
    environ = {**os.environ, "PROMETHEUS_MULTIPROC_DIR": str(tmp_path)}
    text = subprocess.run(
        [sys.executable, "-c", script], env=environ, check=True, capture_output=True, text=True
    ).stdout
    assert "mine_total 3.0" in text
    assert 'boxkite_predictions_total{model="m",baseline="none",status="ok"} 3' in text


@pytest.mark.parametrize("explicit", [False, True])
def test_apps_of_one_process_share_nothing(tmp_path: Path, explicit: bool) -> None:
    options = {"state_dir": str(tmp_path / "state")} if explicit else {}
    services = [ModelMonitoringService(sink="none", model="m", **options) for _ in range(2)]
    services[0].log_prediction(None, [1.0], 1.0)
    for service, number in zip(services, (1, 0), strict=True):
        assert f'status="ok"}} {number}' in service.export_http()[0].decode()


# --- old directories -------------------------------------------------------------------------------------------------


def left(base: Path, name: str, *, age: float = 0.0, files: tuple[str, ...] = (RETIRED, "live-x")) -> Path:
    """Return a directory that a server left."""
    directory = base / name
    directory.mkdir(0o700)
    for file in files:
        (directory / file).touch()
    if age:  # since another start has seen it for the first time
        now = Moment.now()
        (directory / IDLE).write_text(json.dumps(now._replace(uptime=now.uptime - age, wall=now.wall - age)))
    return directory


def automatic_name(*, boot: str | None = None, namespace: str | None = None, pid: int = 0, started: str = "1") -> str:
    """Return the name of a directory of some server."""
    boot = boot_id().partition("-")[0] if boot is None else boot
    namespace = pid_namespace() if namespace is None else namespace
    return f"boxkite-{os.geteuid()}-{boot}-{namespace}-{pid}-{started}-app.0"


def dead_pid() -> int:
    """Return the id of a process that has ended."""
    child = fork(lambda: None)
    assert ended(child) == 0
    return child


def test_the_directory_of_a_dead_server_is_removed(base: Path) -> None:
    gone = left(base, automatic_name(pid=dead_pid()))
    opened(automatic(base))
    assert not gone.exists()


def test_the_directory_of_a_dead_server_that_was_not_reaped_is_removed(base: Path) -> None:
    child = fork(lambda: None)
    gone = left(base, automatic_name(pid=child, started=name_of(child).started))
    os.waitid(os.P_PID, child, os.WEXITED | os.WNOWAIT)
    opened(automatic(base))
    assert not gone.exists()
    assert ended(child) == 0


@pytest.mark.parametrize(("app", "whose"), [("app", ""), ("other", " of the app 'app'")])
def test_what_a_dead_server_has_lost_is_logged_before_it_goes(
    base: Path, caplog: pytest.LogCaptureFixture, app: str, whose: str
) -> None:
    """No later process reads what it counted. The app that looks after it may be another."""
    gone = left(base, automatic_name(pid=dead_pid()), files=())

    def count_and_die() -> None:
        file, block = LiveFile(gone), ProcessCounts(records_section("file"), fork_mark())
        block.cells[ACCEPTED], block.cells[DELIVERED] = 10, 7
        file.take([block])
        os.kill(os.getpid(), signal.SIGKILL)

    assert ended(fork(count_and_die)) == -signal.SIGKILL
    opened(automatic(base, app))
    assert not gone.exists()
    assert [message.partition(":")[0] for message in caplog.messages] == [
        f"Dropped 3 records{whose} for the sink 'file' ('process_died')"
    ]


@pytest.mark.parametrize("fault", [die_at, stop_at], ids=["killed", "stopped"])
def test_a_sweep_that_ends_or_stops_at_any_step_costs_no_counts_and_is_done_by_another(
    base: Path, fault: Callable[[int], None]
) -> None:
    """Even where a worker has outlived its master, and begins to count where another server is just sweeping."""
    for step in itertools.count(1):
        worker = automatic(base)
        worker.server, worker._number = ServerName.of(ProcessName(dead_pid(), "1")), 0
        gone = left(base, automatic_name(pid=worker.server.pid), files=(RETIRED, "windows-x"))

        def sweep(step: int = step) -> None:
            fault(step)
            automatic(base).open()

        child = fork(sweep)
        is_unfinished = has_stopped(child)
        now = [1e6]
        store = Store(worker, clock=lambda now=now: now[0])  # type: ignore[misc]
        counts = Counts(store, model_section())
        counts.add(Increments([0]))
        code = go_on(child)
        assert code == 0 or fault is die_at
        now[0] += 60
        counts.add(Increments([0]))
        assert counts.totals().cells.tolist() == [2]
        assert gone.exists()
        store._process.close()
        opened(automatic(base))
        assert not gone.exists()
        if code == 0 and not is_unfinished:
            break
    assert step > 10


def test_an_id_that_came_again_does_not_keep_a_directory(base: Path) -> None:
    gone = left(base, automatic_name(pid=os.getppid(), started="1"))
    opened(automatic(base))
    assert not gone.exists()


def test_the_directory_of_a_live_server_stays_however_old(base: Path) -> None:
    parent = name_of(os.getppid())
    kept = left(base, automatic_name(pid=parent.pid, started=parent.started), age=1e7)
    opened(automatic(base))
    assert kept.exists()


def test_a_directory_in_which_a_process_counts_stays(base: Path) -> None:
    kept = left(base, automatic_name(pid=dead_pid()))
    file = LiveFile(kept)
    opened(automatic(base))
    assert kept.exists()
    file.close()
    opened(automatic(base))
    assert not kept.exists()


def test_what_another_boot_left_is_removed(base: Path) -> None:
    gone = left(base, automatic_name(boot="0a0a0a0a", pid=os.getppid()))
    opened(automatic(base))
    assert not gone.exists()


@pytest.mark.parametrize(("age", "stays"), [(3500, True), (3700, False)])
@pytest.mark.parametrize(
    "name",
    [automatic_name(namespace="12345", pid=1), automatic_name(pid=1, started=""), automatic_name(boot="", pid=1)],
    ids=["another container", "hidden server", "unknown boot"],
)
def test_what_nobody_can_judge_is_removed_after_an_hour(base: Path, name: str, age: float, stays: bool) -> None:
    found = left(base, name, age=age)
    opened(automatic(base))
    assert found.exists() is stays


def test_a_server_whose_processes_are_hidden_is_not_taken_for_dead(base: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its master runs as root, say, and '/proc' is mounted with 'hidepid'."""
    kept = left(base, automatic_name(pid=os.getppid(), started="12345"))
    monkeypatch.setattr(process, "_stat", lambda pid: [])
    opened(automatic(base))
    assert kept.exists()


HIDE = 'mount --bind /dev/null /proc/sys/kernel/random/boot_id && "$@"'
WITHOUT_BOOT_ID = ["unshare", "--mount", "sh", "-c", HIDE, "sh"]
OPEN = """
import sys
from pathlib import Path
from tests.live.directories import state_directory
print(state_directory(None, bases=[Path(sys.argv[1])]).open())
"""


def test_who_does_not_know_the_boot_does_not_judge_by_it(base: Path) -> None:
    if not shutil.which("unshare") or subprocess.run([*WITHOUT_BOOT_ID, "true"], capture_output=True).returncode:
        pytest.skip("Only root can hide the id of the boot.")
    other = left(base, automatic_name(pid=os.getppid()))
    program = [sys.executable, "-c", OPEN, str(base)]
    subprocess.run([*WITHOUT_BOOT_ID, *program], cwd=ROOT, check=True, capture_output=True)
    assert other.exists()
    subprocess.run(program, cwd=ROOT, check=True, capture_output=True)
    assert not other.exists()


@pytest.mark.parametrize(
    ("name", "files"),
    [
        ("other", (RETIRED,)),
        ("boxkite-experiments", ("notes.txt", "model.pkl")),
        ("boxkite-", ("notes.txt",)),
        (automatic_name(pid=4194305), (RETIRED, "notes.txt")),
    ],
    ids=["another name", "a user's own", "the prefix", "a user's file in ours"],
)
def test_what_is_not_ours_is_never_removed(base: Path, name: str, files: tuple[str, ...]) -> None:
    found = left(base, name, age=1e7, files=files)
    opened(automatic(base))
    assert {path.name for path in found.iterdir()} - {RETIRED, IDLE} == set(files) - {RETIRED}


@pytest.mark.parametrize("files", [("notes.txt",), ("live-x", "notes.txt")])
def test_what_is_not_ours_is_never_removed_from_a_directory_that_was_asked_for(
    tmp_path: Path, files: tuple[str, ...]
) -> None:
    found = left(tmp_path, "boxkite-backup", age=1e7, files=files)
    opened(state_directory(tmp_path))
    assert (found / "notes.txt").exists()


@pytest.mark.parametrize(("age", "stays"), [(6 * 86400, True), (8 * 86400, False)])
def test_what_another_replica_left_is_removed_after_a_week(tmp_path: Path, age: float, stays: bool) -> None:
    found = left(tmp_path, "boxkite-pod-app.0", age=age)
    opened(state_directory(tmp_path))
    assert found.exists() is stays


@pytest.mark.parametrize("change", [-1e8, 1e8], ids=["a clock ahead", "a clock behind"])
def test_no_time_of_a_file_says_how_old_a_directory_is(tmp_path: Path, change: float) -> None:
    found = left(tmp_path, "boxkite-pod-app.0")
    os.utime(found, (time.time() + change,) * 2)
    opened(state_directory(tmp_path))
    assert found.exists()
    for days, stays in ((6, True), (8, False)):
        opened(state_directory(tmp_path, clock=later(days * 86400)))
        assert found.exists() is stays


def test_a_directory_that_was_used_again_is_new(tmp_path: Path) -> None:
    home = state_directory(tmp_path)
    directory = opened(home)
    (directory / IDLE).write_text(json.dumps([*Moment.now()._replace(uptime=-1e8)]))
    assert opened(home) == directory
    assert not (directory / IDLE).exists()


@pytest.mark.parametrize("note", ["", "{}", "[1]", '["", "x", 1]', "[" * 9000])
def test_a_note_that_says_nothing_is_written_again(tmp_path: Path, note: str) -> None:
    found = left(tmp_path, "boxkite-pod-app.0")
    (found / IDLE).write_text(note)
    opened(state_directory(tmp_path))
    assert len(json.loads((found / IDLE).read_text())) == 3


@needs_root
def test_what_belongs_to_somebody_else_is_left_alone(base: Path) -> None:
    found = left(base, automatic_name(pid=dead_pid()))
    os.chown(found, NOBODY, NOBODY)
    opened(automatic(base))
    assert found.exists()


def test_a_link_is_not_followed(base: Path, tmp_path: Path) -> None:
    target = left(tmp_path, "target")
    (base / automatic_name(pid=dead_pid())).symlink_to(target)
    opened(automatic(base))
    assert len(list(target.iterdir())) == 2


def test_what_is_in_use_is_not_removed(base: Path) -> None:
    directory = opened(automatic(base))
    file = LiveFile(directory)
    remove_unused(directory)
    assert file.path.exists()
    file.close()


# --- scripts ---------------------------------------------------------------------------------------------------------

SCRIPT = """
    import os, sys
    sys.path.insert(0, {root!r})
    from flask_boxkite import ModelMonitoringService
    service = ModelMonitoringService(sink="none", model="m")
    service.log_prediction(None, [1.0], 1.0)
    print(service.app.exposition._store._process.directory, flush=True)
    {end}
"""
FORKS = """
    ready, tell = os.pipe()
    if not os.fork():
        service.log_prediction(None, [1.0], 1.0)
        os.write(tell, b"x")
        sys.stdin.read()
        os._exit(0)
    os.read(ready, 1)
"""


@pytest.fixture
def script() -> Iterator[Callable[[str], subprocess.Popen[str]]]:
    """Return what starts a script with this end."""
    started: list[subprocess.Popen[str]] = []

    def start(end: str) -> subprocess.Popen[str]:
        text = textwrap.dedent(SCRIPT).format(root=str(ROOT), end=textwrap.dedent(end).strip())
        pipe = subprocess.PIPE
        started.append(
            subprocess.Popen(
                [sys.executable, "-c", text], stdin=pipe, stdout=pipe, stderr=subprocess.DEVNULL, text=True
            )
        )
        return started[-1]

    yield start
    for script in started:
        script.communicate()


@pytest.mark.parametrize("end", ["", "raise ValueError", "sys.exit(3)"], ids=["end", "exception", "exit"])
def test_a_script_leaves_no_directory(script: Callable[[str], subprocess.Popen[str]], end: str) -> None:
    process = script(end)
    assert process.stdout is not None
    directory = Path(process.stdout.readline().strip())
    process.wait(30)
    assert directory.parent.is_dir()
    assert not directory.exists()


def test_a_script_leaves_its_directory_to_children_that_count(script: Callable[[str], subprocess.Popen[str]]) -> None:
    process = script(FORKS)
    assert process.stdout is not None
    directory = Path(process.stdout.readline().strip())
    process.wait(30)
    # The child's; a server that starts anywhere at this moment may fold the file of its parent, which has ended.
    assert len(list(directory.glob("live-*"))) in (1, 2)
    process.communicate()
    remove_unused(directory)
