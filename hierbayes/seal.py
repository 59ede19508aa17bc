"""Saved fits that show damage: a checksum at the end of the file, verified before anything reads what is in it.

A netCDF file is an HDF5 file, and HDF5's readers pass over what stands behind its end: the line with the checksum. So
other programs open a sealed file as they do any. A checksum shows damage, not who wrote a file: `check_contents`
therefore looks at what a file declares before any of it is read.
"""

import contextlib
import hashlib
import io
import mmap
import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr

from hierbayes.errors import DataError

FORMAT = 2  # 1, until 0.1: no checksum; priors about intercepts at the means, whoever stated them, products as they are
SEAL = "\nhierbayes fit, format {:3d}, sha256 {}\n"
SEALED = re.compile(rb"\nhierbayes fit, format +([0-9]+), sha256 [0-9a-f]{64}\n")
LENGTH = len(SEAL.format(FORMAT, "0" * 64))
SPECIFICATION = b'"format": '
FIRST = b'"format": 1,'  # that of version 0.1, whose files have no checksum
BLOCK = 1 << 20
NOT_A_VARIABLE = b"This is a netCDF dimension but not a netCDF variable"


def write_sealed(path: Path, tree: xr.DataTree) -> None:
    """Write a tree as netCDF with its checksum into a file of its own.

    Raises
    ------
    OSError
        Where the disk is full or fails.
    """
    with _Patient(path) as file:
        _reserve(file, _size(tree))
        tree.to_netcdf(file, engine="h5netcdf")
        file.settle()
        file.seek(0)
        seal = SEAL.format(FORMAT, _checksum(file, os.fstat(file.fileno()).st_size)).encode()
        file.seek(0, os.SEEK_END)
        file.write(seal)
        file.settle()


class _Patient(io.FileIO):
    """A file that goes on in memory where writing fails, until it is asked.

    HDF5 crashes where a write fails, and where it reads back anything but what it wrote.
    """

    def __init__(self, path: Path) -> None:
        super().__init__(path, "w+")
        self.failure: OSError | None = None
        self._memory: io.BytesIO | None = None

    def write(self, data: Any, /) -> int:
        view = memoryview(data).cast("B")
        done = 0
        try:
            while done < len(view) and self._memory is None:
                done += super().write(view[done:])
        except OSError as error:
            self._go_on_in_memory(error)
        if self._memory is not None:
            self._memory.write(view[done:])
        return len(view)

    def truncate(self, size: int | None = None, /) -> int:
        size = self.tell() if size is None else size
        try:
            if self._memory is None:
                return super().truncate(size)
        except OSError as error:
            self._go_on_in_memory(error)
        assert self._memory is not None
        content = self._memory.getvalue()[:size].ljust(size, b"\0")
        self._memory = _at(content, self.tell())
        return size

    def readinto(self, buffer: Any, /) -> int | None:
        return super().readinto(buffer) if self._memory is None else self._memory.readinto(buffer)

    def seek(self, offset: int, whence: int = os.SEEK_SET, /) -> int:
        return super().seek(offset, whence) if self._memory is None else self._memory.seek(offset, whence)

    def tell(self) -> int:
        return super().tell() if self._memory is None else self._memory.tell()

    def _go_on_in_memory(self, error: OSError) -> None:
        place = super().tell()
        super().seek(0)
        self.failure, self._memory = error, _at(super().readall() or b"", place)

    def settle(self) -> None:
        """Raise what failed."""
        if self.failure is not None:
            raise self.failure


def _at(content: bytes, place: int) -> io.BytesIO:
    memory = io.BytesIO(content)
    memory.seek(place)
    return memory


def _reserve(file: io.FileIO, size: int) -> None:
    """Ask for the room on the disk first: a full one is known before anything is written."""
    if hasattr(os, "posix_fallocate"):
        os.posix_fallocate(file.fileno(), 0, size)
    file.truncate(0)


