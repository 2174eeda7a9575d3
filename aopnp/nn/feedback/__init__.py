"""Feedback: how the error reaches a layer without the transposed weights.

A new feedback is one file and one line here.
"""

from aopnp.nn.feedback.direct import DFA, Direct
from aopnp.nn.feedback.direct_kolen_pollack import DKP
from aopnp.nn.feedback.feedback import Feedback
from aopnp.nn.feedback.forward_direct import FDFA
from aopnp.nn.feedback.hook import Hook
from aopnp.nn.feedback.init import FeedbackInit, Uniform, kaiming_uniform, normal, zeros
from aopnp.nn.feedback.kolen_pollack import KolenPollack
from aopnp.nn.feedback.random import RandomFeedback, SignSymmetric
from aopnp.nn.feedback.target import DRTP
from aopnp.nn.feedback.transpose import Transpose
from aopnp.nn.feedback.weight_mirror import WeightMirror

FEEDBACKS: dict[str, type[Feedback]] = {
    "transpose": Transpose,
    "random": RandomFeedback,
    "sign_symmetric": SignSymmetric,
    "kolen_pollack": KolenPollack,
    "weight_mirror": WeightMirror,
}
"""Rules that choose the matrix with which a layer multiplies the gradient on the way back."""

DIRECT: dict[str, type[Direct]] = {"dfa": DFA, "dkp": DKP, "fdfa": FDFA, "drtp": DRTP}
"""Layers that inject a gradient straight from the outputs of the network."""

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
