"""The progress bar counts on stderr and leaves stdout alone."""

from __future__ import annotations

import pytest

from fairmapping.progress import progress_bar


def test_it_counts_on_stderr(capfd: pytest.CaptureFixture[str]) -> None:
    with progress_bar("drawing", 5, "images", done=2) as advance:
        advance(3)
    out, err = capfd.readouterr()
    assert out == ""
    assert "drawing" in err
    assert "5/5 images" in err


def test_without_a_total_it_shows_the_state(capfd: pytest.CaptureFixture[str]) -> None:
    with progress_bar("fitting", None, "steps") as advance:
        advance(7, "loss 0.25")
    assert "7/? loss 0.25" in capfd.readouterr().err


def test_a_hidden_one_prints_nothing(capfd: pytest.CaptureFixture[str]) -> None:
    with progress_bar("drawing", 5, "images", shown=False) as advance:
        advance(3)
        advance(2, "done")
    assert capfd.readouterr() == ("", "")
