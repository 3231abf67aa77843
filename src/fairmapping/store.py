"""Where a run lies: a local folder or any address that fsspec knows, with files that are whole or not there.

A name within it is a path with "/". Locally a file is written beside its place and moved there in one step; an object
store takes a file in one put. So whoever reads a name sees nothing or all of it, also after a kill or on a full disk.
"""

from __future__ import annotations

import io
import os
import struct
import tarfile
import uuid
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from PIL.Image import Image

__all__ = ["IN_SHARD", "STORES", "Place", "holder", "picture", "png", "shard", "turned", "write_text"]

STORES = ("files", "webdataset")
IN_SHARD = ".tar/"  # "shards/raw/000000-ab.tar/a-doctor/0000.png" lies within the tar file
PARTIAL = ".partial"  # the folder of what is being written


class Place:
    """A folder (a path or file://) or an address such as s3://bucket/run, gs://bucket/run, memory://run.

    ``path`` is the local folder, None elsewhere. Raises ValueError for an address of no known kind.
    """

    def __init__(self, where: str | os.PathLike[str] | Place) -> None:
        import fsspec
        from fsspec.implementations.local import LocalFileSystem

        text = str(where) if isinstance(where, Place) else os.fspath(where)
        try:
            self.fs, self.root = fsspec.core.url_to_fs(text, use_listings_cache=False)
        except (ValueError, ImportError) as error:
            raise ValueError(f"{text!r} is no folder or address to write to: {error}") from error
        self.path: Path | None = None
        if isinstance(self.fs, LocalFileSystem):
            self.path = Path(text if "://" not in text else self.root)
        self._text = text.rstrip("/") if self.path is None else str(self.path)
        self._shard: tuple[str, dict[str, bytes]] = ("", {})

    def __str__(self) -> str:
        return self._text

    def __reduce__(self) -> Any:  # another process may be in another folder
        return Place, (self._text if self.path is None else str(self.path.absolute()),)

    def join(self, name: str) -> str:
        """Where a name lies; an absolute path, of an image that somebody else made, stays what it is."""
        return name if self.path is not None and os.path.isabs(name) else f"{self.root.rstrip('/')}/{name}"

    def exists(self, name: str) -> bool:
        return self.size(name) is not None

    def size(self, name: str) -> int | None:
        """In bytes, of the file that holds it; None where there is none."""
        try:
            return int(self.fs.info(self.join(holder(name)))["size"])
        except (FileNotFoundError, NotADirectoryError):
            return None

    def stamp(self, name: str) -> str:
        """Another one where the file that holds it was written again. Raises FileNotFoundError where there is none."""
        return str(self.fs.ukey(self.join(holder(name))))

    def names(self, folder: str) -> list[str]:
        """The files in a folder of it, in order; none where it is missing."""
        try:
            found = self.fs.ls(self.join(folder), detail=False)
        except (FileNotFoundError, NotADirectoryError):
            return []
        return sorted(f"{folder}/{path.rstrip('/').rsplit('/', 1)[1]}" for path in found)

    def read(self, name: str) -> bytes:
        """Raises FileNotFoundError where there is none; a name within a shard is read from it."""
        if IN_SHARD not in name:
            return self.fs.cat_file(self.join(name))
        archive = holder(name)
        if self._shard[0] != archive:
            self._shard = archive, self.members(archive)
        try:
            return self._shard[1][name]
        except KeyError:
            raise FileNotFoundError(f"{self}/{archive} holds no {name}") from None

    def members(self, archive: str) -> dict[str, bytes]:
        """What a shard holds, by the name within the run. Raises ValueError for a damaged one."""
        data, prefix = self.read(archive), archive.removesuffix(".tar") + IN_SHARD
        try:
            with tarfile.open(fileobj=io.BytesIO(data)) as file:
                return {prefix + entry.name: file.extractfile(entry).read() for entry in file}  # type: ignore[union-attr]
        except (tarfile.TarError, OSError, AttributeError) as error:
            again = "delete it, and the same call draws it again"
            raise ValueError(f"{self}/{archive} is no readable shard ({error}); {again}") from error

    def write(self, name: str, data: bytes) -> None:
        """The whole file or none of it. What goes wrong (a full disk) names the file."""
        if self.path is None:
            self.fs.pipe_file(self.join(name), data)
        else:
            with self.writing(name) as file:
                file.write(data)
        if name == self._shard[0]:
            self._shard = ("", {})

    @contextmanager
    def writing(self, name: str) -> Iterator[Any]:
        """A binary file to write to piece by piece, which takes its place when all is written."""
        if self.path is None:
            with self.fs.open(self.join(name), "wb") as file:
                yield file
            return
        with _moved(self.path / PARTIAL / uuid.uuid4().hex, self.path / name) as file:
            yield file

    def write_text(self, name: str, text: str) -> None:
        self.write(name, text.encode())

    def remove(self, name: str) -> None:
        """A file, or a folder with all in it, if it is there."""
        if self.fs.exists(self.join(name)):
            self.fs.rm(self.join(name), recursive=True)

    def image(self, name: str) -> Image:
        """As RGB. Raises FileNotFoundError where it is gone, ValueError where it cannot be read."""
        try:
            return picture(self.read(name), f"{self}/{name}")
        except FileNotFoundError as error:
            raise FileNotFoundError(f"the image {self}/{name} is gone; the call that drew it draws it again") from error


