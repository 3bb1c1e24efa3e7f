"""README and doc/: what they name exists, and what they print runs."""

import ast
import re
import shlex
import subprocess
import sys
import textwrap
import threading
from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np
import pytest
import rclpy
import yaml
from rclpy.node import Node
from std_msgs.msg import Header

import hybrik_ros
from hybrik_ros import settings
from hybrik_ros.body import BodyModel
from hybrik_ros.camera import Camera
from hybrik_ros.cli import main
from hybrik_ros.cli.calibration import LAUNCH
from hybrik_ros.human import Human
from hybrik_ros.node.camera_image import CameraImage
from hybrik_ros.node.complaints import Complaints
from hybrik_ros.node.diagnostics import Diagnostics
from hybrik_ros.node.inputs import Inputs
from hybrik_ros.node.message_maker import make
from hybrik_ros.node.node import HybrikNode
from hybrik_ros.node.outputs import ImageOutputs
from hybrik_ros.node.parameters import declare
from hybrik_ros.node.rep155 import Rep155
from hybrik_ros.node.rep155_angles import HINGES

ROOT = Path(__file__).parents[1]
PAGES = [
    ROOT / 'README.md',
    ROOT / 'ARCHITECTURE.md',
    ROOT / 'QUALITY_DECLARATION.md',
    ROOT / 'CONTRIBUTING.md',
    ROOT / 'SECURITY.md',
    *sorted((ROOT / 'doc').glob('*.md')),
]
PARAMETERS = {parameter.name: parameter for parameter in settings.PARAMETERS}
GROUPS = {name.partition('.')[0] for name in PARAMETERS if '.' in name}
BODY = BodyModel.load()


def name_of(page: Path) -> str:
    return str(page.relative_to(ROOT))


every_page = pytest.mark.parametrize('page', PAGES, ids=name_of)


def blocks(page: Path, language: str) -> list[str]:
    """Return the fenced blocks of a language."""
    return re.findall(rf'^```{language}\n(.*?)^```', page.read_text(), re.M | re.S)


def commands(page: Path) -> list[list[str]]:
    """Return the words of each line of the indented blocks, without comments; \\ joins lines."""
    text = page.read_text().replace('\\\n', ' ')
    lines = re.findall(r'^(?: {4}| {7}| {10})(\S.*)$', text, re.M)
    words = []
    for line in lines:
        for part in re.split(r'&&|&$', line.partition(' #')[0]):
            try:
                words.append(shlex.split(part))
            except ValueError:  # a drawing
                continue
    return [found for found in words if found]


def anchors(page: Path) -> set[str]:
    """Return what GitHub names the headings of a page."""
    headings = re.findall(r'^#+ (.*)$', page.read_text(), re.M)
    return {re.sub(r'[^\w\- ]', '', heading.lower()).replace(' ', '-') for heading in headings}


@every_page
def test_links_lead_somewhere(page: Path) -> None:
    links = re.findall(r'\]\(([^)\s]+)\)', page.read_text())
    for link in links:
        if re.match(r'https?:', link):
            continue
        path, _, anchor = link.partition('#')
        target = (page.parent / path).resolve() if path else page
        assert target.exists(), link
        if anchor:
            assert anchor in anchors(target), link


def test_every_page_is_linked_from_the_readme() -> None:
    linked = set(re.findall(r'\]\((doc/\w+\.md)', (ROOT / 'README.md').read_text()))
    assert linked == {name_of(page) for page in (ROOT / 'doc').glob('*.md')}


def test_the_readme_stays_short() -> None:
    text = (ROOT / 'README.md').read_text()
    assert len(text.splitlines()) <= 150
    assert len(text.split()) <= 1200


def test_sphinx_builds_pages_and_reference_without_a_warning(tmp_path: Path) -> None:
    command = [sys.executable, '-m', 'sphinx', '-W', '--keep-going', '-q', '-d', tmp_path / 'cache']
    built = subprocess.run(
        [*command, ROOT / 'doc', tmp_path / 'html'], capture_output=True, text=True
    )
    assert built.returncode == 0, built.stderr
    reference = (tmp_path / 'html' / 'api.html').read_text()
    for name in ('pipeline.Pipeline', 'human.Human', 'perception.estimator.Estimator'):
        assert f'id="hybrik_ros.{name}"' in reference


