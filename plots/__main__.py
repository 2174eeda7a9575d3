"""The command `python -m plots NAME ...`: draws figures, prints the paths written."""

import argparse
import os
import sys
from collections.abc import Sequence
from pathlib import Path

from plots import NAMES, PlotError, draw


def parser() -> argparse.ArgumentParser:
    """The options of the command with their defaults."""
    words = argparse.ArgumentParser(
        prog="python -m plots", description="Draw figures from result files."
    )
    words.add_argument(
        "names", nargs="+", choices=NAMES, metavar="NAME",
        help="2a 2b 2c: energy, K = 18, 9, 3; 3a 3b 3c: mnist, K = 32, 16, 8; quickstart: the digits; "
        "growth-k growth-width growth-batch growth-replicas: the cost of a step, as `bench growth` measured it; "
        "mlp cnn cifar, mlp-full ...: approximate products in deep networks; "
        "feedback-mnist feedback-cifar feedback-alexnet, feedback-mnist-full ...: ways to send the error back; "
        "feedback-mnist-combine ...: the same with approximate products; "
        "forward forward-narrow forward-vgg forward-vgg16: forward gradients; binary binary-mlp binary-bvgg16: binary "
        "networks; directions, scaling: what `directions` measured",
    )  # fmt: skip
    words.add_argument("--results", type=Path, default=Path("results"), help="default: %(default)s")
    words.add_argument(
        "--recorded", type=Path, default=os.environ.get("AOPNP_RECORDED_DIR") or None,
        help="folder of the published runs, overlaid where they exist; default: $AOPNP_RECORDED_DIR",
    )  # fmt: skip
    words.add_argument(
        "--device", choices=["cpu", "gpu", "cuda-sim"], default="cpu",
        help="where the results were trained; default: %(default)s",
    )  # fmt: skip
    words.add_argument(
        "--suffix", default="", metavar="TEXT",
        help="how the result files of a deep or feedback experiment end that was trained off its defaults: "
        "--suffix=-epochs2",
    )  # fmt: skip
    words.add_argument("--out", type=Path, default=Path("figures"), help="default: %(default)s")
    return words


def main(arguments: Sequence[str] | None = None) -> int:
    """Draw every named figure; 0 when all were written, 2 with one sentence at the first that cannot be."""
    options = parser().parse_args(arguments)
    try:
        for name in options.names:
            where = options.results, options.out, options.recorded, options.device
            print(*draw(name, *where, suffix=options.suffix), sep="\n")
    except PlotError as error:
        print(f"python -m plots: {error}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
