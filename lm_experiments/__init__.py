"""Language models through three stages on real text: corpora, a training loop, a stage graph, and studies of the paper's figures.

from lm_experiments import corpus, judge
corpus("music").about                           # what it is; `documents("music")` reads it
judge([table])                                  # the verdicts on the paper's claims from tables of lambda studies
"""

from typing import TYPE_CHECKING

from common.lazy import public

if TYPE_CHECKING:
    from lm_experiments.corpora import corpus as corpus  # type: ignore[no-redef]  # a module there has the same name
    from lm_experiments.corpora import documents as documents
    from lm_experiments.verdicts import judge as judge

__all__, __getattr__, __dir__ = public(
    __name__, {"lm_experiments.corpora": ("corpus", "documents"), "lm_experiments.verdicts": ("judge",)}
)
