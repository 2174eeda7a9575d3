"""Data sets: found in a folder or downloaded into it, and refused where a checksum does not fit."""

from aopnp.data.cifar10 import load_cifar10
from aopnp.data.coded import Coded
from aopnp.data.energy import ENERGY_COLUMNS, load_energy
from aopnp.data.files import DataError, DataFile, data_folder, find
from aopnp.data.mnist import ImageData, load_mnist

__all__ = [
    "ENERGY_COLUMNS",
    "Coded",
    "DataError",
    "DataFile",
    "ImageData",
    "data_folder",
    "find",
    "load_cifar10",
    "load_energy",
    "load_mnist",
]
