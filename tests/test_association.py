"""Association tests, held to hand counts, to scipy's permutation test and to made embeddings whose answer is known."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from scipy import stats
from test_audit import by_hand
from test_bias import GENDER, contrasts

from fairmapping.bias import LanguageBias, measure
from fairmapping.embed import Embeddings
from fairmapping.mapping import FairMap
from fairmapping.metrics import association, cosines, weat
from fairmapping.prompts import Attribute, Group
from fairmapping.report import report


def test_by_hand() -> None:
    """One keyword, two words on each side: cosines .5, .3 and .1, .1; of the 6 partitions 2 are as far apart."""
    difference, effect, p = association([[0.5, 0.3]], [[0.1, 0.1]])
    assert (difference[0], p[0]) == pytest.approx((0.3, 2 / 6))
    assert effect[0] == pytest.approx(0.3 / np.std([0.5, 0.3, 0.1, 0.1], ddof=1))
    found = weat([0.4, 0.6], [0.1, -0.1, 0.0])
    assert (found.difference.value, found.p) == pytest.approx((0.5, 1 / 10))
    assert found.effect == pytest.approx(0.5 / np.std([0.4, 0.6, 0.1, -0.1, 0.0], ddof=1))
    assert (found.x, found.y, found.difference.n) == (2, 3, 5)
    assert found.difference.low <= 0.5 <= found.difference.high
    assert "2 against 3 keywords" in str(found)


def test_p_is_that_of_scipys_permutation_test() -> None:
    rng = np.random.default_rng(0)
    x, y = rng.normal(0.5, 1, 6), rng.normal(0, 1, 6)

    def apart(a: Any, b: Any, axis: int) -> Any:
        return np.mean(a, axis) - np.mean(b, axis)

    exact = stats.permutation_test((x, y), apart, vectorized=True, n_resamples=np.inf, alternative="two-sided")
    assert weat(x, y).p == pytest.approx(exact.pvalue)
    assert weat(x, y, resamples=800).p == pytest.approx(exact.pvalue, abs=0.05)  # 924 partitions: drawn at random
    many = association(rng.normal(size=(3, 12)), rng.normal(size=(3, 12)), seed=1)
    assert (many[2] >= 1e-4).all()


def test_words_without_any_difference_seldom_have_a_small_p() -> None:
    values = np.random.default_rng(0).normal(size=(600, 10))
    assert (association(values[:, :5], values[:, 5:])[2] < 0.05).mean() < 0.07


def test_cosines_and_what_has_none() -> None:
    np.testing.assert_allclose(cosines([[3, 4]], [[6, 8], [-4, 3], [-3, -4]]), [[1, 0, -1]], atol=1e-12)
    with pytest.raises(ValueError, match="length 0"):
        cosines([[0, 0]], [[1, 0]])
    with pytest.raises(ValueError, match="two or more keywords"):
        weat([0.1], [0.2, 0.3])
    for wrong in ([[0.1, 0.2]], [[], []]):
        with pytest.raises(ValueError, match="cosines must be"):
            association([[0.1], [0.3]], wrong)
    assert association([[0.2, 0.2]], [[0.2]])[1] == 0


def test_each_word_is_compared_in_the_template_of_its_keyword() -> None:
    made = replace(contrasts(keywords=3, templates=2), attributes=(GENDER, contrasts().attributes[1]))
    words = [word for item in made.attributes for group in item.groups for word in group.words]
    rows = 2 * len(words)
    encoded = Embeddings(
        torch.randn(rows, 4, 5, generator=torch.Generator().manual_seed(1)), torch.ones(rows, 4).bool()
    )
    found = made.cosines(encoded)
    assert [values.shape for values in found.values()] == [(3, 2), (3, len(words) - 2)]
    mean = encoded.sequence.mean(1).double()
    own = made.neutral.sequence[:, :3].mean(1).double()  # the last token is padding
    expected = np.mean([torch.cosine_similarity(own[2 * 1 + t], mean[2 * 1 + t], dim=0).item() for t in range(2)])
    assert found["gender"][1, 1] == pytest.approx(expected)  # keyword 1 with word 1


@pytest.fixture
def leaning() -> LanguageBias:
    """Occupations whose cosines lean as Stable Diffusion v1.5 draws them: nurses and maids to the words of women."""
    keywords = ("nurse", "maid", "carpenter", "plumber", "receptionist")
    rng = np.random.default_rng(0)
    sides = np.array([1, 1, -1, -1, 1])[:, None] * np.array([1, 1, 1, -1, -1, -1])
    bias = contrasts(keywords=5).bias()
    words = Attribute("gender", (Group("female", ("female", "woman", "girl")), Group("male", ("male", "man", "boy"))))
    return replace(
        bias, keywords=keywords, attributes=(words, bias.attributes[1]), cosines={
            "gender": 0.5 + 0.2 * sides + 0.01 * rng.normal(size=sides.shape),
            "race": rng.normal(size=(5, sum(len(group.words) for group in bias.attributes[1].groups))),
        },
    )  # fmt: skip


def test_keywords_lean_towards_the_words_of_a_group(leaning: LanguageBias) -> None:
    table = leaning.associations("female").set_index("keyword")
    assert (table["effect"] > 0).tolist() == [True, True, False, False, True]
    assert set(table["p"].round(6)) == {0.1}  # 2 of 20 partitions
    opposite = leaning.associations("male").set_index("keyword")
    np.testing.assert_allclose(opposite["effect"], -table["effect"])
    found = leaning.weat(["nurse", "maid", "receptionist"], ["carpenter", "plumber"], "female")
    assert found.difference.value == pytest.approx(0.8, abs=0.05)
    assert found.p == pytest.approx(0.1)
    assert leaning.select(["maid"]).associations("female")["effect"].tolist() == [table.loc["maid", "effect"]]


def test_what_cannot_be_tested(leaning: LanguageBias) -> None:
    with pytest.raises(ValueError, match="in both sets"):
        leaning.weat(["nurse", "maid"], ["maid", "plumber"], "female")
    with pytest.raises(ValueError, match="association=True"):
        contrasts().bias().associations("female")
    with pytest.raises(ValueError, match="not among"):
        leaning.weat(["nurse", "maid"], ["pilot", "plumber"], "female")


def test_it_is_measured_on_an_encoder_before_and_after_a_map(tiny_sd: Any) -> None:
    words = ["doctor", "nurse", "judge", "clerk"]
    before = measure(tiny_sd, words, ["gender"], templates=("a portrait of {}", "{words}"), association=True)
    assert before.cosines["gender"].shape == (4, 10)
    assert (np.abs(before.cosines["gender"]) <= 1 + 1e-9).all()
    same = measure(tiny_sd, words, ["gender"], templates=("a portrait of {}", "{words}"), association=True,
                   fair_map=FairMap(torch.eye(32) * 2))  # fmt: skip
    np.testing.assert_allclose(same.cosines["gender"], before.cosines["gender"], atol=1e-5)  # length is no direction
    assert same.mapped
    assert not measure(tiny_sd, words, ["gender"]).cosines


def test_the_report_shows_it(leaning: LanguageBias, tmp_path: Path) -> None:
    audit = by_hand({"raw": {"nurse": "ffm", "carpenter": "mmf"}})
    page = report(audit, tmp_path / "a.html", bias=leaning, bias_after=leaning).read_text()
    assert "Association tests (WEAT" in page
    assert "3 occupations drawn mostly as women against 2 others" in page
    plain = report(audit, tmp_path / "b.html", bias=replace(leaning, cosines={})).read_text()
    assert "WEAT" not in plain
