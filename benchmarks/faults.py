"""What is left of an audit after faults: the command on the embedded model, struck again and again, and gone on with.

python benchmarks/faults.py --out runs/faults [--kills 50] [--losses 10] [--only kill,damage,disk,second,ray,driver]
kill     kill -9 of the command at random moments of its work
damage   as before, and each time an image or Parquet file is cut off, emptied or has four bytes changed
disk     a disk (a tmpfs: needs root) that is full half way, then made larger
second   a second command on a folder where one is at work
ray      kill -9 of random workers of a local Ray cluster
driver   kill -9 of the command that leads a Ray cluster
Each time the same command goes on until it ends; then every file and every table must be those of an undisturbed run.
Each command is a process of its own, forked from one that has imported the libraries, so that fifty kills take minutes.
"""

from __future__ import annotations

import argparse
import multiprocessing
import os
import random
import signal
import subprocess
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import psutil

import fairmapping as fm
from fairmapping.tables import decode

WORDS = "doctor,nurse,carpenter,teacher"
ASKED = ["--keywords", WORDS, "--template", "a portrait of {}", "--images", "16", "--batch-size", "8", "--steps", "4"]
RAY = ["--ray", "local", "--workers", "2"]


class Faults:
    def __init__(self, out: Path, seed: int) -> None:
        self.out, self.random = out, random.Random(seed)
        self.asked = ["audit", *ASKED, "--map", str(out / "map")]
        self.forks = multiprocessing.get_context("forkserver")
        self.forks.set_forkserver_preload(
            ["fairmapping.cli", "fairmapping.work", "fairmapping.portraits.judge", "pandas"]
        )
        if not (out / "map" / "config.json").exists():
            fm.fit(fm.portraits.load(), fm.lists.split()[0][:20], ("gender",), route="text").save_pretrained(
                out / "map"
            )
        self.whole = self.fresh("whole")
        process, started = self.start(self.whole)
        self.ended(process)
        self.span = time.perf_counter() - started
        print(f"undisturbed: {self.span:.1f} s of work, {len(contents(self.whole))} files", flush=True)

    def fresh(self, name: str) -> Path:
        folder = self.out / name
        subprocess.run(["rm", "-rf", str(folder)], check=True)
        return folder

    def start(self, folder: Path, more: Sequence[str] = ()) -> tuple[Any, float]:
        """The command, and when it began to work on the folder (or ended)."""
        process = self.forks.Process(target=command, args=([*self.asked, *more, "--out", str(folder)], self.said))
        process.start()
        while process.exitcode is None:
            try:
                if f'"pid": {process.pid},' in (folder / ".lock").read_text():
                    break
            except FileNotFoundError:
                pass
            time.sleep(0.01)
        return process, time.perf_counter()

    @property
    def said(self) -> Path:
        """What the last command to end said."""
        return self.out / "said.txt"

    def ended(self, process: Any) -> None:
        process.join()
        assert process.exitcode == 0, self.said.read_text()

    def check(self, name: str) -> None:
        """Every file but the date and seconds of audit.json, and every table."""
        there, whole = contents(self.out / name), contents(self.whole)
        assert there.keys() == whole.keys(), f"{name}: other files: {sorted(there.keys() ^ whole.keys())[:5]}"
        other = [path for path in whole if whole[path] != there[path] and not same_rows(path, whole[path], there[path])]
        assert not other, f"{name}: other bytes in {other[:5]}"
        found, expected = fm.Audit.load(self.out / name), fm.Audit.load(self.whole)
        assert found.rows.equals(expected.rows)
        for attribute in expected.attributes:
            assert found.table(attribute).equals(expected.table(attribute))
            assert found.summary(attribute).equals(expected.summary(attribute))
            assert found.compare(attribute) == expected.compare(attribute)

    def kill(self, kills: int, name: str = "kill", hurt: Callable[[Path], str] | None = None) -> None:
        """``kills`` times, in as many runs as that takes; each is struck until it happens to end."""
        done, runs = 0, 0
        while done < kills:
            runs += 1
            folder = self.fresh(f"{name}-{runs}")
            while True:
                process, _ = self.start(folder)
                # So many images further on, or some moments later: on a busy machine, too, the end is not all it sees.
                until = images_in(folder) + self.random.randint(0, 32)
                while process.exitcode is None and images_in(folder) < until:
                    time.sleep(0.005)
                process.join(self.random.uniform(0, 0.3))
                if process.exitcode is not None or done == kills:
                    self.ended(process)
                    break
                process.kill()
                process.join()
                done += 1
                images, said = images_in(folder), "" if hurt is None else hurt(folder)
                print(f"{name}-{runs}: killed at {images} images {said}", flush=True)
            self.check(f"{name}-{runs}")
        print(f"{name}: {done} kills in {runs} runs; all ended as undisturbed", flush=True)

    def hurt(self, folder: Path) -> str:
        files = [path for path in folder.rglob("*") if path.suffix in (".png", ".parquet") and path.is_file()]
        if not files:
            return ""
        path = self.random.choice(files)
        data = path.read_bytes()
        middle = len(data) // 2
        how = self.random.choice(["cut", "empty", "changed"])
        changed = data[:middle] + bytes(255 - byte for byte in data[middle : middle + 4]) + data[middle + 4 :]
        path.write_bytes({"cut": data[:middle], "empty": b"", "changed": changed}[how])
        return f"{how} {path}"

    def disk(self) -> None:
        folder = self.fresh("disk")
        folder.mkdir()
        subprocess.run(["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", str(folder)], check=True)
        try:
            process, _ = self.start(folder)
            process.join()
            said = self.said.read_text()
            assert process.exitcode == 2 and "No space left on device" in said, said
            print("disk:", " ".join(said.split("Error:")[1].split()), flush=True)
            subprocess.run(["mount", "-o", "remount,size=100m", str(folder)], check=True)
            self.ended(self.start(folder)[0])
            self.check("disk")
        finally:
            subprocess.run(["umount", str(folder)], check=True)
        print("disk: full, made larger, ended as undisturbed", flush=True)

    def second(self) -> None:
        folder = self.fresh("second")
        process, _ = self.start(folder)
        os.kill(process.pid, signal.SIGSTOP)  # so that it does not end before the other one has looked
        other, _ = self.start(folder)
        other.join()
        said = " ".join(self.said.read_text().split())
        assert other.exitcode == 2 and f"process {process.pid} on" in said, said
        os.kill(process.pid, signal.SIGCONT)
        self.ended(process)
        self.check("second")
        print("second: refused, the first ended as undisturbed", flush=True)

    def ray(self, losses: int) -> None:
        folder = self.fresh("ray")
        process, _ = self.start(folder, RAY)
        done, seen = 0, 0
        while process.exitcode is None:
            time.sleep(self.random.uniform(0, 0.5))
            workers = [child for child in children(process.pid) if "ray::_Hand" in child.name() + cmd(child)]
            if done < losses and workers and images_in(folder) > seen:  # else the same block would lose them all
                self.random.choice(workers).kill()
                done, seen = done + 1, images_in(folder)
        self.ended(process)
        self.check("ray")
        print(f"ray: {done} workers killed, ended as undisturbed", flush=True)

    def driver(self, kills: int) -> None:
        folder = self.fresh("driver")
        for _ in range(kills):
            process, _ = self.start(folder, RAY)
            time.sleep(self.random.uniform(0, self.span))
            below = children(process.pid)
            process.kill()
            process.join()
            psutil.wait_procs(below, timeout=60)
        self.ended(self.start(folder, RAY)[0])
        self.check("driver")
        print(f"driver: {kills} kills, ended as undisturbed", flush=True)


