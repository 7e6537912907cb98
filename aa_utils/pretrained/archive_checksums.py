"""The checksums in an archive, such as torch.save writes. torch reads past them: numbers that a download damaged are weights to it."""

import zipfile
from pathlib import Path

from aa_utils.errors import InputError

BLOCK = 1 << 20  # bytes


def check(path: Path) -> None:
    """Nothing, if every part of the archive at `path` is there once and is what its CRC-32 says; it is read once.

    What is no archive, or packed, is left to whoever reads it next. Errors: InputError that names the part.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            entries = archive.infolist()
            if len({entry.filename for entry in entries}) < len(entries):
                raise InputError(f"'{path}' has a part twice, and which of them counts nobody says; fetch it again")
            if sum(entry.file_size for entry in entries) > path.stat().st_size:  # parts that overlap could be read for days
                return
            for entry in entries:
                if entry.compress_type == zipfile.ZIP_STORED:
                    _read(archive, entry, path)
    except (zipfile.BadZipFile, NotImplementedError, RuntimeError, OSError, EOFError):
        return


def _read(archive: zipfile.ZipFile, entry: zipfile.ZipInfo, path: Path) -> None:
    try:
        with archive.open(entry) as stream:
            while stream.read(BLOCK):
                pass
    except zipfile.BadZipFile as error:
        if "CRC" in str(error):
            raise InputError(f"'{path}' is damaged: '{entry.filename}' in it is not what its checksum says; fetch it again") from error
        raise