def _size(tree: xr.DataTree) -> int:
    """About as many bytes as the file will have."""
    variables = [v for node in tree.subtree for v in node.to_dataset(inherit=False).variables.values()]
    texts = sum(len(str(value)) for v in variables if v.dtype == object for value in v.to_numpy().flat)
    return sum(v.nbytes + 4096 for v in variables) + texts + 1


def _checksum(file: io.FileIO, size: int) -> str:
    digest = hashlib.sha256()
    while size > 0 and (block := file.read(min(BLOCK, size))):
        digest.update(block)
        size -= len(block)
    return digest.hexdigest()


def check_seal(path: str | Path) -> bool:
    """Refuse a damaged file by its checksum, whatever the damage; whether it has one (version 0.1's have none).

    Raises
    ------
    DataError
        For a file that isn't byte by byte what was saved, of a newer version, or no saved fit.
    """
    with io.FileIO(path) as file:
        size = os.fstat(file.fileno()).st_size
        file.seek(max(size - LENGTH, 0))
        end = file.read(LENGTH)
        seal = SEALED.fullmatch(end)
        if seal is None and _holds(file, FIRST):
            return False
        if seal is None and not _holds(file, SPECIFICATION):
            raise DataError(f"{str(path)!r} is not a fit that hierbayes saved; a fit's save() writes one")
        if seal is not None and int(seal[1]) > FORMAT:
            raise DataError(f"{str(path)!r} was saved by a newer hierbayes; update to read it")
        file.seek(0)
        if end != SEAL.format(FORMAT, _checksum(file, size - LENGTH)).encode():
            raise DataError(
                f"{str(path)!r} is damaged, or was changed after hierbayes saved it: its checksum is not that of its "
                "content. Take another copy, or fit the model again"
            )
    return True


def _holds(file: io.FileIO, text: bytes) -> bool:
    if os.fstat(file.fileno()).st_size == 0:
        return False
    with mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as content:
        return content.find(text) >= 0


def check_contents(path: str | Path) -> None:
    """Refuse a file that declares more than it holds or anything but plain arrays, before any is read.

    Raises
    ------
    DataError
        For arrays larger than the file, links and arrays that lie in other files, compressed or computed arrays, and
        types that are neither numbers nor text.
    """
    import h5py

    room = os.path.getsize(path)
    with h5py.File(path, "r") as file, _told(path):
        for group in _members(file, h5py.Group):
            for dataset in _members(group, h5py.Dataset):
                if not bytes(dataset.attrs.get("NAME", b"")).startswith(NOT_A_VARIABLE):
                    room -= _declared(dataset)
                if room < 0:
                    raise ValueError(f"{dataset.name} would be larger than the file")


@contextlib.contextmanager
def _told(path: str | Path) -> Iterator[None]:
    try:
        yield
    except ValueError as error:
        raise DataError(f"{str(path)!r} is not a fit that hierbayes saved: {error}") from error


def _members(group: Any, kind: type) -> Iterator[Any]:
    import h5py

    for name in group:
        member = group[name] if isinstance(group.get(name, getlink=True), h5py.HardLink) else None
        if not isinstance(member, kind):
            raise ValueError(f"{group.name} holds {name!r}, which is no {kind.__name__.lower()}")
        yield member


def _declared(dataset: Any) -> int:
    """The bytes of an array that lies in the file as it is; an error for any other."""
    import h5py

    text = h5py.check_string_dtype(dataset.dtype) is not None
    if not (text or dataset.dtype.kind in "iufb"):
        raise ValueError(f"{dataset.name} holds neither numbers nor text")
    layout = dataset.id.get_create_plist()
    if layout.get_layout() not in (h5py.h5d.CONTIGUOUS, h5py.h5d.COMPACT) or layout.get_external_count():
        raise ValueError(f"{dataset.name} does not lie in the file as it is")
    return int(np.prod(dataset.shape, dtype=object) or 0) * dataset.dtype.itemsize if dataset.shape else 0