def cmd(process: psutil.Process) -> str:
    try:
        return " ".join(process.cmdline())
    except psutil.Error:
        return ""


def children(pid: int) -> list[psutil.Process]:
    try:
        return psutil.Process(pid).children(recursive=True)
    except psutil.NoSuchProcess:
        return []


def images_in(folder: Path) -> int:
    return sum(1 for _ in (folder / "images").rglob("*.png"))


def command(asked: list[str], said: Path) -> None:
    """In a process of its own: `fairmapping ...`, what it says going to a file."""
    with said.open("wb") as file:
        os.dup2(file.fileno(), 1)
        os.dup2(file.fileno(), 2)
    from fairmapping.cli import app

    app(asked)


def same_rows(path: str, one: bytes, other: bytes) -> bool:
    """Of a block's Parquet file: four changed bytes of its footer may change no row, and then they stay."""
    return path.count("/") == 2 and path.endswith(".parquet") and decode(one, path).equals(decode(other, path))


def contents(folder: Path) -> dict[str, bytes]:
    files = {str(path.relative_to(folder)): path for path in folder.rglob("*") if path.is_file()}
    return {name: path.read_bytes() for name, path in files.items() if name != "audit.json"}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--kills", type=int, default=50)
    parser.add_argument("--losses", type=int, default=10)
    parser.add_argument("--only", default="kill,damage,disk,second,ray,driver")
    parser.add_argument("--seed", type=int, default=0)
    arg = parser.parse_args()
    faults = Faults(arg.out, arg.seed)
    does: dict[str, Callable[[], None]] = {
        "kill": lambda: faults.kill(arg.kills),
        "damage": lambda: faults.kill(max(1, arg.kills // 5), "damage", faults.hurt),
        "disk": faults.disk,
        "second": faults.second,
        "ray": lambda: faults.ray(arg.losses),
        "driver": lambda: faults.driver(3),
    }
    for name in arg.only.split(","):
        does[name]()


if __name__ == "__main__":
    main()
