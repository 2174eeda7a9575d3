"""An argument fits its parameter exactly, or is refused: a GPU would read garbage."""

import numpy as np
import pytest

from aopnp.arrays.cuda_sim import SimulationError
from tests.cuda_sim.small import kernel

TYPES = {
    "bool": np.bool_,
    "char": np.int8,
    "unsigned char": np.uint8,
    "short": np.int16,
    "unsigned short": np.uint16,
    "int": np.int32,
    "unsigned": np.uint32,
    "long long": np.int64,
    "unsigned long long": np.uint64,
    "float": np.float32,
    "double": np.float64,
}


@pytest.mark.parametrize("declared", TYPES)
def test_of_all_types_exactly_one_fits(declared):
    f = kernel(
        f"{declared} scalar, const {declared}* __restrict__ in, {declared}* out",
        "out[0] = in[0]; out[1] = scalar;",
    )
    right = TYPES[declared]
    for given in TYPES.values():
        one, array, out = given(1), np.zeros(2, given), np.full(2, 1, right)
        if given is right:
            f((1,), (1,), (one, array, out))
            np.testing.assert_array_equal(out, np.array([0, 1], right))
            continue
        wanted = np.dtype(right).name
        with pytest.raises(
            TypeError, match=f"f: expected argument 0 to be a scalar of type {right.__name__}, got "
        ):
            f((1,), (1,), (one, np.zeros(2, right), out))
        with pytest.raises(
            TypeError,
            match=f"f: expected argument 1 to be an array of dtype {wanted}, got an array",
        ):
            f((1,), (1,), (right(1), array, out))
        assert (out == 1).all()  # refused before anything ran


def test_every_argument_in_its_place():
    f = kernel(
        "float a, double b, int c, long long d, bool e, double* out",
        "out[0] = a; out[1] = b; out[2] = c; out[3] = d; out[4] = e;",
    )
    out = np.zeros(5)
    f(
        (1,),
        (1,),
        (np.float32(0.5), np.float64(0.1), np.int32(-3), np.int64(2**40), np.bool_(True), out),
    )
    np.testing.assert_array_equal(out, [0.5, 0.1, -3, 2**40, 1])
    kernel("", ";")((1,), (1,), ())


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ((np.zeros(4),), TypeError, "expected 2 arguments, got 1"),
        (
            (np.zeros(4), 4),
            TypeError,
            r"argument 1 to be a scalar of type int32, got int 4; write np.int32\(...\)",
        ),
        (
            (np.zeros(4), np.int64(4)),
            TypeError,
            r"argument 1 to be a scalar of type int32, got int64 4",
        ),
        (
            (np.zeros(4), np.array(4, np.int32)),
            TypeError,
            "argument 1 to be a scalar .*, got an array of dtype int32",
        ),
        (
            (np.float64(1), np.int32(4)),
            TypeError,
            "argument 0 to be an array of dtype float64, got float64 1.0",
        ),
        (
            ([0.0] * 4, np.int32(4)),
            TypeError,
            r"argument 0 to be an array of dtype float64, got list \[0.0, ",
        ),
        (
            (np.zeros(4, ">f8"), np.int32(4)),
            TypeError,
            "array of dtype float64, got an array of dtype >f8",
        ),
        ((np.zeros(8)[::2], np.int32(4)), ValueError, "C-contiguous and aligned, got a view"),
        (
            (np.zeros(40, "i1")[1:33].view("f8"), np.int32(4)),
            ValueError,
            "C-contiguous and aligned, got a view",
        ),
        ((np.broadcast_to(0.0, (1,)), np.int32(1)), ValueError, "writeable, got a read-only array"),
    ],
)
def test_wrong_arguments_get_a_sentence(arguments, error, message):
    f = kernel("double* x, int n", "for (int i = 0; i < n; ++i) x[i] = 1;")
    with pytest.raises(error, match=message) as caught:
        f((1,), (1,), arguments)
    assert not isinstance(caught.value, SimulationError)


def test_a_pointer_to_const_may_point_to_a_read_only_array():
    x, out = np.full(1, 3.0), np.zeros(1)
    x.flags.writeable = False
    kernel("const double* x, double* out", "out[0] = x[0];")((1,), (1,), (x, out))
    assert out == 3
