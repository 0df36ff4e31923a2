"""The studies of `python -m sims`, one module each."""

from sims.studies.compute_matched import COMPUTE_MATCHED
from sims.studies.depth import DEPTH
from sims.studies.finite_samples import FINITE_SAMPLES
from sims.studies.frontier import FRONTIER
from sims.studies.latent import LATENT
from sims.studies.leakage import LEAKAGE
from sims.studies.mechanisms import MECHANISMS
from sims.studies.misalignment import MISALIGNMENT
from sims.studies.noise import NOISE
from sims.studies.placement import PLACEMENT
from sims.studies.redundant_features import REDUNDANT_FEATURES
from sims.studies.verify import VERIFY
from sims.studies.width_and_init import WIDTH_AND_INIT
from sims.study import Study

STUDIES: dict[str, Study] = {
    study.name: study
    for study in (
        VERIFY,
        MISALIGNMENT,
        NOISE,
        FINITE_SAMPLES,
        WIDTH_AND_INIT,
        DEPTH,
        LEAKAGE,
        COMPUTE_MATCHED,
        LATENT,
        FRONTIER,
        PLACEMENT,
        REDUNDANT_FEATURES,
        MECHANISMS,
    )
}
"""Name -> study, in the order in which `all` runs them."""
