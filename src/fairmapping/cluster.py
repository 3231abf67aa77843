"""The workers of a Ray cluster: each an actor with a pipeline of its own, that does one block at a time.

A block that a lost worker was at is given to another, and the worker is replaced. What comes out is the same files as
from one process with the same number of threads: how a product is split over threads can change its last bits.
"""

from __future__ import annotations

import os
import sys
from collections import Counter, deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .work import Done, Hands, Job, Task

__all__ = ["Cluster", "Crew", "hands_of"]

_LOSSES = 3  # of one block, before it is taken to be the reason


@dataclass(frozen=True)
class Cluster:
    """Where to work, and with what.

    address: "local" starts Ray on this machine for the time of the call, "auto" takes the one that runs, and
    "ray://host:10001" or "host:6379" names one. workers: by default as many as there are GPUs for, or CPUs. threads:
    CPU threads of each. gpus: of each, by default 1 where the pipeline goes to CUDA, else 0; a fraction lets workers
    share one.
    """

    address: str = "auto"
    workers: int | None = None
    threads: int = 1
    gpus: float | None = None

    def __post_init__(self) -> None:
        if self.threads < 1 or (self.workers is not None and self.workers < 1):
            raise ValueError(f"{self.workers} workers of {self.threads} threads: give at least 1 of each")


class Crew:
    """The workers of one job. Raises ModuleNotFoundError without Ray, TypeError for what cannot be sent to them."""

    def __init__(self, cluster: Cluster, pipe: Any, job: Job) -> None:
        from . import pipelines

        if not pipelines.can_be_sent(pipe):
            raise TypeError(
                f"a {type(pipe).__name__} cannot be sent to other machines; give its name or folder, "
                "fairmapping.pipelines.Source(model, device=..., dtype=...), or a function that makes it"
            )
        self.cluster, self.pipe, self.job = cluster, pipe, job
        self.actors: list[Any] = []

    def __enter__(self) -> Crew:
        try:
            import ray
        except ModuleNotFoundError as error:
            raise ModuleNotFoundError("ray is missing; install fairmapping[scale], or leave ray out") from error
        self.ray = ray
        self._mine = not ray.is_initialized()
        if self._mine:
            self._start()
        try:
            self._sent = ray.put((self.pipe, self.job, self.cluster.threads))
        except TypeError as error:
            self.__exit__()
            raise TypeError(
                f"the pipeline's function or the judge cannot be sent to other machines: {error}; give the judge as an "
                "import path such as 'my_package.judges:MyJudge', with its card in it"
            ) from error
        return self

    def _start(self) -> None:
        here: dict[str, Any] = {}
        before = os.environ.get("PYTHONPATH")
        if self.cluster.address == "local":
            asked = (self.cluster.workers or 1) * self.cluster.threads
            here = {"num_cpus": max(asked, os.cpu_count() or 1), "include_dashboard": False}
            os.environ["PYTHONPATH"] = os.pathsep.join(filter(None, sys.path))  # workers find what this process does
        try:
            self.ray.init(address=self.cluster.address, log_to_driver=False, logging_level="ERROR", **here)
        except (ConnectionError, RuntimeError) as error:
            raise ValueError(f"no Ray cluster answers at {self.cluster.address!r}: {error}") from error
        finally:
            os.environ.pop("PYTHONPATH", None) if before is None else os.environ.update(PYTHONPATH=before)

    def __exit__(self, *error: object) -> None:
        for actor in self.actors:
            self.ray.kill(actor)
        self.actors = []
        if self._mine:
            self.ray.shutdown()

    def describe(self) -> dict[str, Any]:
        """What a worker tells of itself; the first one is kept for the work."""
        self.actors = [self._hired()]
        try:
            return self._got(self.actors[0].describe.remote())
        except self.ray.exceptions.RayActorError as error:
            raise RuntimeError(
                f"a worker was lost before it began: {error}; the machines of the cluster need this version of "
                "fairmapping, and the modules of the pipeline's function and of the judge"
            ) from error

    def work(self, tasks: Sequence[Task]) -> Iterator[Done]:
        """Every block that is done, in the order in which they are."""
        waiting, lost = deque(tasks), Counter[Any]()
        self.actors += [self._hired() for _ in range(min(self._size(), len(tasks)) - len(self.actors))]
        idle, busy = list(self.actors), dict[Any, tuple[Any, Any]]()
        while waiting or busy:
            while idle and waiting:
                actor, task = idle.pop(), waiting.popleft()
                busy[actor.do.remote(task)] = actor, task
            (reference, *_), _ = self.ray.wait(list(busy), num_returns=1)
            actor, task = busy.pop(reference)
            try:
                done = self._got(reference)
            except (self.ray.exceptions.RayActorError, self.ray.exceptions.WorkerCrashedError) as error:
                lost[task] += 1
                if lost[task] == _LOSSES:
                    raise RuntimeError(
                        f"{_LOSSES} workers were lost at block {task[1]}, the last one so: {error}; if memory ran out, "
                        "give a smaller batch_size or fewer workers. The same call goes on"
                    ) from error
                waiting.appendleft(task)
                self.actors.remove(actor)
                actor = self._hired()
                self.actors.append(actor)
            else:
                yield done
            idle.append(actor)

    def _got(self, reference: Any) -> Any:
        try:
            return self.ray.get(reference)
        except self.ray.exceptions.RayTaskError as error:
            raise error.cause from None  # as it would have been raised here

    def _hired(self) -> Any:
        options = {"num_cpus": self.cluster.threads, "num_gpus": self._gpus()}
        return self.ray.remote(_Hand).options(**options, scheduling_strategy="SPREAD").remote(self._sent)

    def _gpus(self) -> float:
        if self.cluster.gpus is not None:
            return self.cluster.gpus
        return float(str(getattr(self.pipe, "device", "")).startswith("cuda"))

    def _size(self) -> int:
        """As many workers as were asked for and have room: one that has none would wait for ever with its block."""
        there = self.ray.cluster_resources()
        room = there.get("CPU", 1) // self.cluster.threads
        if self._gpus():
            room = min(room, there.get("GPU", 0) // self._gpus())
        return max(1, int(min(self.cluster.workers or room, room)))


class _Hand:
    """What runs in a worker's process. Nothing can go wrong in making it, so what does is told by its methods."""

    def __init__(self, sent: Any) -> None:
        self.pipe, self.job, self.threads = sent
        self.worker: Any = None

    def describe(self) -> dict[str, Any]:
        return self._ready().describe()

    def do(self, task: Task) -> Done:
        return self._ready().do(task)

    def _ready(self) -> Any:
        if self.worker is None:
            import torch

            from . import pipelines
            from .work import Worker

            torch.set_num_threads(self.threads)
            pipelines.hush()
            self.worker = Worker(pipelines.made(self.pipe), self.job)
        return self.worker


def hands_of(ray: str | Cluster | None, pipe: Any, job: Job) -> Hands:
    """Who does the job: this process without ``ray``, else the workers of that cluster."""
    from . import pipelines, work

    if ray is None:
        return work.Here(pipelines.made(pipe), job)
    return Crew(Cluster(ray) if isinstance(ray, str) else ray, pipe, job)
