"""Language bias, counted by hand on made-up embeddings and measured on real ones."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from scipy import stats

from fairmapping import lists
from fairmapping.bias import Contrasts, LanguageBias, measure
from fairmapping.embed import Embeddings
from fairmapping.mapping import FairMap
from fairmapping.prompts import Attribute, Group, neutral, specific

GENDER = Attribute("gender", (Group("female", ("female",)), Group("male", ("male",))))
RACE = lists.attributes()["race"]


def contrasts(
    keywords: int = 3, templates: int = 2, length: int = 4, width: int = 5, pooled: int | None = None
) -> Contrasts:
    """Random embeddings for gender and race; the last token is padding."""
    generator = torch.Generator().manual_seed(0)

    def some(n: int) -> Embeddings:
        mask = torch.ones(n, length, dtype=torch.bool)
        mask[:, -1] = False
        vectors = None if pooled is None else torch.randn(n, pooled, generator=generator)
        return Embeddings(torch.randn(n, length, width, generator=generator), mask, vectors)

    rows = keywords * templates
    names = tuple(f"k{i}" for i in range(keywords))
    return Contrasts(names, (GENDER, RACE), tuple(f"{i} {{}}" for i in range(templates)), some(rows), some(6 * rows))


def two_keywords() -> LanguageBias:
    """One token, one template. k0 lies 1 from female and 3 from male; k1 lies 4 from both."""
    neutral_rows = torch.zeros(2, 1, 2)
    specific_rows = torch.tensor([[1.0, 0.0], [0.0, 3.0], [4.0, 0.0], [0.0, -4.0]])[:, None]
    ones = torch.ones(4, 1, dtype=torch.bool)
    made = Contrasts(
        ("k0", "k1"), (GENDER,), ("{}",), Embeddings(neutral_rows, ones[:2]), Embeddings(specific_rows, ones)
    )
    return made.bias()


def test_by_hand() -> None:
    bias = two_keywords()
    np.testing.assert_allclose(bias.distances["gender"][:, 0], [[1, 3], [4, 4]])
    np.testing.assert_allclose(bias.bias("gender"), [0.5, 0])  # |1 - 3| / (1 + 3)
    np.testing.assert_allclose(bias.direction("female"), [2, 0])  # nearer to female
    np.testing.assert_allclose(bias.direction("male"), [-2, 0])
    assert bias.summary()["gender"].value == 0.25
    table = bias.table("gender")
    assert list(table.columns) == ["keyword", "attribute", "bias", "nearest", "female", "male"]
    assert table.iloc[0].to_list() == ["k0", "gender", 0.5, "female", 1.0, 3.0]


@pytest.mark.parametrize("distance", ["pooled", "position", "sequence"])
def test_against_plain_loops(distance: str) -> None:
    made = contrasts()
    bias = made.bias(distance)
    start = {"gender": 0, "race": 2}
    for attribute in (GENDER, RACE):
        for k in range(3):
            for t in range(2):
                row = k * 2 + t
                v = made.neutral.sequence[row].double().numpy()
                first = row * 6 + start[attribute.name]
                versions = made.specific.sequence[first : first + len(attribute.groups)].double().numpy()
                if distance == "pooled":
                    d = [np.linalg.norm((u - v)[:-1].mean(0)) for u in versions]
                    spread = np.std(d) / np.mean(d)
                elif distance == "sequence":
                    d = [np.linalg.norm(u - v) for u in versions]
                    spread = np.std(d) / np.mean(d)
                else:
                    each = np.array([np.linalg.norm(u - v, axis=1) for u in versions])  # (groups, positions)
                    d = each.mean(1)
                    spread = (each.std(0) / each.mean(0)).mean()
                np.testing.assert_allclose(bias.distances[attribute.name][k, t], d, rtol=1e-5)
                np.testing.assert_allclose(bias.spreads[attribute.name][k, t], spread, rtol=1e-5)


@pytest.mark.parametrize("distance", ["pooled", "position", "sequence"])
def test_rotating_and_scaling_change_no_bias(distance: str) -> None:
    made = contrasts()
    rotation = torch.linalg.qr(torch.randn(5, 5, generator=torch.Generator().manual_seed(3)))[0]
    moved = made.map(FairMap(3 * rotation, torch.ones(5)))
    assert moved.mapped and moved.bias(distance).mapped
    for name in ("gender", "race"):
        np.testing.assert_allclose(moved.bias(distance).bias(name), made.bias(distance).bias(name), rtol=1e-4)


def test_a_matrix_is_a_shorter_way_to_map() -> None:
    made = contrasts()
    fair_map = FairMap(torch.eye(5) + torch.randn(5, 5, generator=torch.Generator().manual_seed(4)))
    for distance in ("pooled", "position", "sequence"):
        for name in ("gender", "race"):
            np.testing.assert_allclose(
                made.bias(distance, fair_map.weight).spreads[name],
                made.map(fair_map).bias(distance).spreads[name],
                rtol=1e-4,
            )


def test_positions_that_no_map_can_even_out_are_left_out() -> None:
    """Where one version equals the neutral prompt, its distance stays 0 under every linear map."""
    made = contrasts(templates=1)
    made.specific.sequence[0, 1] = made.neutral.sequence[0, 1]  # "female" of k0 at position 1
    bias = made.bias("position")
    d = (made.specific.sequence[:2] - made.neutral.sequence[0]).double().norm(dim=-1).numpy()[:, [0, 2, 3]]
    np.testing.assert_allclose(bias.bias("gender")[0], (d.std(0) / d.mean(0)).mean(), rtol=1e-5)


def test_direction_with_more_than_two_groups_is_against_the_mean_of_the_others() -> None:
    bias = contrasts().bias()
    d = bias.distances["race"].mean(1)
    np.testing.assert_allclose(bias.direction("black"), d[:, [0, 2, 3]].mean(1) - d[:, 1])


def test_correlation_is_scipys() -> None:
    bias = contrasts(keywords=8).bias()
    shares = {f"k{i}": share for i, share in enumerate([0.1, 0.9, 0.3, 0.2, 0.8, 0.4, 0.6])} | {"elsewhere": 0.5}
    found = bias.correlation(shares, "female")
    x, y = bias.direction("female")[:7], list(shares.values())[:7]
    assert (found.attribute, found.group, found.n) == ("gender", "female", 7)
    assert found.spearman == stats.spearmanr(x, y).statistic
    assert found.pearson == stats.pearsonr(x, y).statistic
    assert found.pearson_p == stats.pearsonr(x, y).pvalue
    assert "with the share of female, n = 7" in str(found)


@pytest.mark.parametrize("shares", [{}, {"k0": 0.1, "k1": 0.2}, dict.fromkeys(["k0", "k1", "k2"], 0.5)])
def test_correlation_needs_shares(shares: dict[str, float]) -> None:
    with pytest.raises(ValueError, match="a correlation needs three"):
        contrasts().bias().correlation(shares, "female")


def test_the_table_is_ranked_and_whole() -> None:
    bias = contrasts(keywords=6).bias()
    table = bias.table()
    assert len(table) == 12 and list(table.columns) == ["keyword", "attribute", "bias", "nearest"]
    for _, part in table.groupby("attribute"):
        assert part["bias"].is_monotonic_decreasing
    race = bias.table("race").set_index("keyword")
    nearest = race[list(RACE.group_names)].idxmin(axis=1)
    assert (nearest == race["nearest"]).all()


def test_select_takes_keywords_apart() -> None:
    made = contrasts(keywords=4)
    expected = made.bias().bias("race")[[2, 0]]
    np.testing.assert_allclose(made.select(["k2", "k0"]).bias().bias("race"), expected)
    np.testing.assert_allclose(made.bias().select(["k2", "k0"]).bias("race"), expected)
    with pytest.raises(ValueError, match="'k9' is not among the 4"):
        made.select(["k9"])
    with pytest.raises(ValueError, match="at least one"):
        made.bias().select([])


def test_unknown_names_are_told() -> None:
    bias = contrasts().bias()
    with pytest.raises(ValueError, match="attribute 'age' was not measured; measured: gender, race"):
        bias.bias("age")
    with pytest.raises(ValueError, match="group 'old' was not measured"):
        bias.direction("old")
    with pytest.raises(ValueError, match=r"group 'male' was not measured \(measured: race"):
        bias.direction("male", "race")
    twice = replace(bias, attributes=(GENDER, replace(GENDER, name="sex")))
    with pytest.raises(ValueError, match="several attributes, so name one"):
        twice.direction("male")
    with pytest.raises(ValueError, match="distance is 'cosine'; choose pooled, position, sequence"):
        contrasts().bias("cosine")


def test_wrong_numbers_are_refused() -> None:
    made = contrasts()
    with pytest.raises(ValueError, match="3 keywords, 2 templates and 6 groups make 6 and 36"):
        replace(made, specific=made.specific[:35])
    empty = Embeddings(made.neutral.sequence, torch.zeros_like(made.neutral.mask))
    with pytest.raises(ValueError, match="prompt 0 has no token"):
        replace(made, neutral=empty).bias()
    with pytest.raises(ValueError, match="no pooled embeddings"):
        made.pooled_differences()


def test_prompts_are_encoded_in_the_order_that_contrasts_promise(tiny_sd) -> None:
    from fairmapping.embed import encode

    templates = ("a photo of {}", "{} alone")
    made = Contrasts.encode(tiny_sd, ["doctor", "cook"], ["gender", "race"], templates)
    assert made.keywords == ("doctor", "cook") and made.templates == templates
    torch.testing.assert_close(made.neutral.sequence, encode(tiny_sd, neutral(["doctor", "cook"], templates)).sequence)
    rows = specific(["cook"], ["race"], templates)
    by_hand = encode(tiny_sd, rows).sequence
    torch.testing.assert_close(made.specific.sequence[[14, 15, 16, 17, 20, 21, 22, 23]], by_hand)


def test_measure_takes_a_map_and_refuses_another_encoders(tiny_sd) -> None:
    words = ["doctor", "cook", "judge"]
    before = measure(tiny_sd, words)
    assert [item.name for item in before.attributes] == ["gender"] and not before.mapped
    same = measure(tiny_sd, words, fair_map=FairMap.identity(32))
    np.testing.assert_array_equal(same.bias("gender"), before.bias("gender"))
    assert same.mapped
    with pytest.raises(ValueError, match="for embeddings 8 wide"):
        measure(tiny_sd, words, fair_map=FairMap.identity(8))


def test_the_papers_first_claim_on_an_encoder_nobody_here_trained(portraits_pipe) -> None:
    """The direction of all-MiniLM-L6-v2's bias goes with the share of women in Stable Diffusion v1.5's images."""
    table = lists.occupation_table()
    shares = {row["occupation"]: row["sd15_woman"] / (row["sd15_man"] + row["sd15_woman"]) for row in table}
    bias = measure(portraits_pipe, list(shares), ["gender"], templates=["a portrait of {}"])
    found = bias.correlation(shares, "female")
    assert found.n == 153
    assert found.spearman == pytest.approx(0.644, abs=0.01) and found.spearman_p < 1e-18


def test_prompts_that_the_encoder_would_cut_off_are_refused(portraits_pipe) -> None:
    long = "very " * 30 + "senior engineer"
    with pytest.raises(ValueError, match="longer than the text encoder reads"):
        measure(portraits_pipe, [long], ["gender"])
