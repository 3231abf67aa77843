from __future__ import annotations

import itertools
import json
import random
from collections import Counter
from typing import Any

import pytest

from fairmapping.quota import Quota, resolve_quota
from fairmapping.targets import resolve_targets

GENDER = {"gender": ("female", "male")}
RACE = {"race": ("asian", "black", "hispanic", "white")}
BOTH = {**GENDER, **RACE}
FEMALE, MALE = (("gender", "female"),), (("gender", "male"),)


def deviations(quota: Quota, key: str, n: int) -> tuple[float, float]:
    """How far cells and groups ever were from their shares in the first n draws, in images."""
    cells, shares = quota.targets.cells(""), quota.targets.of("")
    counts: Counter[Any] = Counter()
    of_cells = of_groups = 0.0
    for i, cell in enumerate(quota.sequence(key, "", n), 1):
        counts.update([cell, *cell])
        of_cells = max(of_cells, *(abs(counts[cell] - i * share) for cell, share in cells.items()))
        of_groups = max(
            of_groups, *(abs(counts[name, g] - i * share) for name in shares for g, share in shares[name].items())
        )
    return of_cells, of_groups


def random_targets(attributes: dict[str, tuple[str, ...]], rng: random.Random) -> dict[str, dict[str, float]]:
    found = {}
    for name, groups in attributes.items():
        weights = [rng.expovariate(1) for _ in groups]
        found[name] = {group: weight / sum(weights) for group, weight in zip(groups, weights, strict=True)}
    return found


@pytest.mark.parametrize(("attributes", "bound"), [(GENDER, 1.0), (RACE, 2.0), (BOTH, 2.5), ({**RACE, **GENDER}, 2.5)])
def test_no_prefix_is_far_off(attributes: dict[str, tuple[str, ...]], bound: float) -> None:
    rng = random.Random(0)
    for key in range(15):
        quota = Quota(random_targets(attributes, rng), attributes=attributes)
        assert max(deviations(quota, str(key), 80)) < bound


@pytest.mark.parametrize("attributes", [GENDER, RACE, BOTH])
def test_even_targets_are_never_one_off(attributes: dict[str, tuple[str, ...]]) -> None:
    for key in range(15):
        assert max(deviations(Quota(attributes=attributes), str(key), 40)) < 1
    blocks = [Quota(attributes=BOTH).sequence("a", "", 40)[i : i + 8] for i in range(0, 40, 8)]
    assert all(len(set(block)) == 8 for block in blocks)
    assert len({tuple(block) for block in blocks}) > 1  # every round in another order
    for block in blocks:
        assert Counter(dict(cell)["gender"] for cell in block[:4]) == {"female": 2, "male": 2}


def test_counts_are_exact_where_the_shares_make_whole_numbers() -> None:
    quota = Quota({"gender": {"female": 0.3}, "race": {"asian": 0.1, "black": 0.2, "hispanic": 0.3}}, attributes=BOTH)
    for key in "abcdefgh":
        for n in (100, 300):
            counts = Counter(quota.sequence(key, "", n))
            assert counts == {cell: round(n * share) for cell, share in quota.targets.cells("").items()}


@pytest.mark.parametrize("shares", [{"female": 0.9}, {"female": 0.02}, {"female": 0.5}])
def test_every_single_draw_has_the_shares_asked_for(shares: dict[str, float]) -> None:
    """A prompt that is drawn once must not always show the majority. (5 standard errors of 1500 keys.)"""
    quota, n = Quota({"gender": shares}, attributes=GENDER), 1500
    sequences = [quota.sequence(f"prompt {i}", "", 4) for i in range(n)]
    p = shares["female"]
    for i in range(4):
        found = sum(sequence[i] == FEMALE for sequence in sequences) / n
        assert abs(found - p) < 5 * (p * (1 - p) / n) ** 0.5


def test_every_single_draw_of_a_product_has_the_shares_asked_for() -> None:
    quota, n = (
        Quota({"gender": {"female": 0.3}, "race": {"white": 0.6, "black": 0.25, "asian": 0.1}}, attributes=BOTH),
        600,
    )
    sequences = [quota.sequence(f"prompt {i}", "", 2) for i in range(n)]
    for i, (cell, p) in itertools.product(range(2), quota.targets.cells("").items()):
        found = sum(sequence[i] == cell for sequence in sequences) / n
        assert abs(found - p) < 5 * (p * (1 - p) / n) ** 0.5


def test_a_sequence_is_a_function_of_seed_and_key() -> None:
    quota = Quota(attributes=BOTH, seed=3)
    found = quota.sequence("a portrait of a nurse", "nurse", 12)
    quota.draw(["something else"] * 5)
    assert quota.sequence("a portrait of a nurse", "nurse", 12) == found
    assert quota.sequence("a portrait of a nurse", "nurse", 5) == found[:5]
    assert Quota(attributes=BOTH, seed=4).sequence("a portrait of a nurse", "nurse", 12) != found
    assert quota.sequence("a portrait of a doctor", "doctor", 12) != found


def test_drawing_goes_along_the_sequence_from_call_to_call() -> None:
    quota = Quota(attributes=BOTH)
    drawn = [cell for _ in range(3) for cell in quota.draw(["a nurse", "a nurse", "a clown"])]
    assert quota.last == drawn[-3:]
    assert [cell for i, cell in enumerate(drawn) if i % 3 != 2] == quota.sequence("a nurse", "", 6)
    assert drawn[2::3] == quota.sequence("a clown", "", 3)
    assert sum(quota.counts["a nurse"].values()) == 6 and quota.counts["a clown"] == Counter(drawn[2::3])


