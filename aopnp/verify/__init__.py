"""A public kit of properties: laws and Hypothesis strategies to run against any implementation.

    from aopnp.verify import laws, library, trials

    @given(trials(["row"]))
    def test_conservation(trial):
        laws.conservation(my_implementation, *trial)

The law holds for `library`, the implementation of this library. The kit needs Hypothesis:
`pip install 'aopnp[verify]'`.
"""

from aopnp.verify import adjoint, laws, sampling, spellings
from aopnp.verify.paper import PaperMemory
from aopnp.verify.strategies import batches, integers_in_floats, settings_of, trials
from aopnp.verify.subject import (
    Batch,
    LibrarySubject,
    Outcome,
    Setting,
    Subject,
    library,
    library_estimator,
    recorded,
)

__all__ = [
    "Batch",
    "LibrarySubject",
    "Outcome",
    "PaperMemory",
    "Setting",
    "Subject",
    "adjoint",
    "batches",
    "integers_in_floats",
    "laws",
    "library",
    "library_estimator",
    "recorded",
    "sampling",
    "settings_of",
    "spellings",
    "trials",
]
