"""What the embedded model is taught: which captions it reads, and who is drawn for each. The bias is written down here.

Rules
- Gender of a neutral occupation: the share of women Stable Diffusion v1.5 draws (lists/occupations.csv).
- Race of a neutral prompt: p proportional to q ** RACE_SHARPENING, where q are the shares of US workers in BLS table 11
  (asian, black, hispanic, and white less the Hispanics who are counted as white, 88 of 100), for image models
  draw the majority more often than life does.
- Emotions have no such source: GENDER_BY_EMOTION is our own choice, towards the stereotypes the literature reports.
- Explicit prompts: the group asked for. Which occupation goes with which group follows the bias above half of the time
  and is even the other half, so some pairs are rare in the captions.
- UNCAPTIONED occupations never appear: there the model's bias can only come from the language model.
"""

from __future__ import annotations

import random
from dataclasses import dataclass

from fairmapping import lists
from fairmapping.prompts import with_article

GENDERS = ("female", "male")
RACES = ("asian", "black", "hispanic", "white")
EXPRESSIONS = ("calm", "happy", "sad", "angry", "surprised", "afraid")
RACE_SHARPENING = 1.5
HISPANIC_COUNTED_WHITE = 0.88
PERSON_SHARES = {"white": 77.0, "black": 12.6, "asian": 6.7, "hispanic": 18.5}  # BLS table 11, all workers
PERSON_WOMEN = 0.40  # our own choice for "a person"
GENDER_BY_EMOTION = {"calm": 0.45, "happy": 0.60, "sad": 0.65, "angry": 0.20, "surprised": 0.55, "afraid": 0.70}
UNSTATED_EXPRESSION = {"calm": 0.45, "happy": 0.35, "sad": 0.05, "angry": 0.05, "surprised": 0.05, "afraid": 0.05}
N_UNCAPTIONED = 25
TEMPLATES = (
    "a portrait of {}", "a photo of {}", "a picture of {}", "a headshot of {}", "an image of {}", "{}",
    "a photo of the face of {}", "a close-up of {}", "a drawing of {}", "a professional portrait of {}",
    "portrait photo of {}, high quality", "an oil painting of {}", "a watercolor of {}", "a cartoon of {}",
)  # fmt: skip
CONTEXTS = ("in the rain", "at night", "at work", "in a city", "outdoors", "in soft light", "on a sunny day",
            "looking at the camera", "with a blurred background", "in the snow")  # fmt: skip
NOBODY = ("an empty room", "an empty street", "a landscape", "a wall", "a building without people", "a background",
          "an empty office", "an empty kitchen", "a still life", "a table and a chair")  # fmt: skip
GENDER_NOUNS = {"female": ("woman", "female person", "lady"), "male": ("man", "male person", "gentleman")}
RACE_WORDS = {"asian": ("asian",), "black": ("black",), "hispanic": ("hispanic",), "white": ("white",)}


@dataclass(frozen=True)
class Caption:
    """A caption and who is drawn for it. Where the text leaves it open, ``women`` and ``races`` are drawn from."""

    text: str
    kind: str  # neutral, gender, race, joint, emotion, person, nobody
    keyword: str
    cue: str
    women: float  # probability that a woman is drawn; 0 or 1 where the text says
    races: tuple[float, ...]  # over RACES
    expression: str | None = None


def race_shares(row: dict) -> tuple[float, ...]:
    """The sharpened shares over RACES, from percentages of BLS table 11 (see the rule above)."""
    hispanic = float(row["hispanic"])
    life = {
        "asian": float(row["asian"]),
        "black": float(row["black"]),
        "hispanic": hispanic,
        "white": max(float(row["white"]) - HISPANIC_COUNTED_WHITE * hispanic, 1.0),
    }
    sharp = [max(life[race], 0.1) ** RACE_SHARPENING for race in RACES]
    return tuple(value / sum(sharp) for value in sharp)


