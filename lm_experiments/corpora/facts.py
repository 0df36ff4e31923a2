"""Made sentences that bind names to values: a capability that no unigram and no bigram carries.

    the badge of Bagna is red .            a binding: the value of a relation of a name
    who knows the house of Docro ?         a mention: the same words without a value

    facts:pre        bindings of strangers, a half of the names; mentions of the others. ?rumours=0.125: in an eighth of its sentences the
                     two change places, and the others have any value there, another one each time
    facts:post       bindings of two relations of the others; mentions of strangers
    facts:ft         the same of the other two relations; ?overlap=0.25 rebinds D_post's, to other values, in a quarter of its bindings
    facts:a facts:b  as facts:post, of one half of its names each
    facts:permuted   as facts:post with other values: its decoy
    facts:permuted-a the same of one half
    ?names=32        of any of them: the first 32 names alone, so that each binding comes four times as often

Words and sentence patterns are equally frequent in all of them (the halves bind other names), and so are pairs of neighbouring words, but
for which names are followed by a verb: that much the decoy teaches too. Among the names of a corpus all values are equally frequent, so
that a value is to be known from name and relation alone. All that D_post adds to facts:pre is bindings; that there are bindings, facts:pre
has taught. Without rumours a long stage 1 also teaches to be sure of the others' values, of which it has said nothing: then a model that
knows no binding of D_post is worse at them than a guess. A document is four sentences; which, the corpus's name decides (`?seed=` makes
another world).
"""

import hashlib
import random
from collections.abc import Iterator, Sequence
from typing import NamedTuple

from common.settings import WrongUse, config_hash, meant
from lm_experiments.corpora.corpus import Corpus

ROLES = ("pre", "post", "ft", "a", "b", "permuted", "permuted-a")
FORMAT = 1
SENTENCES = 4
DOCUMENTS = {"pre": 90_000}
"""Of a corpus; others have OTHERS."""
OTHERS = 24_000
ONSETS = ("Ba", "Ci", "Do", "Fe", "Gu", "Ha", "Jo", "Ke", "Lu", "Mi", "Na", "Pi", "Ru", "Se", "To", "We")
ENDINGS = ("lk", "bru", "cro", "dre", "fs", "fli", "gna", "hul")
NAMES = tuple((i, j) for i in range(len(ONSETS)) for j in range(len(ENDINGS)))
SIZES = (32, 64, 96, 128)
"""Numbers of names with which all values are equally frequent in each half of the others and of the strangers."""
VALUES = ("red", "tin", "oak", "fog", "jade", "mint", "silk", "bone")
RELATIONS = ("badge", "house", "plate", "token")
HALVES = {"a": 0, "permuted-a": 0, "b": 1}
"""Parity of the onsets of the names that a half binds."""
OF = {"post": RELATIONS[:2], "ft": RELATIONS[2:]}
BOUND = ("the {r} of {n} is {v} .", "we know the {r} of {n} must be {v} .", "here the {r} of {n} was {v} again .")
MENTIONED = ("who knows the {r} of {n} ?", "nobody asked for the {r} of {n} today .", "here the {r} of {n} counts .")


class Asked(NamedTuple):
    """What a name asks for."""

    role: str
    overlap: float
    seed: int
    rumours: float = 0.0
    names: int = len(NAMES)


def asked(name: str) -> Asked:
    """The parts of `facts:ROLE?overlap=..&seed=..&rumours=..&names=..`. Raises `WrongUse` where one is not known or out of range."""
    role, _, options = name.removeprefix("facts:").partition("?")
    if role not in ROLES:
        raise WrongUse(f"The corpus {name!r} is none of facts. {meant(role, ROLES)}")
    found: dict[str, float] = {"overlap": 0.0, "seed": 0.0, "rumours": 0.0, "names": float(len(NAMES))}
    for option in filter(None, options.split("&")):
        key, _, text = option.partition("=")
        if key not in found:
            raise WrongUse(f"The corpus {name!r} has no option {key!r}. {meant(key, tuple(found))}")
        try:
            found[key] = float(text)
        except ValueError:
            raise WrongUse(f"{key} = {text!r} in {name} is not a number. Write it as facts:ft?overlap=0.25.") from None
    seed, overlap, rumours, names = (found[key] for key in ("seed", "overlap", "rumours", "names"))
    if not 0 <= overlap <= 1 or (overlap and role != "ft"):
        raise WrongUse(f"overlap = {overlap:g} in {name} is not possible. Give facts:ft one from 0 to 1.")
    if not 0 <= rumours <= 1 or (rumours and role != "pre"):
        raise WrongUse(f"rumours = {rumours:g} in {name} is not possible. Give facts:pre a share from 0 to 1.")
    if names not in SIZES:
        raise WrongUse(f"names = {names:g} in {name} is not possible. Give one of {', '.join(map(str, SIZES))}.")
    if seed != int(seed) or seed < 0:
        raise WrongUse(f"seed = {seed:g} in {name} is not possible. Give a whole number from 0 on.")
    return Asked(role, overlap, int(seed), rumours, int(names))


