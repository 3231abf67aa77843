"""The same run on the workers of a Ray cluster, one of which is lost."""

from __future__ import annotations

import functools
from pathlib import Path

import pytest
import quick
import tiny
from quick import contents

from fairmapping.cluster import Cluster
from fairmapping.generate import generate
from fairmapping.pipelines import Source, can_be_sent, made


@pytest.mark.filterwarnings("ignore")  # what Ray and what it imports have to say
def test_workers_give_the_files_of_one_process_though_one_is_lost(tmp_path: Path) -> None:
    pytest.importorskip("ray")
    quick.run(str(tmp_path / "here"), quick.Noise())
    mark = tmp_path / "mark"
    mark.touch()
    make = functools.partial(quick.Noise, fatal=str(mark))
    quick.run(str(tmp_path / "ray"), make, ray=Cluster("local", workers=2))
    assert not mark.exists()  # a worker was lost
    assert contents(tmp_path / "ray") == contents(tmp_path / "here")


def test_a_pipeline_cannot_be_sent_and_what_makes_one_can(tmp_path: Path) -> None:
    with pytest.raises(TypeError, match=r"a Noise cannot be sent to other machines; give its name or folder"):
        quick.run(str(tmp_path / "run"), quick.Noise(), ray=Cluster("local"))
    assert not (tmp_path / "run").exists()
    assert [can_be_sent(one) for one in ("portraits", Source(), tiny.make_sd, quick.Noise, quick.Noise())] == [
        *[True] * 4,
        False,
    ]
    assert type(made(quick.Noise)) is quick.Noise


def test_bad_clusters_are_refused() -> None:
    for wrong in ({"threads": 0}, {"workers": 0}):
        with pytest.raises(ValueError, match="at least 1 of each"):
            Cluster(**wrong)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="must be written somewhere: give out"):
        generate("portraits", ["a nurse"], ray="local")
