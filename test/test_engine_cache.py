"""The engine cache, with a FAKE runtime: plans are text. It proves nothing about TensorRT.

Files, owners, locks, limits and processes are real.
"""

import json
import os
import signal
import stat
import subprocess
import sys
import time
from dataclasses import asdict, fields, replace
from pathlib import Path

import pytest

from hybrik_ros.inference.engine_cache import (
    CacheError,
    EngineCache,
    EngineKey,
    UnusableError,
    default_folder,
)

KEY = EngineKey(
    model='0' * 64,
    tensorrt='10.3.0',
    cuda='12.6',
    gpu='Orin',
    compute_capability='8.7',
    precision='fp16',
    batch='1 to 6, usually 1',
    side=320,
    flags='no TF32',
)
PLAN = b'fake plan of 10.3.0'


class FakeRuntime:
    """Builds and loads "engines" of one version, and counts how often."""

    def __init__(self, cache: EngineCache, version: str = '10.3.0') -> None:
        self.cache, self.version, self.builds = cache, version, 0

    def build(self) -> bytes:
        self.builds += 1
        return f'fake plan of {self.version}'.encode()

    def deserialise(self, plan: bytes) -> str:
        if not plan.endswith(self.version.encode()):
            raise UnusableError('refused')
        return plan.decode()

    def load(self, key: EngineKey = KEY) -> str:
        return self.cache.load(key, 'blazepose.onnx', self.build, self.deserialise)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / 'engines'


@pytest.fixture
def runtime(folder: Path) -> FakeRuntime:
    return FakeRuntime(EngineCache(folder))


def plan_file(folder: Path) -> Path:
    return folder / f'{KEY.digest}.plan'


def sidecar(folder: Path) -> Path:
    return folder / f'{KEY.digest}.json'


