"""A pipeline of a study: recipe and settings -> three stages -> four losses -> a row of the results table.

    stage 1  D_pre (+ lambda of D_post)      first look at D_post         -> lm.loss_post_after_pre
    stage 2  D_post, stopped on music/stop   best weights restored        -> loss_im
    stage 3  D_ft                                                         -> loss_ret, loss_ft, loss_pre

Reported losses come from the split `report`; early stopping looks at the split `stop` only, so the choice of the checkpoint does not
flatter the number. Seeds are paired: a seed decides the initial weights and the order of every corpus, whatever lambda is.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields, replace
from functools import cached_property
from itertools import combinations
from typing import TYPE_CHECKING, Any

from common.settings import WrongUse
from lm_experiments import derived, initial, rows
from lm_experiments.corpora import Report, key, label
from lm_experiments.ledger import CompletedStage, check_ledger
from lm_experiments.models import ModelSettings
from lm_experiments.plan import Corpus, Kind, Part, Plan
from lm_experiments.realise import Problem, Realised, realise
from lm_experiments.stage_settings import Execution, StageSettings
from lm_experiments.stages import Node
from lm_experiments.studies.settings import Cell, PipelineSettings, Stage

if TYPE_CHECKING:
    from lm_experiments.store import Answers, Drawn, Store
    from lm_experiments.tokenizers import Tokenizer

Outcomes = Mapping[str, Mapping[str, Any]]
"""Fields of `training.Outcome` by the hash of the stage."""


@dataclass(frozen=True, kw_only=True)
class StoreFactory:
    """Makes the function that opens the stores of a study; picklable, so that workers can make it too."""

    tokenizer: str = ""
    """A Hugging Face tokenizer; empty for a BPE."""
    corpora: tuple[str, ...]
    """What the BPE is trained on."""
    vocabulary: int
    """Of the BPE."""
    texts: tuple[str, ...] = ()
    """The corpora as they were asked for."""
    max_tokens: int = 0
    """Tokens packed of a corpus for training; 0 is all."""
    held_out: int = 0
    """Tokens packed of a split that is only measured, where those for training are limited."""

    @classmethod
    def of(cls, chosen: PipelineSettings) -> "StoreFactory":
        """For the pipelines that agree with this one in tokenizer, corpora and limits."""
        several = 0 in (chosen.stop_windows, chosen.report_windows)
        held_out = chosen.max_tokens if several else chosen.length * max(chosen.stop_windows, chosen.report_windows) + 1
        return cls(
            tokenizer=chosen.tokenizer, corpora=() if chosen.tokenizer else chosen.trained_on,
            vocabulary=0 if chosen.tokenizer else chosen.model.vocabulary, texts=chosen.texts,
            max_tokens=chosen.max_tokens, held_out=held_out if chosen.max_tokens else 0,
        )  # fmt: skip

    def opened(self, progress: Report | None = None) -> "Tokenizer":
        """The tokenizer; a BPE is trained where the cache has none."""
        from lm_experiments.tokenizers import load, trained

        return load(self.tokenizer) if self.tokenizer else trained(self.corpora, self.vocabulary, progress=progress)

    def __call__(self, progress: Report | None = None) -> Callable[[str], "Store | Drawn | Answers"]:
        """`open(name)` with names such as music/train, or music/train~3 for the draw of seed 3; every store is opened once."""
        from lm_experiments.store import Drawn, Store, answers, open_store

        tokenizer = self.opened(progress)
        asked = {key(name): name for name in self.texts}
        opened: dict[str, Store | Drawn | Answers] = {}

        def open_named(name: str) -> "Store | Drawn | Answers":
            if name not in opened:
                stem, _, seed = name.partition("~")
                whole_name, _, kind = name.partition("#")
                if kind:
                    text = whole_name.rpartition("/")[0]
                    store = open_named(whole_name)
                    assert isinstance(store, Store)
                    opened[name] = answers(store, kind, asked.get(text, text), tokenizer)
                elif seed:
                    whole = open_named(stem)
                    assert isinstance(whole, Store)
                    opened[name] = Drawn(whole, int(seed))
                else:
                    text, _, split = name.rpartition("/")
                    most = (self.max_tokens if split == "train" else self.held_out) or None
                    opened[name] = open_store(
                        asked.get(text, text), tokenizer, split, max_tokens=most, progress=progress
                    )
            return opened[name]

        return open_named


class Pipeline:
    """One cell of a study as stages."""

    def __init__(
        self,
        cell: Cell,
        stores: Callable[[str], Any],
        execution: Execution | None = None,
        start: Callable[[str, ModelSettings], initial.Start] = initial.start,
    ) -> None:
        """What is to be run.

        Args:
            cell: the settings.
            stores: opens a store by name.
            execution: how its stages are carried out, which decides nothing about the result.
            start: finds the model that it begins with.

        Raises:
            WrongUse: two stages have the same text; a corpus is too small, as soon as its stages are asked for.
        """
        self.cell, self.settings, self.stores = cell, cell.settings, stores
        self._execution, self._start = execution or Execution(), start
        self.keys = tuple(key(name) for name in (self.settings.pre, self.settings.post, self.settings.ft))
        self._refuse_the_same_text()

    def _refuse_the_same_text(self) -> None:
        """Exposure and forgetting mean nothing then, and the ledger would refuse what has been trained."""
        given = {"pre": self.settings.pre, "post": self.settings.post, "ft": self.settings.ft}
        if self.settings.begin_at == "stage2":
            del given["pre"]  # nobody trains on it
        for (one, text), (other, same) in combinations(given.items(), 2):
            if key(text) == key(same):
                raise WrongUse(
                    f"{one} = {label(text)} and {other} = {label(same)} are the same text. Give every stage text of its own."
                )

    def _corpus(self, name: str, tokens: int, size: int | None = None) -> Corpus:
        """A corpus of `size` tokens (as far as needed, if absent), of which a stage trains on `tokens`."""
        length = self.settings.length
        store = f"{name}/train" + (f"~{self.settings.seed}" if self.settings.draw == "seeded" else "")
        held = self.stores(store).windows(length)
        count = -(-tokens // length)
        windows = min(count, held) if size is None else size // length
        if windows > held:
            raise WrongUse(
                f"{self._label(name)} holds {held * length:,} tokens for training; a D_post of {size:,} was asked for. Choose a smaller "
                "one, give more text, or raise --max-tokens where it is set."
            )
        return Corpus(store=store, windows=windows, count=count)

    def _label(self, name: str) -> str:
        """What people call the corpus of that key."""
        return next((label(text) for text in self.settings.texts if key(text) == name), name)

    @cached_property
    def corpora(self) -> dict[Kind, Corpus]:
        """D_pre, D_post and D_ft."""
        chosen = self.settings
        pre, post, ft = self.keys
        size = chosen.tokens_post - chosen.tokens_post % chosen.post_unit
        return {
            "pre": self._corpus(pre, chosen.stage1.tokens),
            "post": self._corpus(post, chosen.stage2.tokens, size),
            "ft": self._corpus(ft, chosen.stage3.tokens),
        }

    @cached_property
    def realised(self) -> Realised:
        """The recipe as data plans and stage settings."""
        chosen = self.settings
        batches: dict[Kind, int] = {kind: stage.batch for kind, stage in chosen.stages.items()}
        size = self.corpora["post"].windows * chosen.length
        other = self._corpus(key(chosen.other), 1, size) if chosen.other else None
        seeds: dict[Kind, int] = {kind: chosen.seed + stage.seed for kind, stage in chosen.stages.items()}
        problem = Problem(
            corpora=self.corpora, batches=batches, length=chosen.length, seed=chosen.seed, seeds=seeds, other=other
        )
        return realise(chosen.recipe, problem)

    @cached_property
    def nodes(self) -> dict[Kind, Node]:
        """The stages, each continuing the one before."""
        made: dict[Kind, Node] = {}
        parent: Node | None = None
        for kind, plan in self.realised.plans.items():
            if kind == "pre" and self.settings.begin_at == "stage2":
                made[kind] = parent = self._taken_over()
            else:
                made[kind] = parent = self._node(kind, plan, self.settings.stages[kind], parent)
        return made

    @property
    def _begun(self) -> initial.Start | None:
        """The model that stage 1 begins with, or that stands in its place."""
        chosen = self.settings
        return self._start(chosen.init_from, chosen.model) if chosen.init_from else None

    def _taken_over(self) -> Node:
        """In the place of stage 1 the model of somebody else: measured and kept as it is. Nothing of stage 1's settings is in its name."""
        text = Part(store=f"{self.keys[0]}/train", windows=1, count=1)
        one = Plan(length=self.settings.length, batch=1, steps=1, seed=0, parts=(text,))
        untrained = Stage(tokens=1, batch=1, lr=1.0, floor=1.0, warmup=0)
        node = self._node("pre", one, untrained, None)
        return replace(node, settings=replace(node.settings, trains=False, seed=0))

    def _node(self, kind: Kind, plan: Plan, stage: Stage, parent: Node | None) -> Node:
        chosen = self.settings
        on = self._measured(alone=kind == "pre" and len(plan.parts) == 1)
        measured = tuple((report, chosen.report_windows) for name in on for report in self.reports(name))
        stops = kind == "post" and stage.patience > 0 and chosen.recipe.split == "independent"
        own = dict(zip(("pre", "post", "ft"), self.keys, strict=True))[kind]
        stop_on = (f"{own}/stop{self._answers}", chosen.stop_windows) if stage.eval_every else None
        settings = self._settings(kind, plan, stage, stops)
        read = [derived.source(part.store) for part in plan.parts] + [name for name, _ in measured]
        read += [derived.source(name) for name in (stop_on[0] if stop_on else "", settings.ewc_on) if name]
        for name in [*(part.store for part in plan.parts), settings.ewc_on]:
            if derived.parsed(name) is not None:
                derived.check(name, self.stores(derived.source(name)), chosen.length)
        return Node(
            kind=kind, plan=plan, settings=settings, measured=measured, stop_on=stop_on,
            data=tuple((name, self.stores(name).fingerprint) for name in dict.fromkeys(read)),
            model=chosen.model if parent is None else None, parent=parent, start=self._begun if parent is None else None,
        )  # fmt: skip

    def _measured(self, *, alone: bool) -> list[str]:
        """The corpora on which a stage is measured; their order is in its name.

        A stage 1 of D_pre alone is the same whichever of `measured_too` D_post is, so its order is, too: the last of them comes first, as
        in the other studies of the paper, whose D_post it is.
        """
        pre, post, ft = self.keys
        too = tuple(map(key, self.settings.measured_too))
        first = too[-1] if alone and post in too else post
        return list(dict.fromkeys((pre, first, *too, post, ft)))

    @property
    def _answers(self) -> str:
        return "#answers" if self.settings.measured_as == "answers" else ""

    def reports(self, name: str) -> tuple[str, ...]:
        """What is measured of a corpus when a stage ends, the loss of the table first."""
        loss = f"{name}/report{self._answers}"
        return (loss, f"{name}/report#recall") if self._answers else (loss,)

    def _settings(self, kind: Kind, plan: Plan, stage: Stage, stops: bool) -> Any:
        changes = self.realised.changes[kind]
        if stage.dropout.active:
            if "dropout" in changes:
                raise WrongUse(
                    f"dropout = {self.settings.recipe.dropout:g} at all sites and dropout of single sites in the stage's settings exclude "
                    "each other. Choose one of the two."
                )
            changes = {"dropout": stage.dropout, **changes}
        return StageSettings(
            lr=stage.lr, min_lr=stage.floor * stage.lr if stage.min_lr is None else stage.min_lr,
            warmup_steps=stage.warmup, max_steps=plan.steps, batch=plan.batch,
            length=plan.length, precision=self.settings.precision, weight_decay=stage.weight_decay, seed=self.settings.seed + stage.seed,
            eval_every=stage.eval_every, keep_best=stops or not stage.eval_every, patience=stage.patience if stops else 0,
            **{field.name: getattr(self._execution, field.name) for field in fields(Execution)}, **changes,
        )  # fmt: skip

    @property
    def last(self) -> Node:
        """Stage 3."""
        return self.nodes["ft"]

    def smaller(self) -> list[str]:
        """What training, reporting or stopping sets hold less than was asked for, in words."""
        length, found = self.settings.length, []
        passes: tuple[tuple[int, Kind, str], ...] = ((1, "pre", self.keys[0]), (3, "ft", self.keys[2]))
        for stage, kind, name in passes:
            one = self.corpora[kind]
            if one.windows < one.count and not self.nodes[kind].settings.untrained:
                found.append(
                    f"{self._label(name)}/train holds {one.windows} windows of {length} tokens; stage {stage} takes "
                    f"{one.count}, in {one.count / one.windows:.2g} passes"
                )
        asked = {
            name: windows
            for node in self.nodes.values()
            for name, windows in (*node.measured, *([node.stop_on] if node.stop_on else []))
        }
        for name, windows in asked.items():
            if (held := self.stores(name).windows(length)) < windows:
                of, _, split = name.partition("/")
                found.append(
                    f"{self._label(of)}/{split} holds {held} windows of {length} tokens; {windows} were asked for"
                )
        return found

    def done(self, outcomes: Outcomes) -> bool:
        """Whether all its stages are done."""
        return all(node.hash in outcomes for node in self.nodes.values())

    def check(self, outcomes: Outcomes) -> None:
        """Compare what the stages that are done were trained on with the recipe. Raises `ledger.Disagreement`."""
        taken = {
            kind: CompletedStage(node.plan, outcome["steps"], outcome["tokens"], outcome.get("ledger"))
            for kind, node in self.nodes.items()
            if (outcome := outcomes.get(node.hash)) is not None and node.settings.trains
        }
        chosen = self.settings
        check_ledger(chosen.recipe, self.corpora["pre"], self.corpora["post"], chosen.stage2.batch, taken)

    def row(self, outcomes: Outcomes) -> dict[str, Any]:
        """Columns of the results table. Raises `ledger.Disagreement` where the stages did not see what the recipe says."""
        self.check(outcomes)
        return rows.row(self, outcomes)
