"""Formats of pictures, told by the content and the name of a file, and what converts them."""

import re

# Formats that are read, with the suffixes of their files.
READ = {
    'BMP': ('.bmp',),
    'JPEG': ('.jfif', '.jpeg', '.jpg'),
    'PNG': ('.png',),
    'TIFF': ('.tif', '.tiff'),
    'WebP': ('.webp',),
}
GIF, _RAW = 'GIF', 'camera RAW'
_UNREAD = {
    'AVIF': ('.avif',),
    GIF: ('.gif',),
    'HEIC': ('.heic', '.heif', '.hif'),
    'ICO': ('.ico',),
    'JPEG 2000': ('.j2k', '.jp2', '.jpx'),
    'JPEG XL': ('.jxl',),
    'Netpbm': ('.pbm', '.pgm', '.pnm', '.ppm'),
    'OpenEXR': ('.exr',),
    'Photoshop': ('.psb', '.psd'),
    'SVG': ('.svg',),
    'TGA': ('.tga',),
    _RAW: (
        '.3fr', '.arw', '.cr2', '.cr3', '.crw', '.dcr', '.dng', '.erf', '.fff', '.iiq', '.kdc',
        '.mef', '.mos', '.mrw', '.nef', '.nrw', '.orf', '.pef', '.raf', '.raw', '.rw2', '.rwl',
        '.sr2', '.srf', '.srw', '.x3f',
    ),
}  # fmt: skip
_BY_SUFFIX = {suffix: name for name, those in {**READ, **_UNREAD}.items() for suffix in those}
# Patterns of the first bytes. Cameras write RAW as TIFF with other contents, too.
_CONTENTS = {
    'JPEG': rb'\xff\xd8\xff',
    'PNG': rb'\x89PNG\r\n\x1a\n',
    'WebP': rb'RIFF.{4}WEBP',
    'BMP': rb'BM.{12}[\x0c(48@l|]\0\0\0',  # with the size of its second header
    GIF: rb'GIF8[79]a',
    'AVIF': rb'.{4}ftypavi[fs]',
    'HEIC': rb'.{4}ftyp(?:he[iv].|mif1|msf1)',
    _RAW: rb'.{4}ftypcrx |II\*\0.{4}CR|II(?:RO|RS|U\0)|MMOR|FUJIFILMCCD-RAW|FOVb',
    'TIFF': rb'II\*\0|MM\0\*',
    'BigTIFF': rb'II\+\0|MM\0\+',
    'JPEG 2000': rb'\0\0\0\x0cjP  |\xff\x4f\xff\x51',
    'JPEG XL': rb'\0\0\0\x0cJXL ',
    'OpenEXR': rb'v/1\x01',
    'Photoshop': rb'8BPS',
}
_PATTERNS = {name: re.compile(pattern, re.DOTALL) for name, pattern in _CONTENTS.items()}
HEAD_BYTES = 18  # as many as the longest pattern has
_HEIF_PROGRAM = 'heif-convert IN.heic OUT.jpg (package libheif-examples)'
_PROGRAMS = {
    'AVIF': _HEIF_PROGRAM.replace('heic', 'avif'),
    'HEIC': _HEIF_PROGRAM,
    _RAW: 'darktable-cli IN.raw OUT.jpg (package darktable)',
}


def format_of(head: bytes, suffix: str) -> str:
    """Return the name of the format of a picture; empty for other files.

    Parameters
    ----------
    head : bytes
        The first HEAD_BYTES bytes of the file, or more. What they show counts more than the name.
    suffix : str
        The suffix of its name, with the dot.
    """
    shown = next((name for name, pattern in _PATTERNS.items() if pattern.match(head)), '')
    named = _BY_SUFFIX.get(suffix.lower(), '')
    return named if named and shown in ('', 'TIFF') else shown


def describe_unread(files: str, name: str) -> str:
    """Return why files of a format that is not in READ are not read, and how to convert them."""
    program = _PROGRAMS.get(name, 'convert IN OUT.png (package imagemagick)')
    return (
        f'{files} cannot be read, as the format {name} is not supported: convert to JPEG or PNG, '
        f'for example with {program}'
    )
