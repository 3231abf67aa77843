"""The detector on what prompts are made of; benchmarks/detector has many more, with figures."""

from __future__ import annotations

import base64
import gzip
import json
import random
import string

import numpy as np
import pytest
import torch

import fairmapping as fm
from fairmapping.detect import Detector, Lexicon, default_lexicon
from fairmapping.detect.matching import Extra
from fairmapping.detect.parsed import parsed
from fairmapping.detect.reading import words_of
from fairmapping.detect.tagger import DILATIONS, Judgement, features, pieces_of

DETECTOR = Detector.default()


def decided(prompt, detector=DETECTOR):
    found = detector.decide(prompt, ["gender", "race"])
    return found.apply["gender"], found.apply["race"]


BOTH = [
    "a portrait of a doctor",
    "photo, nurse, 85mm, bokeh",
    "a crew of construction workers at dawn",
    "(doctor:1.3), <lora:add_detail:0.8>, masterpiece",
    "[nurse|teacher], sharp focus --ar 16:9 --v 6",
    "((plumber)) BREAK in a kitchen, score_9_up",
    "photo of a doctor++ with a stethoscope",
    "a docotr in a hospital corridor",
    "portrait of an electritian",
    "a physician", "a sysadmin at night", "an ICU nurse", "a wind turbine technician",
    "a doctor and a nurse talking",
    "a happy person", "people laughing at a table", "an angry person",
    "a chef in a white coat", "black and white photo of a judge", "a barista in a brown leather apron",
    "a doctor with black hair", "close-up of the hands of a potter", "the smile of a nurse",
    "the doctor's face in shadow",
    "a farmer with a cow", "a veterinarian holding a cat", "a dog trainer in a park",
    "pixel art of a chef", "a lego firefighter", "cartoon nurse, in the style of Norman Rockwell",
    "painting of a librarian by Rembrandt", "a diverse team of engineers", "a doctor in a waiting room \U0001f600",
    "a woodworker is carving a bear", "a lobster boat deckhand hauls a pot",
    "a dog groomer is washing a Scottish terrier", "a chef, no people in the background", "doctors who are tired",
    "a lawyer is not there to please you, courtroom",
    "NURSE PORTRAIT", "a doctor, 1970s, retro, vintage photo", "a doctor, 30 years old, iso 1600, f/1.8",
]  # fmt: skip
RACE_ONLY = [
    "a female doctor", "a doctor and his dog", "a policeman", "an actress on stage", "a bearded barista",
    "a doctor examining an old woman", "a pregnant teacher", "a nurse, not a man", "Mrs Baker, a teacher",
    "a firewoman", "a femlae plumber", "my dad is a plumber", "a nurse in a red dress", "an angry woman",
]  # fmt: skip
GENDER_ONLY = [
    "a black doctor", "a nurse, white, 40 years old", "an asian engineer", "a french chef", "a teacher in Nairobi",
    "a New York taxi driver", "a dark-skinned nurse", "a blonde receptionist", "portrait of a hispanic judge",
    "a plumber, must not look Russian",
]  # fmt: skip
NEITHER = [
    "Maria the nurse", "Marie Curie in her laboratory", "Doctor Who", "a doctor named Mei", "Dr. Nguyen",
    "a geisha", "a Roman legionary", "a medieval blacksmith", "a nurse in 1893", "an 18th century baker",
    "an asian woman doctor", "a latina nurse",
    "an engineer's drawing of a bridge",
    "a doctor's bag", "nurse shark", "a pilot light", "engineering drawing", "the baker's bread", "a chef's knife",
    "police car", "an empty teacher's desk", "a doctor's office", "a hospital with no doctors",
    "a mug for a teacher", "the tools of a carpenter",
    "a robot doctor", "a cat dressed as a chef", "a zombie nurse", "anthropomorphic fox detective",
    "the guard is not around, an empty chair", "kitchen after closing, chefs all gone home",
    "before the teacher arrives, empty classroom", "subway tunnel, blank posters, nobody around",
    "boys playing doctor under the stairs", "a tailor in ancient Carthage",
    "a child with a balloon", "mountains at sunset", "two friends on a bench",
    "retrato de un doctor", "ein Soldat im Regen", "un chef cuisinier dans sa cuisine", "医生的肖像", "портрет врача",
    "", "   ", "\n", "12345", "🙂🙂", ",,,", "()[]{}<>",
]  # fmt: skip


