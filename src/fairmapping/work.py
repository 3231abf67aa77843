"""Orders to images and answers at a place: block by block here, or on the workers of a cluster.

Each block is drawn, kept, judged and kept by itself, so memory does not grow with the number of images. Two workers
that do one block by mistake do no harm: it comes to the same bytes.
"""

from __future__ import annotations

import functools
import time
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass
from itertools import chain
from typing import TYPE_CHECKING, Any, Protocol

from . import runs
from .draw import Drawer, ready
from .judges import Judge, load_judge, records
from .ledger import Ledger, Rows
from .lock import locked
from .plan import Order, Plan
from .progress import progress_bar
from .receipts import KEY
from .stopping import Stop, Task, rounds
from .store import Place, picture, png

if TYPE_CHECKING:
    from PIL.Image import Image

__all__ = ["Done", "Hands", "Here", "Job", "Task", "Worker", "run"]


@dataclass(frozen=True)
class Job:
    """What a run is to do, fit to be sent to another machine: all orders go to one place, and their images to one
    judge, if any, who is sent by name where there is one. stop: when a keyword has images enough; without, all are
    drawn. Raises ValueError for a stop without a judge, whose answers it goes by."""

    orders: tuple[Order, ...]
    place: Place
    judge: str | Judge | None = None
    stop: Stop | None = None

    def __post_init__(self) -> None:
        if self.stop is not None and self.judge is None:
            raise ValueError("stopping early goes by a judge's answers, and this job has no judge")

    def __reduce__(self) -> Any:
        return Job, (self.orders, self.place, self.judge, self.stop)

    @functools.cached_property
    def reader(self) -> Judge | None:
        return None if self.judge is None else load_judge(self.judge)

    @functools.cached_property
    def ledgers(self) -> list[Ledger]:
        described = None if self.reader is None else records.describe(self.reader)
        in_rounds = self.stop is not None
        return [Ledger(self.place, Plan(order, in_rounds=in_rounds), described) for order in self.orders]


@dataclass(frozen=True)
class Done:
    """A block that is done: how many images, and the seconds that drawing and judging them took."""

    images: int
    drawing: float
    judging: float


@dataclass(frozen=True)
class _Made:
    """A block before it is written. drawn: its rows where they stand already; images: what was drawn otherwise;
    standing: files that stay as they are."""

    task: Task
    drawn: Rows | None
    images: Sequence[Image]
    standing: Mapping[str, bytes]
    answers: Rows | None
    done: Done


class Worker:
    """A pipeline and a judge that do the blocks of a job, one after the other."""

    def __init__(self, pipe: Any, job: Job) -> None:
        self.pipe, self.job = pipe, job
        self._ready: tuple[int, Drawer] | None = None
        self._stack = ExitStack()

    def describe(self) -> dict[str, Any]:
        """What the images of every order depend on. Raises what is wrong with an order; nothing is written."""
        found: dict[str, Any] = {"arms": {}}
        for number in range(len(self.job.orders)):
            drawer = self._drawer(number)
            found |= {"settings": drawer.settings, "call": drawer.call, "model": _model(self.pipe)}
            found["arms"][drawer.plan.arm] = drawer.mapping
        return found

    def do(self, task: Task) -> Done:
        made = self.make(task)
        self.keep(made)
        return made.done

    def make(self, task: Task) -> _Made:
        """Draw and judge what is missing of a block."""
        started = time.perf_counter()
        drawer, ledger, judge = self._drawer(task[0]), self.job.ledgers[task[0]], self.job.reader
        images: Sequence[Image] = ()
        standing: Mapping[str, bytes] = {}
        drawn = ledger.drawn(task[1])
        if drawn is not None:
            images = ledger.images(drawn)
        else:
            block = ledger.plan.block(task[1])
            standing = ledger.standing(task[1])
            fresh = [] if len(standing) == len(block) else drawer(block)
            images = [
                picture(standing[row.image], row.image) if row.image in standing else fresh[place]
                for place, row in enumerate(block)
            ]
        between = time.perf_counter()
        answers = None
        if judge is not None:
            answers = records.answered(judge, ledger.asked(task[1]), [image.convert("RGB") for image in images])
        done = Done(len(ledger.plan.block(task[1])), between - started, time.perf_counter() - between)
        return _Made(task, drawn, images, standing, answers, done)

    def keep(self, made: _Made) -> None:
        """Write what was made."""
        ledger, number = self.job.ledgers[made.task[0]], made.task[1]
        drawn = made.drawn
        if drawn is None:
            block, plan = ledger.plan.block(number), ledger.plan
            pngs = [
                made.standing.get(row.image) or png(image, {KEY: plan.receipt(row).to_json()})
                for row, image in zip(block, made.images, strict=True)
            ]
            drawn = ledger.keep(number, pngs, made.standing)
        if made.answers is not None:
            ledger.keep_answers(number, drawn, made.answers)

    def close(self) -> None:
        self._ready = None
        self._stack.close()

    def _drawer(self, number: int) -> Drawer:
        """The pipeline ready for an order; it stays so until another one is asked for."""
        if self._ready is None or self._ready[0] != number:
            self.close()
            plan = self.job.ledgers[number].plan
            self._ready = number, self._stack.enter_context(ready(self.pipe, plan.order, plan))
        return self._ready[1]


