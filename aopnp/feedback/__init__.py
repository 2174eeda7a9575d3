"""Feedback: how the error reaches a layer without the transposed weights. A new one is one file and one line here."""

from aopnp.feedback.direct import DFA, Direct
from aopnp.feedback.direct_kolen_pollack import DKP
from aopnp.feedback.feedback import Feedback
from aopnp.feedback.forward_direct import FDFA
from aopnp.feedback.hook import Hook
from aopnp.feedback.init import FeedbackInit, Uniform, kaiming_uniform, normal, zeros
from aopnp.feedback.kolen_pollack import KolenPollack
from aopnp.feedback.random import RandomFeedback, SignSymmetric
from aopnp.feedback.target import DRTP
from aopnp.feedback.transpose import Transpose
from aopnp.feedback.weight_mirror import WeightMirror

FEEDBACKS: dict[str, type[Feedback]] = {
    "transpose": Transpose,
    "random": RandomFeedback,
    "sign_symmetric": SignSymmetric,
    "kolen_pollack": KolenPollack,
    "weight_mirror": WeightMirror,
}
"""Which matrix a layer multiplies its gradient with on the way back."""

DIRECT: dict[str, type[Direct]] = {"dfa": DFA, "dkp": DKP, "fdfa": FDFA, "drtp": DRTP}
"""What injects a gradient after a layer, straight from the outputs."""

__all__ = [
    "DFA",
    "DIRECT",
    "DKP",
    "DRTP",
    "FDFA",
    "FEEDBACKS",
    "Direct",
    "Feedback",
    "FeedbackInit",
    "Hook",
    "KolenPollack",
    "RandomFeedback",
    "SignSymmetric",
    "Transpose",
    "Uniform",
    "WeightMirror",
    "kaiming_uniform",
    "normal",
    "zeros",
]
