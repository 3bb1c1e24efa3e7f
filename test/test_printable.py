"""Text of files, messages and libraries is harmless where it is shown."""

import json
import os
import subprocess
import sys
import time
import unicodedata
from contextlib import suppress
from io import StringIO
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.table import Table
from rich.text import Text

from hybrik_ros.body import BodyModel
from hybrik_ros.cli import main
from hybrik_ros.cli.output import ArgumentParser, fail
from hybrik_ros.cli.terminal import Terminal
from hybrik_ros.credentials import hide_credentials
from hybrik_ros.limits import MAX_SHOWN_CHARACTERS
from hybrik_ros.printable import printable
from hybrik_ros.share import SAMPLE

UNSAFE = {'Cc', 'Cf', 'Cs', 'Zl', 'Zp'}
# Title of the window, colour, clear screen; C1; line break; direction; line separator; not UTF-8.
URL = 'rtsp://me:secret@127.0.0.1:9/1'
HOSTILE = '\x1b]0;owned\x07\x1b[31m\x1b[2J\x9b31m\r\n\x7f\u202e\u2066\u2028\udcff[/red]:bomb:'


def unsafe(text: str) -> set[str]:
    return {one for one in text if unicodedata.category(one) in UNSAFE and one != '\n'}


@given(st.text())
def test_text_is_on_one_line_and_without_control_characters(text: str) -> None:
    shown = printable(text)
    assert unsafe(shown) == set()
    assert '\n' not in shown
    shown.encode()


@given(st.text(st.characters(exclude_categories=sorted(UNSAFE))))
def test_other_text_is_not_changed(text: str) -> None:
    assert printable(text) == text


def test_long_text_keeps_its_beginning_and_its_end() -> None:
    shown = printable(f'wrong {"x" * 10**6} do this')
    assert len(shown) < MAX_SHOWN_CHARACTERS + 30
    assert shown.startswith('wrong x')
    assert shown.endswith('x do this')


def test_escapes_count_as_what_they_are_shown_as() -> None:
    assert len(printable('\x1b' * MAX_SHOWN_CHARACTERS)) < MAX_SHOWN_CHARACTERS + 30


@pytest.mark.parametrize(
    ('url', 'shown'),
    [
        ('rtsp://me:secret@cam/1', 'rtsp://me:***@cam/1'),
        ('rtsp://me:s@cr/e:t@cam/1', 'rtsp://me:***@cam/1'),
        ('rtsp://me:se%40cr%2Fet@cam/1', 'rtsp://me:***@cam/1'),
        ('rtsp://me:12345@cam/1', 'rtsp://me:***@cam/1'),
        ('rtsp://:secret@cam/1', 'rtsp://:***@cam/1'),
        ('http://secret@cam/1', 'http://***@cam/1'),
        ('RTSP:/me:secret@cam/1', 'RTSP:/me:***@cam/1'),
        ('http://cam/a?user=me&pwd=secret&size=1', 'http://cam/a?user=me&pwd=***&size=1'),
        ('rtsp://cam/user=a_password=secret_channel=1.sdp', 'rtsp://cam/user=a_password=***'),
        ('https://cam/a.m3u8?access_token=secret', 'https://cam/a.m3u8?access_token=***'),
        ('https://cam/a?X-Amz-Signature=secret&b=1', 'https://cam/a?X-Amz-Signature=***&b=***'),
        ('http://h/?u=rtsp%3A%2F%2Fme%3Asecret%40cam', 'http://h/?u=rtsp://me:***@cam'),
        ('http://h/?u=rtsp%253A%252F%252Fme%253Asecret%2540cam', 'http://h/?u=rtsp://me:***@cam'),
        ('http://h/?u=http%3A%2F%2Fh%2F%3Fa%3Dsecret', 'http://h/?u=http://h/?a=***'),
        ('rtsp://me:12/secret@cam/1', 'rtsp://me:***@cam/1'),
        ('srt://cam:90?mode=caller&passphrase=secret', 'srt://cam:90?mode=caller&passphrase=***'),
        ('http://cam/a?loginpas=secret', 'http://cam/a?loginpas=***'),
        ('http://cam/a?user-pw=secret;sid=secret', 'http://cam/a?user-pw=***;sid=***'),
        ('http://cam/a?token="my secret"&size=1', 'http://cam/a?token=***&size=1'),
        ("http://cam/a?token='secret'", 'http://cam/a?token=***'),
        ('http://cam/a?token=x://secret', 'http://cam/a?token=***'),
        ('http://cam/a#id_token=secret', 'http://cam/a#id_token=***'),
        *[
            (f'http://cam/{start}{name}=secret', f'http://cam/{start}{name}=***')
            for start in ('a?', 'user=a_')
            for name in (
                'pw', 'psw', 'jwt', 'bearer', 'authorization', 'session', 'ticket', 'code',
                'credentials', 'loginpas', 'passphrase',
            )
        ],
    ],
)  # fmt: skip
def test_credentials_of_urls_are_not_shown(url: str, shown: str) -> None:
    assert hide_credentials(url) == shown
    message = f"{url}: cannot be opened, nor '/home/me/{url}'; ask me@home"
    found = printable(message)
    assert 'secret' not in found
    assert found.startswith(f'{shown}: cannot be opened, nor ')
    assert found.endswith('; ask me@home')


