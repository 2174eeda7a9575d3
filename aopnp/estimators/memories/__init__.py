"""Memories: the rules for the outer products that were not selected.

A new memory is one file and one line in the table MEMORIES.
"""

from aopnp.estimators.memories.memory import Candidates, Memory
from aopnp.estimators.memories.none import NoMemory
from aopnp.estimators.memories.queue import QueueMemory, QueueState
from aopnp.estimators.memories.residual import ResidualMemory, ResidualState
from aopnp.estimators.memories.row import RowMemory, RowState

MEMORIES: dict[str, type[Memory]] = {
    "none": NoMemory,
    "row": RowMemory,
    "residual": ResidualMemory,
    "queue": QueueMemory,
}

__all__ = [
    "MEMORIES",
    "Candidates",
    "Memory",
    "NoMemory",
    "QueueMemory",
    "QueueState",
    "ResidualMemory",
    "ResidualState",
    "RowMemory",
    "RowState",
]