@every_page
def test_files_named_exist(page: Path) -> None:
    for name in re.findall(r'\b(\w+\.launch\.py)\b', page.read_text()):
        assert name == LAUNCH or (ROOT / 'launch' / name).is_file(), name  # or written by a command
    for words in commands(page):
        if words[0].startswith('./scripts/'):
            assert (ROOT / words[0]).is_file(), words[0]
        if words[0] == 'python3' and words[1].startswith('doc/'):
            assert (ROOT / words[1]).is_file(), words[1]


# Commands


def words_of(page: Path, *program: str) -> list[list[str]]:
    """Return the arguments of the calls of a program."""
    found = [words for words in commands(page) if words[: len(program)] == list(program)]
    return [words[len(program) :] for words in found]


def calls_of_hybrik(page: Path) -> list[list[str]]:
    """Return the arguments of `hybrik`, in blocks and in sentences."""
    calls = words_of(page, 'hybrik') + words_of(page, 'ros2', 'run', 'hybrik_ros', 'hybrik')
    return calls + [call.split() for call in re.findall(r'`hybrik ([^`]+)`', page.read_text())]


def test_commands_are_found() -> None:
    found = {call[0] for page in PAGES for call in calls_of_hybrik(page)}
    assert {'demo', 'video', 'bench', 'engine', 'export'} <= found