def child(folder: Path, code: str) -> 'subprocess.Popen[str]':
    """Run code in a process of its own, with a FakeRuntime on the folder."""
    code = (
        'from test_engine_cache import *\n'
        f'runtime = FakeRuntime(EngineCache(Path({str(folder)!r})))\n{code}'
    )
    return subprocess.Popen(
        [sys.executable, '-c', code],
        cwd=Path(__file__).parent,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def test_an_engine_is_built_once_and_loaded_from_then_on(runtime: FakeRuntime) -> None:
    assert runtime.load() == runtime.load() == PLAN.decode()
    again = FakeRuntime(EngineCache(runtime.cache.folder))
    assert again.load() == PLAN.decode()
    assert (runtime.builds, again.builds) == (1, 0)


def test_folder_and_files_are_the_users_alone_whatever_the_umask(folder: Path) -> None:
    old = os.umask(0)
    try:
        FakeRuntime(EngineCache(folder / 'deep')).load()
    finally:
        os.umask(old)
    for path in (folder, folder / 'deep'):
        assert stat.S_IMODE(path.stat().st_mode) == 0o700
    for suffix in ('.plan', '.json'):
        [path] = (folder / 'deep').glob(f'*{suffix}')
        assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_the_sidecar_holds_key_and_hash(runtime: FakeRuntime, folder: Path) -> None:
    runtime.load()
    content = json.loads(sidecar(folder).read_text())
    assert content['key'] == asdict(KEY)
    sha256 = subprocess.run(['sha256sum', plan_file(folder)], capture_output=True, text=True)
    assert sha256.stdout.split()[0] == content['plan']
    [entry] = runtime.cache.entries()
    assert (entry.name, entry.key) == ('blazepose.onnx', KEY)
    assert runtime.cache.size(KEY) == len(PLAN)


@pytest.mark.parametrize('field', [field.name for field in fields(EngineKey)])
def test_whatever_decides_about_an_engine_has_one_of_its_own_and_is_named(
    field: str, runtime: FakeRuntime, caplog: pytest.LogCaptureFixture
) -> None:
    runtime.load()
    changed = replace(KEY, **{field: 1 if field in ('side', 'schema') else 'other'})
    runtime.load(changed)
    assert runtime.builds == 2
    assert len(runtime.cache.entries()) == 2
    assert caplog.messages[0].endswith('there is none yet')
    reason = caplog.messages[1].rpartition('built for ')[2]
    assert reason == (
        'another model file'
        if field == 'model'
        else f'{field} {getattr(KEY, field)}, not {getattr(changed, field)}'
    )


def corrupt(folder: Path) -> None:
    plan_file(folder).write_bytes(PLAN[:-1] + b'1')


def truncate(folder: Path) -> None:
    os.truncate(plan_file(folder), 5)


def lose_sidecar(folder: Path) -> None:
    sidecar(folder).unlink()


def garble_sidecar(folder: Path) -> None:
    sidecar(folder).write_bytes(b'\xff{')


def empty_sidecar(folder: Path) -> None:
    sidecar(folder).write_text('{}')


def bring_from_elsewhere(folder: Path) -> None:
    """Files of another machine's engine, sound in themselves, under this one's names."""
    content = json.loads(sidecar(folder).read_text())
    content['key']['gpu'] = 'Thor'
    sidecar(folder).write_text(json.dumps(content))


def link(folder: Path) -> None:
    plan_file(folder).rename(folder.parent / 'mine')
    plan_file(folder).symlink_to(folder.parent / 'mine')


def open_to_the_group(folder: Path) -> None:
    plan_file(folder).chmod(0o660)


def give_away(folder: Path) -> None:
    if os.geteuid() != 0:
        pytest.skip('only root can give a file away')
    os.chown(plan_file(folder), 12345, -1)


@pytest.mark.parametrize(
    ('harm', 'reason'),
    [
        (corrupt, 'it is damaged'),
        (truncate, 'it is damaged'),
        (lose_sidecar, 'No such file'),
        (garble_sidecar, "can't decode"),
        (empty_sidecar, 'is not a sidecar'),
        (bring_from_elsewhere, 'it was built for gpu Thor, not Orin'),
        (link, 'is a symbolic link'),
        (open_to_the_group, 'other users can write to'),
        (give_away, 'belongs to another user'),
    ],
)
def test_an_engine_that_is_not_what_was_built_is_moved_aside_and_built_once(
    harm: object,
    reason: str,
    runtime: FakeRuntime,
    folder: Path,
    caplog: pytest.LogCaptureFixture,
) -> None:
    runtime.load()
    harm(folder)
    harmed = plan_file(folder).read_bytes()
    with pytest.raises(UnusableError, match=reason):
        runtime.cache.read(KEY)
    caplog.clear()
    for _ in range(2):
        assert runtime.load() == PLAN.decode()
    assert runtime.builds == 2
    [message] = caplog.messages
    assert reason in message
    refused = folder / f'{plan_file(folder).name}.refused'
    assert str(refused) in message
    assert refused.read_bytes() == harmed
    assert not plan_file(folder).is_symlink()


def test_a_plan_that_the_runtime_refuses_is_built_once(
    runtime: FakeRuntime, caplog: pytest.LogCaptureFixture
) -> None:
    FakeRuntime(runtime.cache, version='8.6.1').load()
    caplog.clear()
    assert runtime.load() == PLAN.decode()
    assert runtime.builds == 1
    assert 'refused' in caplog.messages[0]


def test_a_new_engine_that_is_refused_is_an_error_not_a_loop(runtime: FakeRuntime) -> None:
    older = FakeRuntime(runtime.cache, version='8.6.1')
    runtime.build = older.build
    with pytest.raises(CacheError, match=r'blazepose\.onnx cannot be loaded: refused'):
        runtime.load()
    assert older.builds == 1


def test_a_plan_that_kills_the_process_is_not_loaded_again(
    runtime: FakeRuntime, folder: Path, caplog: pytest.LogCaptureFixture
) -> None:
    runtime.load()
    code = 'runtime.deserialise = lambda plan: os.kill(os.getpid(), signal.SIGSEGV)\nruntime.load()'
    assert child(folder, code).wait() == -signal.SIGSEGV
    [entry] = runtime.cache.entries()
    for _ in range(2):
        with pytest.raises(UnusableError, match='loaded this engine crashed'):
            runtime.cache.check(entry, runtime.deserialise)
    caplog.clear()
    for _ in range(2):
        assert runtime.load() == PLAN.decode()
    assert runtime.builds == 2
    assert 'loaded this engine crashed' in caplog.messages[0]


def test_two_builders_at_once_build_once(folder: Path) -> None:
    code = (
        'def build():\n'
        '    print("building", flush=True)\n'
        '    input()\n'
        '    return PLAN\n'
        'runtime.build = build\n'
        'print(runtime.load())'
    )
    first = child(folder, code)
    assert 'there is none yet' in first.stdout.readline()
    assert first.stdout.readline() == 'building\n'
    second = child(folder, code)
    assert 'waiting for another process' in second.stdout.readline()
    assert first.communicate('\n', timeout=30)[0] == f'{PLAN.decode()}\n'
    assert second.communicate(timeout=30)[0] == f'{PLAN.decode()}\n'


LIMITED = """
import resource
resource.setrlimit(resource.RLIMIT_FSIZE, (1000, 1000))
runtime.build = lambda: b'x' * 5000
try:
    runtime.load(replace(KEY, precision='fp32'))
except CacheError as error:
    print(error)
"""


def test_a_full_disk_is_an_error_that_says_what_to_do_and_leaves_nothing(
    runtime: FakeRuntime, folder: Path
) -> None:
    """The disk is not full, but the system breaks the write off in the middle, as it then does."""
    runtime.load()
    output, _ = child(folder, LIMITED).communicate(timeout=30)
    assert 'engine of 0.0 MB cannot be written' in output
    assert 'make room' in output
    assert sorted(path.suffix for path in folder.iterdir()) == ['.json', '.lock', '.lock', '.plan']
    assert runtime.load() == PLAN.decode()
    assert runtime.builds == 1


@pytest.mark.parametrize('moment', [1, 2, 3, 4])
def test_a_crash_in_the_middle_of_writing_costs_no_more_than_a_build(
    moment: int, runtime: FakeRuntime, folder: Path
) -> None:
    """Before the plan, or the sidecar, is on the disk (fsync), or takes its place (replace)."""
    code = (
        'moments = []\n'
        'def die(*arguments):\n'
        '    moments.append(arguments)\n'
        f'    if len(moments) == {moment}:\n'
        '        os.kill(os.getpid(), signal.SIGKILL)\n'
        'fsync, rename = os.fsync, os.replace\n'
        'os.fsync = lambda file: (die(), fsync(file))\n'
        'os.replace = lambda *paths: (die(), rename(*paths))\n'
        'runtime.load()'
    )
    process = child(folder, code)
    assert process.wait() == -signal.SIGKILL, process.stdout.read()
    assert len(list(folder.glob('*.part'))) == 1
    assert runtime.load() == runtime.load() == PLAN.decode()
    assert runtime.builds == 1
    assert list(folder.glob('*.part')) == []


def widen(folder: Path) -> None:
    folder.chmod(0o770)


def widen_above(folder: Path) -> None:
    folder.parent.chmod(0o777)


def link_folder(folder: Path) -> None:
    folder.rename(folder.parent / 'elsewhere')
    folder.symlink_to(folder.parent / 'elsewhere')


def give_folder_away(folder: Path) -> None:
    if os.geteuid() != 0:
        pytest.skip('only root can give a folder away')
    os.chown(folder, 12345, -1)


@pytest.mark.parametrize(
    ('harm', 'reason'),
    [
        (widen, 'chmod 700'),
        (widen_above, 'chmod go-w'),
        (link_folder, 'is a symbolic link'),
        (give_folder_away, 'belongs to another user'),
    ],
)
def test_a_folder_that_others_can_change_is_refused(
    harm: object, reason: str, folder: Path
) -> None:
    EngineCache(folder)
    harm(folder)
    with pytest.raises(CacheError, match=f'{reason}.*XDG_CACHE_HOME'):
        EngineCache(folder)


def test_a_folder_that_cannot_be_made_is_an_error(tmp_path: Path) -> None:
    (tmp_path / 'file').touch()
    with pytest.raises(CacheError, match='XDG_CACHE_HOME'):
        EngineCache(tmp_path / 'file' / 'engines')


def test_engines_are_kept_in_the_users_cache_folder(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv('XDG_CACHE_HOME', '/a')
    assert default_folder() == Path('/a/hybrik_ros/engines')
    monkeypatch.delenv('XDG_CACHE_HOME')
    assert default_folder() == Path.home() / '.cache/hybrik_ros/engines'


def test_entries_come_in_the_order_of_their_last_use(runtime: FakeRuntime) -> None:
    keys = [replace(KEY, precision=precision) for precision in ('fp16', 'fp32')]
    for key in (*keys, keys[0]):
        runtime.load(key)
        time.sleep(0.02)
    assert [entry.key for entry in runtime.cache.entries()] == [keys[1], keys[0]]