def test_keywords_are_read_off_the_prompt_or_given() -> None:
    quota = Quota({"nurse": {"gender": {"female": 1}}, "gender": {"male": 1}}, attributes=GENDER)
    assert quota.draw(["two nurses", "a clown"]) == [FEMALE, MALE]
    assert quota.draw(["someone", "someone else"], ["Nurse", ""]) == [FEMALE, MALE]
    with pytest.raises(ValueError, match="2 prompts need as many keywords, got 1"):
        quota.draw(["a", "b"], ["nurse"])
    with pytest.raises(TypeError, match="list of str"):
        quota.draw("a nurse")
    assert quota.draw([]) == []


def test_a_batch_is_balanced_as_a_whole() -> None:
    quota = Quota(attributes=BOTH, scope="batch")
    prompts = [f"prompt {i}" for i in range(8)]
    calls = [quota.draw(prompts) for _ in range(4)]
    assert all(len(set(cells)) == 8 for cells in calls) and len({tuple(cells) for cells in calls}) == 4
    again = Quota(attributes=BOTH, scope="batch")
    assert [again.draw(prompts) for _ in range(4)] == calls
    assert list(quota.counts) == ["batch 3"]


@pytest.mark.parametrize("scope", ["batch", "client"])
def test_prompts_that_alternate_are_not_parted_by_group(scope: str) -> None:
    quota = Quota(attributes=GENDER, scope=scope)
    quota.client = "user-17"
    cells = quota.draw(["a nurse", "a plumber"] * 40)
    assert Counter(cells) == {FEMALE: 40, MALE: 40}
    assert 10 < cells[::2].count(FEMALE) < 30


def test_a_client_is_balanced_across_calls() -> None:
    quota = Quota({"gender": {"female": 0.25}}, attributes=GENDER, scope="client")
    with pytest.raises(ValueError, match="needs a client"):
        quota.draw(["a nurse"])
    found: dict[str, Counter[Any]] = {"a": Counter(), "b": Counter()}
    for i in range(24):
        quota.client = "ab"[i % 2]
        found[quota.client].update(quota.draw([f"prompt {i}"]))
    assert found["a"] == found["b"] == {FEMALE: 3, MALE: 9}
    assert quota.counts == found


@pytest.mark.parametrize("scope", ["batch", "client"])
def test_changing_targets_are_met_in_sum_and_by_each_keyword(scope: str) -> None:
    quota = Quota({"nurse": {"gender": {"female": 0.8}}, "plumber": {"gender": {"female": 0.1}}},
                  attributes=GENDER, scope=scope)  # fmt: skip
    quota.client = "a"
    women: Counter[str] = Counter()
    for _ in range(100):
        cells = quota.draw(["a nurse", "a plumber"])
        women.update({word: int(cell == FEMALE) for word, cell in zip(("nurse", "plumber"), cells, strict=True)})
    assert abs(women["nurse"] - 80) < 20 and abs(women["plumber"] - 10) < 15
    assert scope == "batch" or abs(women.total() - 90) <= 1


@pytest.mark.parametrize("scope", ["prompt", "batch", "client"])
@pytest.mark.parametrize("targets", ["even", "labour"])
def test_a_service_goes_on_after_a_restart(scope: str, targets: str) -> None:
    prompts = ["a photo of a nurse", "a clown", "a photo of a plumber"]
    quota = Quota(targets, attributes=BOTH, scope=scope)
    quota.client = "a"
    for _ in range(5):
        quota.draw(prompts)
    other = Quota(targets, attributes=BOTH, scope=scope).restore(json.loads(json.dumps(quota.state())))
    other.client = "a"
    assert other.counts == quota.counts
    assert [other.draw(prompts) for _ in range(20)] == [quota.draw(prompts) for _ in range(20)]
    with pytest.raises(ValueError, match="other seed: 0, not 1"):
        Quota(targets, attributes=BOTH, scope=scope, seed=1).restore(quota.state())


def test_binding() -> None:
    quota = Quota({"gender": {"female": 0.4}})
    with pytest.raises(ValueError, match="not bound"):
        quota.draw(["a nurse"])
    assert quota.bind(BOTH) is quota and quota.bind({name: list(groups) for name, groups in BOTH.items()}) is quota
    assert quota.targets == resolve_targets({"gender": {"female": 0.4}}, BOTH)
    assert quota.settings() == {"targets": quota.targets.to_dict(), "scope": "prompt", "seed": 0}
    with pytest.raises(ValueError, match="make another Quota"):
        quota.bind(GENDER)


def test_refusals_and_specs() -> None:
    with pytest.raises(ValueError, match="unknown scope 'user'; use one of prompt, batch, client"):
        Quota(scope="user")
    for seed in (True, 0.5, "1"):
        with pytest.raises(TypeError, match="seed must be an int"):
            Quota(seed=seed)  # type: ignore[arg-type]
    quota = Quota("labour", seed=5)
    assert resolve_quota(quota, seed=1) is quota
    made = resolve_quota({"gender": {"female": 0.4}}, seed=7)
    assert (made.seed, made.scope) == (7, "prompt") and made.bind(GENDER).targets.of("")["gender"]["female"] == 0.4
    assert repr(quota) == "Quota('labour', scope='prompt', seed=5)"
