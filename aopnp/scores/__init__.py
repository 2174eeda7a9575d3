"""Scores: what a policy ranks the terms by. A new one is one file and one line in this table."""

from aopnp.scores.norms import Norms, SecondNorms
from aopnp.scores.one_pixel import OnePixel
from aopnp.scores.score import Score
from aopnp.scores.window import WindowNorms

SCORES: dict[str, Score] = {
    "norms": Norms(),
    "second": SecondNorms(),
    "window": WindowNorms(),
    "pixel": OnePixel(),
}

__all__ = ["SCORES", "Norms", "OnePixel", "Score", "SecondNorms", "WindowNorms"]
