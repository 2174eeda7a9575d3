"""Scores: the sizes of the terms of a sum, by which a policy ranks them.

A new score is one file and one line in the table SCORES.
"""

from aopnp.estimators.scores.norms import Norms, SecondNorms
from aopnp.estimators.scores.one_pixel import OnePixel
from aopnp.estimators.scores.score import Score
from aopnp.estimators.scores.window import WindowNorms

SCORES: dict[str, Score] = {
    "norms": Norms(),
    "second": SecondNorms(),
    "window": WindowNorms(),
    "pixel": OnePixel(),
}

__all__ = [
    "SCORES",
    "Norms",
    "OnePixel",
    "Score",
    "SecondNorms",
    "WindowNorms",
]