@pytest.mark.parametrize(
    ("prompt", "expected"),
    [
        *((prompt, (True, True)) for prompt in BOTH),
        *((prompt, (False, True)) for prompt in RACE_ONLY),
        *((prompt, (True, False)) for prompt in GENDER_ONLY),
        *((prompt, (False, False)) for prompt in NEITHER),
    ],
)
def test_prompts_are_decided_as_people_would(prompt, expected):
    assert decided(prompt) == expected, DETECTOR.decide(prompt).reason


def test_a_decision_says_what_it_saw():
    found = DETECTOR.decide("a black docotr and her patient", attributes=["gender", "race"])
    assert found.apply == {"gender": False, "race": False}
    assert found.keyword == "doctor"
    assert found.matched == "docotr"
    assert [(m.attribute, m.words, m.group) for m in found.mentions] == [
        ("race", "black", "black"),
        ("gender", "her", "female"),
    ]
    assert 0.5 < found.score < 1
    assert found.reason == "“her” settles gender; “black” settles race"
    assert json.loads(json.dumps(found.to_dict()))["keyword"] == "doctor"
    assert DETECTOR.decide("a doctor", "gender").apply == {"gender": True}


def test_a_map_of_few_keywords_serves_what_is_near_them_only():
    detector = Detector(["doctor", "nurse"])
    assert decided("a physician", detector) == (True, True)
    assert detector.decide("a physician").keyword == "doctor"
    assert decided("a plumber", detector) == (False, False)
    assert decided("a happy person", detector) == (True, True)


def test_the_packaged_fit_keywords_serve_the_occupations_that_are_reported_on():
    fitted, others = fm.lists.split()
    detector = Detector(fitted)
    never = fm.lists.further()[1]
    missed = [word for word in [*others, *never] if not detector.decide(f"a portrait of a {word}").keyword]
    assert len(missed) <= 0.02 * (len(others) + len(never)), missed


def test_users_add_keywords_protected_phrases_and_words():
    assert decided("a zorbling at work") == (False, False)
    more = DETECTOR.extended(
        keywords=["zorbling"], protected=["nurse ratatouille"], words={"gender": {"female": ["femme fatale"]}}
    )
    assert decided("two zorblings at work", more) == (True, True)
    assert decided("nurse ratatouille poster", more) == (False, False)
    assert decided("a detective and a femme fatale", more) == (False, True)
    assert decided("a doctor", more) == (True, True)
    assert decided("a zorbling at work") == (False, False), "the first detector is as it was"


def test_an_attribute_of_the_user_s_own():
    detector = Detector(attributes={"age": {"young": ["young", "teenage"], "old": ["old", "elderly"]}})
    assert detector.decide("a doctor").apply == {"age": True}
    found = detector.decide("an elderly doctor")
    assert found.apply == {"age": False}
    assert found.mentions[0].group == "old"


def test_a_detector_goes_through_json_and_decides_alike():
    first = Detector(["doctor", "cook"], protected=["doctor fish"], words={"race": {"": ["martian"]}}, also=["clown"])
    again = Detector.from_dict(json.loads(json.dumps(first.to_dict())))
    for prompt in [*BOTH, *RACE_ONLY, *GENDER_ONLY, *NEITHER, "doctor fish", "martian cook", "a clown"]:
        assert again.decide(prompt) == first.decide(prompt)
    assert again.digest == first.digest != DETECTOR.digest


@pytest.mark.parametrize(
    ("table", "says"),
    [
        ({}, "no schema_version"),
        ([], "no schema_version"),
        ({"schema_version": 99}, "upgrade"),
        ({"schema_version": 1}, "another lexicon"),
        ({"schema_version": 1, "lexicon_sha256": default_lexicon().digest}, "no saved detector"),
        (DETECTOR.to_dict() | {"keywords": 5}, "no saved detector"),
        (DETECTOR.to_dict() | {"attributes": {}}, "no attributes"),
        (DETECTOR.to_dict() | {"words": []}, "no saved detector"),
    ],
)
def test_a_damaged_detector_is_refused(table, says):
    with pytest.raises(ValueError, match=says):
        Detector.from_dict(table)


PACKED = [gzip.compress(text) for text in (b"[]", b'{"titles": 3}', b"{" * 9999)]


@pytest.mark.parametrize("content", [b"", b"nothing", b"\x1f\x8b\x08\x00garbage", *PACKED])
def test_a_damaged_lexicon_is_refused(content):
    with pytest.raises(ValueError, match="no lexicon"):
        Lexicon(content)


def test_a_lexicon_that_would_fill_the_memory_is_refused():
    with pytest.raises(ValueError, match="unpacks to more"):
        Lexicon(gzip.compress(b" " * (65 * 2**20), 9))