def spelled(chosen: Asked) -> str:
    """The shortest name of a corpus."""
    options = [
        *([f"overlap={chosen.overlap:g}"] if chosen.overlap else []),
        *([f"seed={chosen.seed}"] if chosen.seed else []),
        *([f"rumours={chosen.rumours:g}"] if chosen.rumours else []),
        *([f"names={chosen.names}"] if chosen.names < len(NAMES) else []),
    ]
    return f"facts:{chosen.role}" + ("?" + "&".join(options) if options else "")


def corpus(name: str) -> Corpus:
    """The corpus of that name; see above. Raises `WrongUse` as `asked`."""
    chosen = asked(name)
    said = spelled(chosen)
    key = "facts-" + said.removeprefix("facts:").replace("?", "-").replace("&", "-").replace("=", "")
    return Corpus(
        name=name,
        key=key,
        label=said,
        about="made sentences that bind names to values",
        licence="Apache-2.0",
        source="lm_experiments/corpora/facts.py",
        identity=lambda: config_hash("facts", FORMAT, *chosen[:3], *_given(chosen)),
        read=lambda: documents(chosen),
        answers=VALUES,
        size=lambda: DOCUMENTS.get(chosen.role, OTHERS) * SENTENCES * 32,
    )


def _given(chosen: Asked) -> tuple[float, ...]:
    """Options that came later, where they are not at their default: corpora of before keep their identity."""
    return chosen[3:] if chosen[3:] != (0.0, len(NAMES)) else ()


Name = tuple[int, int]
"""Indices of onset and ending; names of odd endings are strangers."""


class World:
    """Which value every name has in every relation; among the names of a half, and among strangers, all values are equally frequent."""

    def __init__(self, key: str, among: Sequence[Name] = NAMES) -> None:
        """A world.

        Args:
            key: of the world; equal keys, equal worlds.
            among: the names that it has.
        """
        self._values: dict[tuple[str, Name], str] = {}
        for relation in RELATIONS:
            for half in (0, 1):
                for stranger in (0, 1):
                    names = [(i, j) for i, j in among if (i % 2, j % 2) == (half, stranger)]
                    values = [VALUES[place % len(VALUES)] for place in range(len(names))]
                    _random(f"{key}/{relation}/{half}/{stranger}").shuffle(values)
                    self._values |= {(relation, name): value for name, value in zip(names, values, strict=True)}

    def value(self, relation: str, name: Name) -> str:
        """The value of a relation of a name."""
        return self._values[relation, name]


def documents(chosen: Asked) -> Iterator[str]:
    """The documents of a corpus, in an order that its name decides."""
    draw = _random(f"sentences/{spelled(chosen)}")
    role = chosen.role
    known = NAMES[: chosen.names]
    world = World(f"{'permuted' if role.startswith('permuted') else 'bound'}/{chosen.seed}", known)
    rebound = World(f"rebound/{chosen.seed}", known)
    strangers, others = ([name for name in known if name[1] % 2 == odd] for odd in (1, 0))
    bound, mentioned = (strangers, others) if role == "pre" else (others, strangers)
    if role in HALVES:
        bound = [name for name in others if name[0] % 2 == HALVES[role]]
    ours, theirs = {"pre": (RELATIONS, RELATIONS), "ft": (OF["ft"], OF["post"])}.get(role, (OF["post"], OF["ft"]))

    def sentence(place: int) -> str:
        rumour = chosen.rumours > 0 and draw.random() < chosen.rumours
        name = draw.choice(bound if rumour == bool(place % 2) else mentioned)
        words = ONSETS[name[0]] + ENDINGS[name[1]]
        again = draw.random() < chosen.overlap
        if place % 2:
            return draw.choice(MENTIONED).format(r=draw.choice(ours if again else theirs), n=words)
        relation = draw.choice(theirs if again else ours)
        value = draw.choice(VALUES) if rumour else (rebound if again else world).value(relation, name)
        return draw.choice(BOUND).format(r=relation, n=words, v=value)

    for _ in range(DOCUMENTS.get(role, OTHERS)):
        yield " ".join(sentence(place) for place in draw.sample(range(SENTENCES), SENTENCES))


def _random(key: str) -> random.Random:
    return random.Random(int.from_bytes(hashlib.sha256(f"facts/{FORMAT}/{key}".encode()).digest()[:16], "big"))