def test_passwords_with_spaces_are_not_shown() -> None:
    assert printable('rtsp://me:my secret@cam/1 is lost') == 'rtsp://me:***@cam/1 is lost'


@pytest.mark.parametrize(
    'text',
    [
        'http://cam:80/a:b', 'http://cam/a@b', 'http://cam:80/a: ask me@home',
        'a:b@c.mp4', 'image:=/camera/image', 'key=5',
        'http://cam:8554 cannot be opened: ask me@home', '/data: no a@b',
    ],
)  # fmt: skip
def test_text_without_credentials_is_not_changed(text: str) -> None:
    assert printable(text) == text


def test_credentials_are_hidden_before_long_text_is_cut() -> None:
    found = printable(f'rtsp://me:{"secret" * 10**5}@cam')
    assert found == 'rtsp://me:***@cam'


@pytest.mark.parametrize(
    'part', ['x://a:', 'x://', 'a%3a', 'a%3a%2f', ':/@', 'token=', '?a="', '?a', '%25']
)
def test_hostile_urls_take_little_time(part: str) -> None:
    began = time.process_time()
    hide_credentials('x://' + part * 10**5)
    assert time.process_time() - began < 1


@pytest.mark.parametrize(
    'argv',
    [
        ['bag', URL, '-o', URL],
        ['bag', str(SAMPLE), '-o', 'x', '-p', f'hybrik.model:={URL}'],
        ['motion', URL, '-o', f'{URL}.bvh'],
        ['compare', URL, URL],
        ['image', URL, '-o', URL],
        ['export', URL, '-o', URL],
        ['engine', URL],
        ['demo', '--input', URL],
        ['video', URL],
        ['video', '--camera-info', URL],
        ['video', '--size', URL],
        [URL],
    ],
    ids=lambda argv: argv[0],
)
def test_no_command_shows_passwords(
    argv: list[str], capsys: pytest.CaptureFixture[str], tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    monkeypatch.chdir(tmp_path)
    with suppress(SystemExit):
        main(argv)
    written = capsys.readouterr()
    assert '***' in written.out + written.err
    assert 'secret' not in (written.out + written.err).replace('\n', '')


def test_everything_that_rich_prints_is_printable() -> None:
    stream = StringIO()
    console = Terminal(file=stream, width=500)
    table = Table(HOSTILE, title=HOSTILE)
    table.add_row(HOSTILE)
    for each in (HOSTILE, table, Text(HOSTILE)):
        console.print(each)
    written = stream.getvalue()
    assert unsafe(written) == set()
    assert written.count('[/red]:bomb:') == 5
    assert written.count('\n') <= 9  # The text, the table with its borders, and one line more.


def test_errors_and_arguments_are_printable(capsys: pytest.CaptureFixture[str]) -> None:
    assert fail('hybrik bag', ValueError(HOSTILE)) == 1
    with pytest.raises(SystemExit):
        ArgumentParser(prog='x').parse_args([HOSTILE])
    written = capsys.readouterr().err
    assert unsafe(written) == set()
    assert written.count('[/red]:bomb:') == 2


@pytest.mark.parametrize(
    'argv',
    [
        ['bag', HOSTILE, '-o', HOSTILE],
        ['bag', 'x', '-o', 'y', '-p', HOSTILE],
        ['motion', HOSTILE, '-o', f'{HOSTILE}.bvh'],
        ['compare', HOSTILE, HOSTILE],
        ['export', HOSTILE],
        ['video', HOSTILE],
        ['video', '--camera-info', HOSTILE],
    ],
    ids=lambda argv: argv[0],
)
def test_hostile_names_are_escaped(argv: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    if argv[0] == 'video':
        pytest.importorskip('rclpy')
    assert main(argv) == 1
    written = capsys.readouterr()
    assert unsafe(written.out + written.err) == set()
    assert 'unexpected' not in written.err


def test_output_that_is_not_taken_is_no_traceback(tmp_path: Path) -> None:
    with Path('/dev/full').open('w') as full:
        ran = subprocess.run(
            [sys.executable, '-m', 'hybrik_ros.cli', 'engine', 'list'],
            env=dict(os.environ, XDG_CACHE_HOME=str(tmp_path)),
            stdout=full, stderr=subprocess.PIPE, text=True, check=False,
        )  # fmt: skip
    assert 'No space left' in ran.stderr
    assert (ran.returncode, ran.stderr.count('\n')) == (1, 1)


_NODE_TEXT = """
import json, sys
import rclpy.logging
from std_msgs.msg import Header
from hybrik_ros.node.complaints import Complaints
from hybrik_ros.node.diagnostics import Diagnostics
diagnostics = Diagnostics('node')
complaints = Complaints(rclpy.logging.get_logger('node'), diagnostics)
text = json.loads(sys.argv[1])
for each in (text, 'x' * 10**6 + text):
    complaints.warn(f'the frame {each} is wrong: do this')
report = diagnostics.report(header=Header(), camera=text, facts={text: text * 10**5})
[status] = report.status
words = [word for pair in status.values for word in (pair.key, pair.value)]
print(json.dumps([status.message, *words]))
"""


def test_logs_and_diagnostics_of_the_node_are_printable_and_short() -> None:
    pytest.importorskip('rclpy')
    text = HOSTILE.replace('\udcff', '')  # Messages are UTF-8.
    ran = subprocess.run(
        [sys.executable, '-c', _NODE_TEXT, json.dumps(text)],
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    words = json.loads(ran.stdout)
    assert all(unsafe(word) == set() and '\n' not in word for word in words)
    assert all(len(word) < 12 * MAX_SHOWN_CHARACTERS for word in words)
    assert unsafe(ran.stderr) == set()
    assert ran.stderr.count('\n') == 2
    assert len(ran.stderr) < 24 * MAX_SHOWN_CHARACTERS
    assert ran.stderr.count('do this (logged once') == 2


@pytest.mark.parametrize('closed', ['stdout', 'stderr', 'stdin'])
def test_closed_streams_are_no_traceback(closed: str, tmp_path: Path) -> None:
    number = {'stdin': 0, 'stdout': 1, 'stderr': 2}[closed]
    ran = subprocess.run(
        ['sh', '-c', f'exec "$0" -m hybrik_ros.cli engine list {number}>&-', sys.executable],
        env=dict(os.environ, XDG_CACHE_HOME=str(tmp_path)),
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert (ran.returncode, ran.stderr) == (0, '')


def test_no_file_gets_the_number_of_a_closed_stream() -> None:
    code = (
        'import os, sys; from hybrik_ros.cli.output import prepare_streams; prepare_streams(); '
        'sys.exit(os.open("/dev/null", os.O_RDONLY))'
    )
    ran = subprocess.run(['sh', '-c', 'exec "$0" -c "$1" <&- >&- 2>&-', sys.executable, code])
    assert ran.returncode > 2


def test_a_home_folder_that_is_unknown_is_named(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    monkeypatch.setenv('XDG_CACHE_HOME', '~no_such_user/cache')
    monkeypatch.chdir(tmp_path)
    assert main(['engine', 'list']) == 1
    assert 'set HOME, or set XDG_CACHE_HOME' in capsys.readouterr().err
    with pytest.raises(FileNotFoundError, match='no body file'):
        BodyModel.load('~no_such_user/body.pkl')