@contextmanager
def _moved(partial: Path, target: Path) -> Iterator[Any]:
    """A file to write that becomes ``target`` when all is written. What goes wrong in the middle names that."""
    try:
        for path in (partial, target):
            path.parent.mkdir(parents=True, exist_ok=True)
        with partial.open("wb") as file:
            yield file
        os.replace(partial, target)
    except OSError as error:
        raise OSError(error.errno, error.strerror, str(target)) from error
    finally:
        partial.unlink(missing_ok=True)


def write_text(path: Path, text: str) -> None:
    """The whole file or none of it, also where two processes write it at once."""
    with _moved(path.with_name(f"{path.name}.{uuid.uuid4().hex[:8]}.part"), path) as file:
        file.write(text.encode())


def holder(name: str) -> str:
    """The file that holds an image: a shard, or its own."""
    archive, within, _ = name.partition(IN_SHARD)
    return archive + ".tar" if within else name


def picture(data: bytes, name: str) -> Image:
    """The image of a file as RGB, the way up that its camera says. Raises ValueError, naming it, where it cannot be
    read."""
    from PIL import Image

    try:
        with Image.open(io.BytesIO(data)) as image:
            return turned(image).convert("RGB")
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:  # SyntaxError: a broken PNG
        raise ValueError(
            f"{name} is no readable image ({error}); delete it, and the same call draws it again"
        ) from error


def turned(image: Image) -> Image:
    """The image the way up that its EXIF orientation says, or as it is where its EXIF data cannot be read."""
    from PIL import ImageOps

    try:
        return ImageOps.exif_transpose(image)
    except (SyntaxError, ValueError, TypeError, struct.error):  # what Pillow raises for broken EXIF data
        return image


def png(image: Image, texts: Mapping[str, str]) -> bytes:
    """The PNG file with ``texts`` as its text metadata."""
    from PIL.PngImagePlugin import PngInfo

    info, file = PngInfo(), io.BytesIO()
    for name, text in texts.items():
        info.add_text(name, text)
    image.save(file, format="PNG", pnginfo=info)
    return file.getvalue()


def shard(files: Iterable[tuple[str, bytes]]) -> bytes:
    """A tar file, as WebDataset reads it: the files of one sample share their name up to the first dot. The same files
    give the same bytes."""
    made = io.BytesIO()
    with tarfile.open(fileobj=made, mode="w", format=tarfile.USTAR_FORMAT) as archive:
        for name, data in files:
            entry = tarfile.TarInfo(name)
            entry.size = len(data)
            archive.addfile(entry, io.BytesIO(data))
    return made.getvalue()
