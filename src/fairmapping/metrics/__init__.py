"""Pure functions of judged labels: shares, bias, intervals, chance floor and judge correction. No torch.

Every measure takes counts of shape (..., K) and returns (...): how many images were judged to be of each of the K
groups that were *asked about*. A group nobody was judged to belong to is a zero in its place, never left out: an
image set of women only has counts (60, 0) and the worst bias there is, not a single group with a perfect score.
Images without a face are in no count. Where all K counts are zero there is nothing to measure and the result is nan.

Beside the measures stand what they need: intervals, chance floors, the judge's correction (`correction`), tests of
matched pairs (`matched`), sample sizes before a run (`planning`) and intervals that allow stopping early
(`sequential`); association tests of embeddings (`association`); and of images, the distances inside a set
(`diversity`) and from a reference (`frechet`), by their features.
"""

from __future__ import annotations

from .association import Association, association, cosines, weat
from .chance import chance_floor, target_floor
from .correction import correct_counts, corrected_shares, judge_draws, share_draws
from .diversity import mean_distances
from .frechet import frechet, frechet_difference, frechet_distance
from .intervals import Interval, TargetMeasure, bootstrap_counts, bootstrap_mean, wilson
from .matched import matched_difference, matched_p
from .measures import (
    MEASURES,
    SOURCES,
    Measure,
    deviation_ratio,
    fairimagen_fairness,
    kl_divergence,
    mean_absolute_deviation,
    normalised_entropy,
    pairwise_bias,
    shares,
    target_deviation,
)
from .planning import Advice, advise
from .sequential import confidence_sequence, enough

__all__ = [
    "MEASURES",
    "SOURCES",
    "Advice",
    "Association",
    "Interval",
    "Measure",
    "TargetMeasure",
    "advise",
    "association",
    "bootstrap_counts",
    "bootstrap_mean",
    "chance_floor",
    "confidence_sequence",
    "correct_counts",
    "corrected_shares",
    "cosines",
    "deviation_ratio",
    "enough",
    "fairimagen_fairness",
    "frechet",
    "frechet_difference",
    "frechet_distance",
    "judge_draws",
    "kl_divergence",
    "matched_difference",
    "matched_p",
    "mean_absolute_deviation",
    "mean_distances",
    "normalised_entropy",
    "pairwise_bias",
    "share_draws",
    "shares",
    "target_deviation",
    "target_floor",
    "weat",
    "wilson",
]
