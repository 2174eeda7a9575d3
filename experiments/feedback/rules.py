"""The rules that are compared: what each puts into the network, and what fills the gradients.

bp                    back-propagation
fa, sign, kp, wm      another matrix in the place of W^T: random, with the signs of W, Kolen-Pollack, weight mirror
dfa, dkp, fdfa, drtp  the error, of drtp the target, straight from the outputs to each hidden layer
shallow               the hidden layers stay as they were initialised
"""

from functools import partial

from aopnp import Chain, Exact
from aopnp.estimators import Estimator
from aopnp.nn.feedback import (
    DIRECT,
    DKP,
    Feedback,
    FeedbackInit,
    Hook,
    KolenPollack,
    RandomFeedback,
    SignSymmetric,
    Transpose,
    Uniform,
    WeightMirror,
    kaiming_uniform,
    normal,
    zeros,
)
from aopnp.training import Backprop, MeasureAlignment, Rule, learn_jacobians
from experiments.feedback.frozen import Frozen
from experiments.feedback.networks import CLASSES, Parts

MATRICES: dict[str, Feedback] = {
    "fa": RandomFeedback(),
    "sign": SignSymmetric(),
    "kp": KolenPollack(),
    "wm": WeightMirror(rate=0.1, decay=0.1, every=10),
}
RULES = ("bp", *MATRICES, *DIRECT, "shallow")

INITS: dict[str, FeedbackInit] = {
    "normal": normal,
    "kaiming": kaiming_uniform,
    "zeros": zeros,
    "tiny": Uniform(0, 1e-6),
}
"""Initial values of B; tiny is the published DFA baseline on AlexNet, which hardly learns."""

MEASURED_EVERY = 100
"""Steps between two measurements of the alignment angles, if an epoch has as many."""


def parts(rule: str, b_init: str | None, estimator: Estimator = Exact()) -> Parts:  # noqa: B008 - frozen
    """Return what `rule` puts into a network; `b_init`, of direct rules only, names the initial values of B.

    DKP's own gradient of B is a sum over the batch as well: `estimator` answers for it too, with its own memory.
    """
    if rule == "shallow":
        return Parts(hidden=Frozen)
    if rule not in DIRECT:
        return Parts(MATRICES.get(rule, Transpose()), lambda shape: Hook(), estimator, Chain)
    assert b_init is not None
    direct = partial(DKP, estimator=estimator) if rule == "dkp" else DIRECT[rule]
    return Parts(hook=partial(direct, CLASSES, init=INITS[b_init]), estimator=estimator)


def learning_rule(rule: str, epoch: int) -> Rule:
    """Return what fills the gradients, and measures the angles at least once in an epoch of so many steps."""
    tangents = (learn_jacobians,) if rule == "fdfa" else ()
    return Backprop((*tangents, MeasureAlignment(min(MEASURED_EVERY, epoch))))
