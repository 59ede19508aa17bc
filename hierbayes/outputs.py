"""Where files are written: places refused before any work, and files that are there whole or not at all."""

import contextlib
import os
import shutil
import tempfile
from collections.abc import Iterable, Iterator
from pathlib import Path

from hierbayes.errors import DataError


def check_output(path: str | Path, inputs: Iterable[str | Path | None] = ()) -> None:
    """Refuse a file that could not be written, or that is read as well, before anything is done for it.

    Parameters
    ----------
    path : str or Path
        The file to be written.
    inputs : iterable of str, Path or None
        Files that are read: none of them may be it, under any name.

    Raises
    ------
    DataError
        For a folder, a folder that is missing or can't be written to, a file that is protected, no file at all
        (a device), and one of the inputs.
    """
    target = Path(path)
    _try_folder(target.absolute())
    if target.is_dir():
        raise DataError(
            f"{str(path)!r} is a folder; name the file to write, such as {str(target / 'fit.nc')!r}"
        )
    if target.exists():
        if not target.is_file():
            raise DataError(f"{str(path)!r} is not a file that could be written anew; name another")
        for read in inputs:
            if read is not None and Path(read).exists() and target.samefile(read):
                raise DataError(
                    f"the output {str(path)!r} is the input {str(read)!r}, which would be lost; name another file"
                )
        if not os.access(target, os.W_OK):
            raise DataError(
                f"{str(path)!r} may not be written to; name another file, or change its permissions"
            )
    _try_folder(target.resolve())


def check_folder(path: str | Path) -> None:
    """Refuse a folder for several files that could not be made or written to."""
    folder = Path(path).absolute()
    if folder.exists() and not folder.is_dir():
        raise DataError(f"{str(path)!r} is a file, not a folder to write to; name another")
    known = next(place for place in (folder, *folder.parents) if place.exists())
    _try_folder(known / "file")


def _try_folder(target: Path) -> None:
    """Write a file beside `target` and remove it: permissions alone don't tell whether that is possible."""
    if not os.path.isdir(target.parent):
        raise DataError(f"there is no folder {str(target.parent)!r} to save in; make it first")
    try:
        tempfile.TemporaryFile(dir=target.parent).close()
        with contextlib.suppress(FileNotFoundError):
            target.lstat()  # a name may be too long
    except OSError as error:
        raise DataError(
            f"nothing can be written in the folder {str(target.parent)!r}: {error.strerror}"
        ) from error


@contextlib.contextmanager
def replacing(path: str | Path) -> Iterator[Path]:
    """The path of a new file beside `path`, which takes its place once it is complete and on the disk.

    Whatever happens before leaves the older file as it was, and none of the new one.

    Examples
    --------
    >>> import tempfile
    >>> table = Path(tempfile.mkdtemp()) / "table.csv"
    >>> with replacing(table) as draft:
    ...     size = draft.write_text("x")
    >>> table.read_text()
    'x'
    """
    target = Path(path).resolve()  # a link goes on pointing at its file
    check_output(target)
    draft = target.with_name(f".{target.name[:100]}.{os.getpid()}.part")
    draft.unlink(missing_ok=True)
    try:
        os.close(os.open(draft, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o666))
        if target.exists():
            shutil.copymode(target, draft)
        yield draft
        with draft.open("rb") as written:
            os.fsync(written.fileno())
        os.replace(draft, target)
    except OSError as error:
        raise DataError(
            f"{str(path)!r} could not be written: {error.strerror or error}; what was there before is untouched"
        ) from error
    finally:
        draft.unlink(missing_ok=True)
    _sync_folder(target.parent)


def _sync_folder(folder: Path) -> None:
    """Put the new name on the disk too, where the system lets a folder be opened."""
    with contextlib.suppress(OSError):
        place = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(place)
        finally:
            os.close(place)