def _lexicon_with(change):
    table = json.loads(gzip.decompress(default_lexicon().content))
    change(table)
    return Lexicon(gzip.compress(json.dumps(table).encode(), 1))


@pytest.mark.parametrize(
    "damage",
    [
        {"pieces": "a b"},
        {"vectors": "@@@"},
        {"layers": {}},
        {"layers": {"scale": {"shape": [2, 2], "data": ""}}},
    ],
)
def test_a_damaged_network_is_refused(damage):
    with pytest.raises(ValueError, match="no lexicon"):
        _lexicon_with(lambda table: table["tagger"].update(damage))


def test_without_its_network_the_rules_decide_alone():
    lexicon = _lexicon_with(lambda table: table.pop("tagger"))
    detector = Detector(lexicon=lexicon)
    assert lexicon.tagger is None
    assert lexicon.digest != default_lexicon().digest
    assert decided("a doctor and her dog", detector) == (False, True)
    assert decided("a zorbling at work", detector) == (False, False)


def test_the_network_is_overruled_by_what_the_user_says(monkeypatch):
    sure = Judgement({"gender": 20.0, "race": -20.0}, 20.0, np.array([9.0, 9.0]))
    lexicon = _lexicon_with(lambda table: None)
    monkeypatch.setattr(lexicon.tagger, "judge", lambda text: sure)
    detector = Detector(lexicon=lexicon)
    found = detector.decide("quiet hills")
    assert found.apply == {"gender": True, "race": False}
    assert found.matched == "quiet hills"
    assert "race" in found.reason
    own = detector.extended(protected=["quiet"], keywords=["doctor"], words={"gender": {"female": ["femme"]}})
    assert decided("quiet hills", own) == (False, False)
    assert decided("a doctor", own) == (True, True)
    assert decided("femme plumber", own) == (False, True)
    few = Detector(["doctor", "nurse"], lexicon=lexicon)
    assert decided("quiet hills", few) == (False, False), "a map of few keywords serves only what is near them"


def test_the_network_can_leave_a_prompt_alone(monkeypatch):
    lexicon = _lexicon_with(lambda table: None)
    monkeypatch.setattr(
        lexicon.tagger, "judge", lambda text: Judgement({"gender": -9.0, "race": -9.0}, -9.0, np.array([-9.0]))
    )
    found = Detector(lexicon=lexicon).decide("a doctor")
    assert found.applied == ()
    assert (found.keyword, found.matched) == ("", "")
    assert found.score < 0.5
    assert found.reason == "left alone: the words around “doctor” speak against it that somebody is shown"