@every_page
def test_options_of_hybrik_exist(page: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for call in calls_of_hybrik(page):
        chosen = call[: 2 if call[0] in ('bench', 'engine') else 1]
        with pytest.raises(SystemExit) as end:
            main([*chosen, '--help'])
        assert end.value.code == 0, call
        help = capsys.readouterr().out
        options = [word for word in call if word.startswith('-')]
        assert all(re.search(rf'{option}(?![\w-])', help) for option in options), call


def test_arguments_of_launch_files_exist() -> None:
    calls = [call for page in PAGES for call in words_of(page, 'ros2', 'launch', 'hybrik_ros')]
    assert calls
    for file, *arguments in calls:
        declared = re.findall(
            r"DeclareLaunchArgument\(\s*'(\w+)'", (ROOT / 'launch' / file).read_text()
        )
        given = [argument.partition(':=')[0] for argument in arguments if ':=' in argument]
        assert set(given) <= set(declared), arguments


# Parameters


def test_parameters_named_exist() -> None:
    for page in PAGES:
        text = page.read_text()
        named = re.findall(r'`([a-z_0-9]+\.[a-z_0-9]+)\b[^`/]*`', text)
        named = [name for name in named if name.partition('.')[0] in GROUPS]
        named += re.findall(r'-p ([\w.]+):=', text)
        named += re.findall(r'ros2 param \w+ /hybrik_node ([\w.]+)', text)
        of_fusion = {parameter.name for parameter in settings.FUSION_PARAMETERS}
        assert set(named) <= PARAMETERS.keys() | of_fusion, page


@pytest.fixture
def context() -> Iterator[rclpy.Context]:
    context = rclpy.Context()
    yield context
    context.try_shutdown()


@pytest.mark.parametrize(
    ('page', 'block'),
    [(page, block) for page in PAGES for block in blocks(page, 'yaml')],
    ids=lambda value: name_of(value) if isinstance(value, Path) else '',
)
def test_parameter_files_are_read_by_the_node(
    page: Path,
    block: str,
    context: rclpy.Context,
    tmp_path: Path,
    ros_environment: dict[str, str],
) -> None:
    file = tmp_path / 'mine.yaml'
    file.write_text(block)
    rclpy.init(args=['--ros-args', '--params-file', str(file)], context=context)
    node = Node('hybrik_node', context=context)
    declare(node)  # raises where a type or a value does not fit

    given = dict(flatten(yaml.safe_load(block)['/**']['hybrik_node']['ros__parameters']))
    assert given
    for name, value in given.items():
        assert node.get_parameter(name).value == value
        assert value != PARAMETERS[name].default or name.startswith('hybrik.')
    node.destroy_node()


def flatten(tree: dict, prefix: str = '') -> Iterator[tuple[str, object]]:
    for name, value in tree.items():
        if isinstance(value, dict):
            yield from flatten(value, f'{prefix}{name}.')
        else:
            yield f'{prefix}{name}', value


def test_arguments_of_the_node_are_taken(tmp_path: Path, ros_environment: dict[str, str]) -> None:
    (tmp_path / 'mine.yaml').write_text('/**: {ros__parameters: {threads: 2}}')
    calls = [
        call
        for page in PAGES
        for program in (('hybrik_node',), ('ros2', 'run', 'hybrik_ros', 'hybrik_node'))
        for call in words_of(page, *program)
        if call
    ]
    assert calls
    for call in calls:
        context = rclpy.Context()
        arguments = [word.replace('mine.yaml', str(tmp_path / 'mine.yaml')) for word in call]
        rclpy.init(args=arguments, context=context)
        node = Node('hybrik_node', context=context)
        declare(node)
        assert any(
            node.get_parameter(name).value != PARAMETERS[name].default for name in PARAMETERS
        )
        node.destroy_node()
        context.try_shutdown()


# Topics and frames


def person(id: str) -> Human:
    return Human(
        id=id,
        confidence=0.9,
        box=np.array([0.0, 0, 10, 10]),
        joints=BODY.rest_joints()[:24] + [0, 0, 3],
        joint_confidence=np.ones(24),
        rotations=np.tile(np.eye(3), (24, 1, 1)),
        global_rotations=np.tile(np.eye(3), (24, 1, 1)),
        betas=np.zeros(BODY.num_betas),
        translation=np.array([0.0, 0, 3]),
        translation_confidence=0.9,
        velocity=np.zeros(3),
    )


def first_column(page: str, type_: str = r'[a-z_0-9]+/\w+|hri_msgs and others') -> set[str]:
    """Return what stands first in the rows of tables whose second column is a type of message."""
    rows = re.findall(rf'^\| `([^`]+)`[^|]*\| (?:{type_})[^|]*\|', (ROOT / page).read_text(), re.M)
    return set(rows)


@pytest.fixture(scope='module')
def node(ros_environment: dict[str, str]) -> Iterator[HybrikNode]:
    rclpy.init()
    node = HybrikNode(threading.Event())
    yield node
    node.destroy_node()
    rclpy.try_shutdown()


def full(node: Node, topic: str) -> str:
    return node.resolve_topic_name(topic)


def subscribed(node: Node, **values: object) -> set[str]:
    """Return what the node subscribes to with these values of parameters."""
    for name, value in values.items():
        node.set_parameters([rclpy.Parameter(name.replace('__', '.'), value=value)])
    complaints = Complaints(node.get_logger(), Diagnostics('test'))
    inputs = Inputs(node, lambda _: None, lambda _: None, complaints)
    topics = set(inputs.topics)
    inputs.close()
    return topics


def test_topics_are_those_of_the_node(node: HybrikNode) -> None:
    inputs = subscribed(node, depth__enabled=True, imu__enabled=True)
    inputs |= subscribed(node, image_transport='compressed')
    before = {publisher.topic_name for publisher in node.publishers}
    assert '/diagnostics' in before
    outputs = ImageOutputs(node, BODY, lambda _: None)
    made = {publisher.topic_name for publisher in node.publishers} - before | {'/diagnostics'}
    own = {topic for topic in made if not topic.startswith('/humans/')}
    outputs.close()

    inputs.discard('/tf_static')  # in one row with /tf

    for page in ('README.md', 'doc/topics_and_frames.md'):
        named = first_column(page)
        named.remove('/humans/bodies/...')
        # vision_msgs, without which the node does not subscribe to it, may not be installed.
        named.remove('detections')
        found = {full(node, topic) for topic in named}
        assert found | {'/image/compressed'} == inputs | own, page


def test_topics_of_rep155_are_those_of_the_node(node: HybrikNode) -> None:
    before = {publisher.topic_name for publisher in node.publishers}
    rep155 = Rep155(node, BODY)
    camera = Camera.from_field_of_view(60, 64, 48)
    picture = np.zeros((48, 64, 3), np.uint8)
    rep155.publish([person('p1')], Header(), CameraImage(picture, camera))
    made = {publisher.topic_name for publisher in node.publishers} - before
    rep155.close()
    named = {topic.replace('<id>', 'p1') for topic in first_column('doc/rep155.md')}
    assert made == named


def test_services_are_those_of_the_node(node: HybrikNode) -> None:
    services = {service.service_name for service in node.services}
    text = ''.join(page.read_text() for page in PAGES)
    assert {'enable', 'reset'} == set(re.findall(r'`~/(enable|reset)`', text))
    assert {'/hybrik_node/enable', '/hybrik_node/reset'} <= services


def test_joints_and_axes_of_rep155_are_those_that_are_sent() -> None:
    rows = re.findall(r'^\| ((?:`\w+`(?:, )?)+) \| ([-xyz, ]+) \|$', read('doc/rep155.md'), re.M)
    named = {}
    for joints, axes in rows:
        names, letters = re.findall(r'`(\w+)`', joints), axes.split(', ')
        letters = letters * len(names) if len(letters) == 1 else letters
        named |= dict(zip(names, letters, strict=True))
    unit = dict(zip('xyz', np.eye(3), strict=True))
    assert named.keys() == {hinge.name for hinge in HINGES}
    for hinge in HINGES:
        letter = named[hinge.name]
        sign = -1 if letter.startswith('-') else 1
        np.testing.assert_array_equal(hinge.axis, sign * unit[letter[-1]], hinge.name)


def read(page: str) -> str:
    return (ROOT / page).read_text()


def test_the_tree_is_that_of_tf() -> None:
    drawn = read('doc/topics_and_frames.md').partition('<!-- tf tree -->')[2]
    drawn = textwrap.dedent(drawn.partition('<!-- end of tf tree -->')[0].strip('\n'))
    parents, above = {}, {}
    for line in drawn.splitlines():
        name = re.search(r'\w+$', line)[0]
        depth = line.index(name) // 4
        above[depth] = name
        if depth:
            parents[name] = above[depth - 1]
    header = Header(frame_id='camera_optical_frame')
    sent = {
        frame.child_frame_id: frame.header.frame_id
        for frame in make.tf([person('p1')], header).transforms
    }
    assert parents == sent


# Python


@pytest.mark.parametrize(
    ('page', 'block'),
    [(page, block) for page in PAGES for block in blocks(page, 'python')],
    ids=lambda value: name_of(value) if isinstance(value, Path) else '',
)
def test_python_runs(page: Path, block: str, tmp_path: Path) -> None:
    video = cv2.VideoCapture(str(Path(hybrik_ros.__file__).parent / 'data' / 'sample.mp4'))
    for _ in range(40):
        decoded, picture = video.read()
    assert decoded
    cv2.imwrite(str(tmp_path / 'person.jpg'), picture)
    run = subprocess.run(
        [sys.executable, '-c', block], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert run.returncode == 0, run.stderr
    assert run.stdout or 'def ' in block


# Docstrings


def docstrings() -> Iterator[tuple[str, list[str]]]:
    """Yield the lines of every docstring of the package, with the place of it."""
    package = ROOT / 'hybrik_ros'
    for path in sorted(package.rglob('*.py')):
        if '_generated' in path.parts:
            continue
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef):
                name = f'{path.relative_to(package)}: {getattr(node, "name", "module")}'
                yield name, (ast.get_docstring(node) or '').splitlines()


def test_docstrings_are_numpydoc() -> None:
    """Each entry of Parameters, Attributes and Raises has the form that Sphinx reads."""
    entries = 0
    forms = {
        'Parameters': r'[\w, ]+ : \S.*|\*{1,2}\w+',
        'Attributes': r'[\w, ]+ : \S.*',
        'Raises': r'[\w, .]+',
    }
    for name, lines in docstrings():
        section = ''
        for line, next_line in zip(lines, [*lines[1:], ''], strict=False):
            if line and re.fullmatch('-+', next_line):
                section = line
            elif section in forms and re.match(r'[^\s-]', line):
                assert re.fullmatch(forms[section], line), f'{name}: {line}'
                entries += 1
    assert entries > 500


def test_texts_use_the_terms_of_the_field() -> None:
    """People are persons, detections and tracks, not pronouns."""
    pattern = re.compile(  # The brackets hide the words from this very test.
        r'(\b|_)(w[h]o|w[h]om|no[b]ody|some[b]ody|every[b]ody|any[b]ody)(\b|_)', re.I
    )
    files = [*PAGES, *(ROOT / 'msg').glob('*.msg'), *(ROOT / 'launch').glob('*.py')]
    files += [*(ROOT / 'config').glob('*'), *(ROOT / 'scripts').glob('*')]
    files += [p for p in (ROOT / 'hybrik_ros').rglob('*.py') if '_generated' not in p.parts]
    files += (ROOT / 'test').rglob('*.py')
    found = [
        f'{path.relative_to(ROOT)}: {line}'
        for path in files
        if path.is_file()
        for line in path.read_text().splitlines()
        if pattern.search(line)
    ]
    assert found == []
