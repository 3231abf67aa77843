"""Labelled prompts as they might have been written otherwise, with the labels they would have then, or jumbled."""

from __future__ import annotations

import random
import re
from collections.abc import Sequence
from typing import Any

from fairmapping.detect import Detector, Lexicon

RELATIVES = ("wife", "husband", "daughter", "son", "mum", "dad", "grandson", "niece", "nephew", "sister", "brother")
ADDRESSED = ("bro", "sir", "dude", "guys", "mate", "man", "boss", "buddy")
NOT_RENAMED = {"gendered job", "language", "culture", "name"}


class Variations:
    """Prompts as they might have been written otherwise, with the labels that they would have then."""

    def __init__(self, rows: Sequence[dict[str, str]], lexicon: Lexicon, table: dict[str, Any], seed: int) -> None:
        self.lexicon, self.random, self.table = lexicon, random.Random(seed), table
        detector = Detector(lexicon=lexicon)
        quiet = [r["prompt"] for r in rows if r["category"] == "nobody" and not r["person"] and len(r["prompt"]) < 200]
        self.scenes = [prompt for prompt in quiet if not detector.decide(prompt).mentions]
        self.prompts = [row["prompt"] for row in rows if row["category"] not in ("language", "long")]
        self.kinds: dict[str, list[str]] = {}
        for word in sorted({word.lower() for prompt in self.prompts for word in re.findall(r"[a-zA-Z]{3,}", prompt)}):
            self.kinds.setdefault(lexicon.mostly(word), []).append(word)
        self.nothings = things_and_animals(lexicon)
        about = set().union(*(lexicon.classes[name] for name in ("work_with", "about_beings", "animal_care")))
        self.plain_titles = [title for title in lexicon.titles if title.split()[-1] not in about]
        self.owned = sorted(lexicon.classes["things_of"])
        settles = table["settles"]
        self.words = {
            "gender": [word for group in settles["gender"].values() for word in group],
            "race": [word for group in settles["race"].values() for word in group],
        }

    def of(self, row: dict[str, str]) -> dict[str, str]:
        found = dict(row)
        one = row["person"] and row["prompt"].count(row["person"]) == 1
        if one and self.random.random() < 0.65:
            open_ = row["gender"] == row["race"] == "apply" and row["category"] not in ("several", "long", "negation")
            kind = self.random.random()
            if not open_ or kind < 0.45:
                self._rename(found)
            elif kind < 0.7:
                self._make_nobody(found)
            else:
                self._settle(found)
        kind = self.random.random()
        if kind < 0.12:
            self._misspell(found)
        elif kind < 0.22:
            found |= {name: found[name].lower() for name in ("prompt", "person")}
        elif kind < 0.24:
            found |= {name: found[name].upper() for name in ("prompt", "person")}
        elif kind < 0.36 and row["category"] != "language":
            scene, between = self.pick(self.scenes), self.pick([". ", ", ", "\n"])
            ordered = [found["prompt"].rstrip("."), scene] if self.random.random() < 0.5 else [scene, found["prompt"]]
            found["prompt"] = between.join(ordered)
        elif kind < 0.5 and row["category"] not in ("language", "nobody", "odd"):
            found["prompt"] = self._with_a_word_beside(found["prompt"])
        return found

    def jumbled(self, row: dict[str, str]) -> str:
        """A prompt that nobody wrote and whose labels nobody knows: words exchanged for others of their kind, a few of
        its words, or a part of it and a part of another."""
        words, kind = row["prompt"].split(" "), self.random.random()
        if kind < 0.5 or len(words) < 4:
            for i in self.random.sample(range(len(words)), min(len(words), self.random.randint(1, 3))):
                bare = words[i].strip(',.;:!?()[]"').lower()
                others = self.kinds.get(self.lexicon.mostly(bare) or "n", []) if len(bare) > 2 else []
                if others:
                    words[i] = words[i].lower().replace(bare, self.pick(others))
        elif kind < 0.7:
            start = self.random.randrange(len(words) - 2)
            words = words[start : start + self.random.randint(3, 14)]
        else:
            other = self.pick(self.prompts).split(" ")
            words = words[: self.random.randint(1, len(words))] + other[self.random.randrange(len(other)) :]
        return " ".join(words)

    def pick(self, choices: Sequence[str]) -> str:
        return self.random.choice(choices)

    def _rename(self, row: dict[str, str]) -> None:
        old = row["person"]
        if row["category"] in NOT_RENAMED or not any(e.kind == "titles" for e in self.lexicon.entries(old.lower())):
            return
        new = self.pick(self.lexicon.titles)
        new += "s" if old.endswith("s") and not old.endswith("ss") and not new.endswith("s") else ""
        row |= {"prompt": row["prompt"].replace(old, new), "person": new}

    def _make_nobody(self, row: dict[str, str]) -> None:
        """The person becomes an animal, a thing of theirs, or a word on a sign."""
        title, nothing, thing = (
            self.pick(self.plain_titles),
            self.pick(self.nothings),
            self.pick(self.table["thing_heads"]),
        )
        new = self.pick(
            [
                nothing, nothing, f"{nothing} {title}", f"{nothing} {title}", f"{nothing} {title}",
                f"{nothing} dressed as a {title}", f"{nothing} working as a {title}", f"{nothing} {title} mascot",
                f"{title} {thing}", f"{title} {thing}", f"{title}'s {thing}", f"{title}s' {thing}",
                f"empty {title}'s {thing}", f"sign that says {title}", f"badge with the word {title} on it",
                f"mug reading World's Best {title.title()}", f"job ad for a {title}, text only,", f"robot {title}",
                f"{self.pick(self.table['fantasy'])} {title}", f"{self.pick(self.table['things'])}",
                f"{thing} of a {title}",
                f"{self.pick(self.owned)} of a {title}",
                f"{thing} of a {title}", f"{self.pick(self.owned)} of a {title}",
                f"child dressed as a {title}", f"kids playing {title}", f"kid in a {title} costume",
            ]
        )  # fmt: skip
        row |= {"prompt": row["prompt"].replace(row["person"], new), "gender": "leave", "race": "leave", "person": ""}

    def _settle(self, row: dict[str, str]) -> None:
        """Words that settle an attribute are put to the person."""
        old, kind = row["person"], self.random.random()
        name = self.pick(self.table["names"]).title()
        if kind < 0.3:
            word = self.pick(self.words["gender"])
            attribute, new = (
                "gender",
                self.pick([f"{word} {old}", f"{word} {old}", f"{old}, {word},", f"{old} ({word})"]),
            )
        elif kind < 0.55:
            word = self.pick(self.words["race"])
            attribute, new = (
                "race",
                self.pick([f"{word} {old}", f"{word} {old}", f"{old}, {word},", f"{old}, not {word},"]),
            )
        elif kind < 0.65:
            place = self.pick(self.table["places"]).title()
            attribute, new = "race", self.pick([f"{old} in {place}", f"{place} {old}", f"{old} from {place}"])
        elif kind < 0.75:
            period = self.pick(self.table["periods"])
            attribute, new = "", self.pick([f"{period} {old}", f"{old} in {period}", f"{old}, {period},"])
        else:
            attribute, new = (
                "",
                self.pick(
                    [
                        f"{name} the {old}",
                        f"{old} named {name}",
                        f"{old} called {name}",
                        f"{name}, a {old},",
                        f"{name}, {old},",
                    ]
                ),
            )
        row["prompt"] = row["prompt"].replace(old, new)
        row |= {attribute: "leave"} if attribute else {"gender": "leave", "race": "leave"}

    def _with_a_word_beside(self, prompt: str) -> str:
        """What settles nothing is added: who is credited, who asked for it, a brand."""
        artist, relative = self.pick(self.table["artists"]).title(), self.pick(RELATIVES)
        return self.pick(
            [
                f"{prompt}, by {artist}", f"{prompt}, in the style of {artist}", f"{prompt}, like {artist}",
                f"{prompt}, {artist}", f"{artist} style, {prompt}", f"{prompt}, for my {relative}",
                f"for my {relative}'s birthday: {prompt}", f"my {relative} asked for this: {prompt}",
                f"{prompt}, {self.pick(self.table['things'])}", f"{prompt}, beside a {self.pick(self.nothings)}",
                f"{prompt} {self.pick(ADDRESSED)}", f"{prompt} please {self.pick(ADDRESSED)}",
                f"{self.pick(ADDRESSED)}, draw me this: {prompt}",
            ]
        )  # fmt: skip

    def _misspell(self, row: dict[str, str]) -> None:
        words = row["prompt"].split(" ")
        long = [i for i, word in enumerate(words) if word.isalpha() and len(word) > 4]
        if not long:
            return
        i = self.random.choice(long)
        word, at, kind = words[i], self.random.randrange(1, len(words[i]) - 1), self.random.randrange(4)
        wrong = {
            0: word[:at] + word[at + 1] + word[at] + word[at + 2 :],
            1: word[:at] + word[at + 1 :],
            2: word[:at] + word[at] + word[at:],
            3: word[:at] + self.random.choice("aeiourstlnm") + word[at + 1 :],
        }[kind]
        row["person"] = re.sub(rf"\b{word}\b", wrong, row["person"])
        words[i] = wrong
        row["prompt"] = " ".join(words)


def things_and_animals(lexicon: Lexicon) -> list[str]:
    """Nouns that are no person's: what a title is exchanged for to make nobody of somebody."""
    words = {*lexicon.english["n"]} - set(lexicon.titles)
    kinds = {word: {entry.kind for entry in lexicon.entries(word)} for word in words}
    return sorted(
        w for w, found in kinds.items() if found & {"beings", "thing_heads"} and not found & {"people", "heads"}
    )
