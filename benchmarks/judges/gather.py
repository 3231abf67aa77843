"""Lays out the pictures that the judge of photographs was built and measured on:

    python benchmarks/judges/gather.py CLONES PICTURES

CLONES holds git clones of the public repositories below, named owner+name. Nothing of theirs lies in this repository:
labels/ names their files, and the pictures remain their owners'.
"""

from __future__ import annotations

import csv
import hashlib
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

LABELS = Path(__file__).parent / "labels"
SOURCES = {  # folder of PICTURES: repository, commit, folder in it
    "sd3": ("faker-js+assets-person-portrait", "63aef57b5a839aebe3ad913ec7c76469aabbb6c5", ""),
    "sd3-avatars": ("matthewmayer+sd3-avatars", "5464afe8f98b4f8dbab74e18aaf323c6d4eaac2b", ""),
    "sdfd": ("gebaltso+SDFD", "3b44460b184a5c2a05e96ceeed7baf0acf84c9d8", "allImages/"),
    "lfw": (
        "laz08+Image-gender-classification",
        "a0902abeeca92676a40f13e0f4620e5b52c09e05",
        "datasets/facesInTheWild/",
    ),
}
# Its pictures went to Git LFS later; those drawn by Stable Diffusion still lie in the history, under other names.
SD15 = ("Ispanicus+unstable-diffusion", "ffd5fc61e076153e736c55293e461a4789cbbd58", "unstable/data/imgs/")


def git(clone: Path, *arguments: str) -> bytes:
    return subprocess.run(["git", "-C", str(clone), *arguments], check=True, capture_output=True).stdout


def blobs(clone: Path) -> Iterator[bytes]:
    """Every file of a clone's history larger than a pointer of Git LFS."""
    listed = git(clone, "cat-file", "--batch-all-objects", "--batch-check").decode().splitlines()
    large = [line.split()[0] for line in listed if line.split()[1] == "blob" and int(line.split()[2]) > 1000]
    for digest in large:
        yield git(clone, "cat-file", "blob", digest)


def main(clones: Path, pictures: Path) -> None:
    names = {row["image"] for path in LABELS.glob("*.csv") for row in csv.DictReader(path.open(encoding="utf-8"))}
    clone, commit, folder = clones / SD15[0], SD15[1], SD15[2]
    wanted = {}
    for name in sorted(name for name in names if name.startswith("sd15/")):
        pointer = git(clone, "show", f"{commit}:{folder}{name.removeprefix('sd15/')}")
        wanted[re.findall(rb"sha256:([0-9a-f]{64})", pointer)[0].decode()] = name
    for content in blobs(clone):
        name = wanted.pop(hashlib.sha256(content).hexdigest(), None)
        if name is not None:
            write(pictures / name, content)
    for source, (repository, commit, folder) in SOURCES.items():
        for name in sorted(name for name in names if name.startswith(f"{source}/")):
            path = f"{commit}:{folder}{name.removeprefix(f'{source}/')}"
            write(pictures / name, git(clones / repository, "show", path))
    repository, commit, _ = SOURCES["sdfd"]
    write(pictures / "finalPrompts.csv", git(clones / repository, "show", f"{commit}:finalPrompts.csv"))
    print(f"{len(names) - len(wanted)} of {len(names)} pictures in {pictures}")


def write(path: Path, content: bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