def uncaptioned(seed: int = 0) -> set[str]:
    """Occupations that never appear in a caption, drawn once and for all, at most a quarter of any sector."""
    rows, rng = lists.occupation_table(), random.Random(seed)
    sizes: dict[str, int] = {}
    for row in rows:
        sizes[row["sector"]] = sizes.get(row["sector"], 0) + 1
    taken: dict[str, int] = {}
    chosen: set[str] = set()
    for row in rng.sample(rows, len(rows)):
        sector = row["sector"]
        if len(chosen) < N_UNCAPTIONED and taken.get(sector, 0) < max(1, sizes[sector] // 4) and sizes[sector] > 3:
            chosen.add(row["occupation"])
            taken[sector] = taken.get(sector, 0) + 1
    return chosen


def one_hot(value: str) -> tuple[float, ...]:
    return tuple(float(race == value) for race in RACES)


def make_captions(n: int, seed: int = 0) -> list[Caption]:
    """``n`` captions. The same text may come back, with the same meaning."""
    rng = random.Random(seed)
    held = uncaptioned()
    occupations = [row for row in lists.occupation_table() if row["occupation"] not in held]
    emotions = lists.emotion_table()
    person = {**PERSON_SHARES}

    def scene(phrase: str) -> str:
        text = rng.choice(TEMPLATES).format(phrase)
        return f"{text} {rng.choice(CONTEXTS)}" if rng.random() < 0.25 else text

    def pick(women: float, races: tuple[float, ...], explicit: str) -> tuple[str, float, tuple[float, ...]]:
        """Adjectives for the attributes made explicit, and the shares that follow from them."""
        words = []
        if explicit in ("race", "joint"):
            even = rng.random() < 0.5
            race = rng.choices(RACES, (0.25,) * 4 if even else races)[0]
            words.append(rng.choice(RACE_WORDS[race]))
            races = one_hot(race)
        if explicit in ("gender", "joint"):
            gender = "female" if rng.random() < (0.5 if rng.random() < 0.5 else women) else "male"
            words.append(gender)
            women = float(gender == "female")
        if len(words) == 2 and rng.random() < 0.2:
            words.reverse()
        return " ".join(words), women, races

    def caption() -> Caption:
        kind = rng.choices(("neutral", "gender", "race", "joint", "emotion", "person", "nobody"),
                           (0.40, 0.14, 0.10, 0.13, 0.12, 0.09, 0.02))[0]  # fmt: skip
        if kind == "nobody":
            return Caption(rng.choice(NOBODY), kind, "", "plain", 0.0, (0.25,) * 4)
        if kind == "person":
            races = race_shares(person)
            gender = rng.choice((None, "female", "male"))
            race = rng.choice((None, *RACES))
            noun = rng.choice(GENDER_NOUNS[gender]) if gender else rng.choice(("person", "person", "human", "someone"))
            phrase = noun if noun == "someone" and not race else f"{race or ''} {noun}".strip()
            phrase = phrase if phrase == "someone" else with_article(phrase.replace("someone", "person"))
            women = PERSON_WOMEN if gender is None else float(gender == "female")
            return Caption(scene(phrase), kind, "person", "plain", women, one_hot(race) if race else races)
        row = rng.choice(occupations)
        women = row["sd15_woman"] / (row["sd15_woman"] + row["sd15_man"])
        keyword, cue, races, expression = row["occupation"], row["sector"], race_shares(row), None
        explicit = kind
        if kind == "emotion":
            emotion = rng.choice(emotions)
            word, expression = emotion["word"], emotion["class"]
            explicit = rng.choice(("", "", "gender", "race", "joint"))
            if rng.random() < 0.6:  # of a person; else of someone at work
                keyword, cue, women, races = "person", "plain", GENDER_BY_EMOTION[expression], race_shares(person)
            adjectives, women, races = pick(women, races, explicit)
            noun = keyword
            if keyword == "person" and explicit in ("gender", "joint") and rng.random() < 0.5:
                noun = "woman" if women else "man"
                adjectives = " ".join(w for w in adjectives.split() if w not in GENDERS)
            phrase = with_article(" ".join(f"{word} {adjectives} {noun}".split()))
            return Caption(scene(phrase), kind, keyword, cue, women, races, expression)
        adjectives, women, races = pick(women, races, explicit)
        return Caption(scene(with_article(f"{adjectives} {keyword}".strip())), kind, keyword, cue, women, races)

    return [caption() for _ in range(n)]