class Hands(Protocol):
    """Who does the blocks of one job: this process, or the workers of a cluster."""

    def __enter__(self) -> Hands: ...
    def __exit__(self, *error: object) -> None: ...
    def describe(self) -> dict[str, Any]: ...
    def work(self, tasks: Sequence[Task]) -> Iterator[Done]: ...


class Here:
    """This process as the only worker. While a block is drawn, the one before it is written."""

    def __init__(self, pipe: Any, job: Job) -> None:
        self.worker = Worker(pipe, job)

    def __enter__(self) -> Here:
        return self

    def __exit__(self, *error: object) -> None:
        self.worker.close()

    def describe(self) -> dict[str, Any]:
        return self.worker.describe()

    def work(self, tasks: Sequence[Task]) -> Iterator[Done]:
        with ThreadPoolExecutor(1) as writer:
            writing: Future[None] | None = None
            for task in tasks:
                made = self.worker.make(task)
                if writing is not None:
                    writing.result()
                writing = writer.submit(self.worker.keep, made)
                yield made.done
            if writing is not None:
                writing.result()


def run(hands: Hands, job: Job, *, progress: bool = True) -> dict[str, Any]:
    """Do what is not done of a job. With a judge, all answers end in one file (:mod:`fairmapping.judges.records`).

    Returns what the workers tell of themselves ("model", "call", ...), and "seconds", of drawing and of judging, summed
    over workers. Raises, before anything is drawn or written, what is wrong with an order, and ValueError for a place
    where another run lies; RuntimeError where another process is at work there.
    """
    place, ledgers = job.place, job.ledgers
    with hands:
        told = hands.describe()
        runs.compare(place, told["settings"], told["arms"])
        with locked(place):
            runs.settle(place, told["settings"], told["arms"])
            what, total = " and ".join(told["arms"]), sum(len(ledger.plan) for ledger in ledgers)
            seconds = {"generate": 0.0, "judge": 0.0}
            needed: list[list[int]] = [[] for _ in ledgers]  # of each order, its blocks
            with ThreadPoolExecutor() as readers, progress_bar(what, total, "images", shown=progress) as advance:
                for tasks, state in rounds(ledgers, job.stop):
                    todo = []
                    done = readers.map(lambda task: ledgers[task[0]].done(task[1]), tasks)
                    for (order, number), ready in zip(tasks, done, strict=True):
                        if ready:
                            advance(len(ledgers[order].plan.block(number)), state)
                        else:
                            todo.append((order, number))
                    for block in hands.work(todo):
                        seconds["generate"] += block.drawing
                        seconds["judge"] += block.judging
                        advance(block.images, state)
                    for order, number in tasks:
                        needed[order].append(number)
            if job.reader is not None:
                answers = (ledger.answers(numbers) for ledger, numbers in zip(ledgers, needed, strict=True))
                records.write(place, records.describe(job.reader), chain.from_iterable(answers))
    return told | {"seconds": {name: round(spent, 1) for name, spent in seconds.items()}}


def _model(pipe: Any) -> dict[str, str]:
    from . import portraits

    own = portraits.is_portraits(pipe)
    name = "portraits" if own else str(getattr(pipe, "name_or_path", None) or type(pipe).__name__)
    return {"name": name, "pipeline": type(pipe).__name__}
