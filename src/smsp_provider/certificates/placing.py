"""Putting a key and its certificate where a service reads them: private, in whole, and with a way back.

Two files cannot be replaced in one step. A service that looks between the two steps finds a key and a certificate that
do not belong together, and keeps what it has (:mod:`smsp_provider.web.tls_reload`).
"""

import os
from contextlib import suppress
from pathlib import Path
from typing import Final

__all__ = ["go_back", "place_pair", "previous_of", "sync_directory", "write_private", "write_public"]

_PRIVATE: Final = 0o600
_PUBLIC: Final = 0o644


def previous_of(file: Path) -> Path:
    """Where the predecessor of a file is kept."""
    return file.with_name(f"{file.name}.previous")


def write_private(file: Path, content: bytes) -> None:
    """A new file that its owner alone may read, from the first moment on; none is left where it cannot be written.

    Raises:
        FileExistsError: something is there already.
        OSError: it cannot be written.
    """
    _write(file, content, _PRIVATE)


def write_public(file: Path, content: bytes) -> None:
    """A file that everybody may read, in the place of whatever was there.

    Raises:
        OSError: it cannot be written.
    """
    fresh = _fresh(file)
    _write(fresh, content, _PUBLIC)
    fresh.replace(file)


def place_pair(key: Path, key_pem: bytes, certificate: Path, certificate_pem: bytes) -> None:
    """Put both where they belong and keep what was there; if one step fails, everything is as it was.

    Raises:
        OSError: something cannot be written.
    """
    new = ((key, key_pem, _PRIVATE), (certificate, certificate_pem, _PUBLIC))
    try:
        for file, content, mode in new:
            _write(_fresh(file), content, mode)
        for file in (key, certificate):
            _keep(file)
        _fresh(key).replace(key)
        try:
            _fresh(certificate).replace(certificate)
        except OSError:
            if previous_of(key).exists():
                previous_of(key).replace(key)
            else:
                key.unlink()
            raise
    finally:
        for file in (key, certificate):
            _fresh(file).unlink(missing_ok=True)
    for directory in {key.parent, certificate.parent}:
        sync_directory(directory)


def go_back(key: Path, certificate: Path) -> None:
    """Exchange the pair with the one before it.

    Raises:
        OSError: there is none before it, or it cannot be written.
    """
    before = previous_of(key).read_bytes(), previous_of(certificate).read_bytes()
    place_pair(key, before[0], certificate, before[1])


def _keep(file: Path) -> None:
    previous = previous_of(file)
    if file.exists():
        link = _fresh(previous)
        link.unlink(missing_ok=True)
        os.link(file, link)
        link.replace(previous)


def _fresh(file: Path) -> Path:
    return file.with_name(f"{file.name}.fresh")


def _write(file: Path, content: bytes, mode: int) -> None:
    if file.name.endswith(".fresh"):
        file.unlink(missing_ok=True)
    descriptor = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode)
    try:
        with os.fdopen(descriptor, "wb") as stream:
            os.fchmod(descriptor, mode)
            # Where root places files for a service, they are the service's: as those before them, or their directory.
            owner = _owner(file)
            if owner != (os.geteuid(), os.getegid()):
                with suppress(PermissionError):
                    os.fchown(descriptor, *owner)
            stream.write(content)
            stream.flush()
            os.fsync(descriptor)
    except BaseException:
        # Half of a key is none, and would keep the name from the next one.
        file.unlink()
        raise


def _owner(file: Path) -> tuple[int, int]:
    old = file.with_name(file.name.removesuffix(".fresh"))
    found = (old if old.exists() and old != file else file.parent).stat()
    return found.st_uid, found.st_gid


def sync_directory(directory: Path) -> None:
    """Have the names in a directory on the disk, so that no power cut takes back what was made, moved or removed there.

    Raises:
        OSError: it cannot be done.
    """
    descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