def test_the_network_is_what_torch_would_make_of_its_table():
    table = json.loads(gzip.decompress(default_lexicon().content))["tagger"]
    layers = {
        name: torch.from_numpy(
            np.frombuffer(base64.b64decode(layer["data"]), np.float16).reshape(layer["shape"]).copy()
        )
        for name, layer in table["layers"].items()
    }
    layers = {name: layer.float() for name, layer in layers.items()}
    vectors = torch.from_numpy(np.frombuffer(base64.b64decode(table["vectors"]), np.int8).copy()).float()
    vectors = vectors.reshape(len(table["pieces"].split()), -1) * layers["scale"]
    places = {piece: i for i, piece in enumerate(table["pieces"].split())}
    text = parsed("a tired docotr, two Zyxqs and her woodworkers at the harbour", default_lexicon(), Extra())
    means = [
        vectors[list(found)].mean(0) if (found := pieces_of(w.text, places)) else 0 * vectors[0] for w in text.words
    ]
    first = torch.stack(means) + torch.from_numpy(features(text)) @ layers["features"] + layers["bias"]
    answers = []
    for branch in range(len(layers["named"])):
        hidden = first.relu()
        for i, dilation in enumerate(DILATIONS):
            weight = layers[f"conv{i}"][branch].reshape(-1, *hidden.shape[1:], hidden.shape[1]).permute(2, 1, 0)
            reach = dilation * (weight.shape[2] // 2)
            more = torch.nn.functional.conv1d(hidden.T, weight, padding=reach, dilation=dilation).T
            hidden = hidden + (more + layers[f"conv{i}.bias"][branch]).relu()
        named = hidden @ layers["named"][branch] + layers["named.bias"][branch]
        pooled = torch.cat([hidden.amax(0), hidden.mean(0), (hidden * named.softmax(0)).sum(0)])
        inner = (pooled @ layers["hidden"][branch] + layers["hidden.bias"][branch, 0]).relu()
        answers.append(inner @ layers["out"][branch] + layers["out.bias"][branch, 0])
    found = default_lexicon().tagger.judge(text)
    expected = torch.stack(answers).mean(0).tolist()
    assert [*found.open.values(), found.shown] == pytest.approx(expected, abs=2e-3)


def test_word_pieces_are_the_longest_that_are_known():
    places = {"wood": 0, "##work": 1, "##er": 2, "wo": 3, "##s": 4}
    assert pieces_of("woodworkers", places) == (0, 1, 2, 4)
    assert pieces_of("woodxworker", places) == ()
    assert pieces_of("", places) == ()


def test_bad_input_is_refused_with_the_value():
    for prompt in (None, 3, b"a doctor", ["a doctor"]):
        with pytest.raises(TypeError, match="give a string"):
            DETECTOR.decide(prompt)
    with pytest.raises(TypeError, match="give a list of prompts"):
        DETECTOR.decide_batch("a doctor")
    with pytest.raises(ValueError, match="knows gender, race, not 'age'"):
        DETECTOR.decide("a doctor", ["age"])
    with pytest.raises(TypeError, match="give a list"):
        DETECTOR.extended(protected="nurse")
    with pytest.raises(ValueError, match="attributes are gender, race"):
        DETECTOR.extended(words={"age": {"old": ["old"]}})


def test_decide_batch_is_decide_for_each():
    prompts = [*BOTH[:5], *NEITHER[:5]]
    assert DETECTOR.decide_batch(prompts) == [DETECTOR.decide(prompt) for prompt in prompts]
    assert DETECTOR.decide_batch([]) == []


def test_any_text_is_decided_without_an_error():
    rng = random.Random(0)
    alphabet = string.printable + "äöüßéñçøåЖ医生😀👩🏽‍⚕️\u200d\ufe0f“”’—\x00\ud800"
    for _ in range(400):
        text = "".join(rng.choice(alphabet) for _ in range(rng.randrange(0, 80)))
        DETECTOR.decide(text)
        DETECTOR.decide(f"a doctor {text}")
    for text in (
        "a" * 10_000,
        "doctor " * 1500,
        "(" * 10_000,
        "<" * 10_000,
        "a," * 5_000,
        "doctor's " * 1000,
        "--" * 5000,
    ):
        DETECTOR.decide(text)


def test_what_settles_an_attribute_counts_behind_the_encoder_s_window():
    filler = "standing in a bright hall with large windows and plants, " * 30
    assert decided(f"a doctor {filler}") == (True, True)
    assert decided(f"a doctor {filler} holding her notebook") == (False, True)
    assert decided(f"{filler} and there is a doctor") == (True, True)


def test_emoji_of_people_settle_what_they_show():
    assert decided("a firefighter 👩") == (False, True)
    assert decided("a teacher 👍🏿") == (True, False)
    assert decided("a nurse 💉🏥") == (True, True)


def test_notation_is_no_language():
    words = words_of("(doctor:1.3), <lora:x:0.8> [nurse|teacher]++ --ar 16:9, score_9_up BREAK https://a.b/nurse")
    assert [word.text for word in words] == ["doctor", "nurse", "teacher"]


def test_text_in_quotes_is_drawn_as_text():
    assert decided('a street sign that reads "Doctor"') == (False, False)
    assert decided('"a portrait of a doctor"') == (True, True)


@pytest.mark.parametrize("frame", ["a portrait of a {}", "plumber, {}", "{}, plumber at work", "a plumber and a {}"])
def test_every_listed_word_for_a_group_settles_wherever_it_stands(frame):
    """At the end of a prompt, too: "an old man" was once taken for somebody who is spoken to."""
    detector = Detector.default()
    lexicon = detector.lexicon
    for name in ("gender", "race"):
        listed = [
            phrase
            for phrase, entries in lexicon._index.items()
            if any(entry.kind == "settles" and entry.attribute == name and entry.group for entry in entries)
        ]
        assert len(listed) > 800
        left = [phrase for phrase in listed if detector.decide(frame.format(phrase), [name]).apply[name]]
        assert len(left) < 0.005 * len(listed), left


@pytest.mark.parametrize(
    "prompt",
    ["a portrait of an old man", "a plumber, young dude", "a potter, a tall white man", "old man", "a welder guy"],
)
def test_a_man_at_the_end_is_shown(prompt):
    assert not Detector.default().decide(prompt, ["gender"]).apply["gender"]


@pytest.mark.parametrize("prompt", ["draw a tailor sir please", "paint me a pilot bro"])
def test_who_is_spoken_to_is_not_shown(prompt):
    assert Detector.default().decide(prompt, ["gender"]).apply["gender"]
