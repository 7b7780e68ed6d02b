"""Schemes: NumPy and torch give the same bits, and int4 those of the compressed-tensors library."""

import ml_dtypes
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from inference_backend.errors import CheckpointError
from inference_backend.quant import SCHEMES
from inference_backend.quant.arrays import KINDS
from inference_backend.quant.int4 import GROUP, Int4, pack, unpack
from inference_backend.quant.scheme import TINY

torch = pytest.importorskip("torch")
from inference_backend.model.weights import torch_view as to_torch  # noqa: E402

NAMES = {"bf16", "fp8", "int4"}
SHAPES = [(1, 32), (3, 64), (5, 160), (130, 96), (128, 128), (129, 288), (257, 32)]


def weights(shape: tuple[int, int], seed: int = 0) -> np.ndarray:
    """Like trained ones, with a group of zeros, a lone large weight and tiny ones."""
    w = np.random.default_rng(seed).normal(0, 0.02, shape).astype(np.float32)
    w[0, : GROUP // 2] *= 1e-30
    w[-1, :GROUP] = 0
    w[0, -1] = 3.5
    return w


def bits(x: np.ndarray) -> np.ndarray:
    return np.ascontiguousarray(x).reshape(-1).view(np.uint8)


def test_every_scheme_is_tested_here() -> None:
    assert set(SCHEMES) == NAMES
    assert all(SCHEMES[name].name == name for name in NAMES)


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("name", sorted(NAMES))
@pytest.mark.parametrize("kind", ["float32", "bfloat16"])
def test_torch_and_numpy_are_bit_equal(name: str, shape: tuple[int, int], kind: str) -> None:
    scheme = SCHEMES[name]
    w = weights(shape).astype(KINDS["BF16"] if kind == "bfloat16" else np.float32)
    ours, theirs = scheme.quantise(w), scheme.quantise(to_torch(w))
    announced = scheme.params(shape)
    assert ours.keys() == theirs.keys() == announced.keys()
    for suffix, array in ours.items():
        assert array.shape == announced[suffix].shape
        assert array.dtype == KINDS[announced[suffix].kinds[0]]
        np.testing.assert_array_equal(bits(array), bits(theirs[suffix].view(torch.uint8).numpy()))
    for rounded in (False, True):
        found = scheme.dequantise(ours, rounded=rounded)
        assert found.dtype == np.float32
        assert found.shape == shape
        torch_found = scheme.dequantise({s: to_torch(a) for s, a in ours.items()}, rounded=rounded)
        np.testing.assert_array_equal(bits(found), bits(torch_found.numpy()))
    x = np.random.default_rng(1).normal(size=(2, 3, shape[1])).astype(np.float32)
    np.testing.assert_allclose(scheme.matmul(x, ours), x @ scheme.dequantise(ours).T, rtol=1e-6, atol=1e-6)
    np.testing.assert_allclose(scheme.matmul(to_torch(x), theirs).numpy(), scheme.matmul(x, ours), rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("shape", SHAPES)
def test_int4_is_what_compressed_tensors_reads_and_writes(shape: tuple[int, int]) -> None:
    from compressed_tensors.compressors.pack_quantized import PackedQuantizationCompressor as Library
    from compressed_tensors.quantization import QuantizationArgs, QuantizationScheme

    args = QuantizationArgs(num_bits=4, type="int", symmetric=True, strategy="group", group_size=32)
    scheme = QuantizationScheme(targets=["Linear"], weights=args)
    w = weights(shape)
    ours = Int4().quantise(w)
    # write: the same words for the same weights and scales
    theirs = Library.compress({"weight": torch.from_numpy(w), "weight_scale": to_torch(ours["weight_scale"])}, scheme)
    np.testing.assert_array_equal(theirs["weight_packed"].numpy(), ours["weight_packed"])
    assert theirs["weight_shape"].tolist() == ours["weight_shape"].tolist() == list(shape)
    # read: the library answers in the scale's type
    state = {suffix: to_torch(array) for suffix, array in ours.items()}
    read = Library.decompress(state, scheme)["weight"]
    assert read.dtype == torch.bfloat16
    np.testing.assert_array_equal(bits(read.float().numpy()), bits(Int4().dequantise(ours, rounded=True)))
    exact = Library.decompress({**state, "weight_scale": state["weight_scale"].float()}, scheme)["weight"]
    np.testing.assert_array_equal(bits(exact.numpy()), bits(Int4().dequantise(ours)))


@pytest.mark.parametrize("columns", [1, 7, 8, 9, 31, 32, 33, 100])
def test_packing_is_the_librarys_for_any_width(columns: int) -> None:
    from compressed_tensors.compressors.pack_quantized.helpers import pack_to_int32, unpack_from_int32

    codes = np.random.default_rng(columns).integers(-8, 8, (5, columns)).astype(np.int8)
    packed = pack(codes)
    np.testing.assert_array_equal(packed, pack_to_int32(torch.from_numpy(codes), 4).numpy())
    np.testing.assert_array_equal(packed, pack(torch.from_numpy(codes)).numpy())
    np.testing.assert_array_equal(unpack(packed, columns), codes)
    np.testing.assert_array_equal(unpack_from_int32(torch.from_numpy(packed), 4, torch.Size((5, columns))), codes)


@pytest.mark.parametrize("columns", [8, 24, 33, 63])
def test_groups_that_do_not_fill_up_are_refused_as_by_the_library(columns: int) -> None:
    from compressed_tensors.quantization import QuantizationArgs
    from compressed_tensors.quantization.lifecycle.forward import quantize

    w = np.ones((2, columns), np.float32)
    with pytest.raises(CheckpointError, match="multiple"):
        Int4().quantise(w)
    args = QuantizationArgs(num_bits=4, type="int", symmetric=True, strategy="group", group_size=32)
    with pytest.raises(ValueError, match="divisble"):
        quantize(torch.from_numpy(w), torch.ones(2, 1), None, args)


def test_the_word_of_the_specification() -> None:
    """Column 8 j + i in bits 4 i of word j, as code + 8."""
    codes = np.array([[-8, -7, 0, 7, 1, 2, 3, -1]], np.int8)
    assert pack(codes).view(np.uint32)[0, 0] == 0x7BA9F810


matrices = hnp.arrays(
    np.float32,
    st.tuples(st.integers(1, 5), st.sampled_from([32, 64, 96])),
    elements=st.floats(-(2.0**60), 2.0**60, width=32),
)


@given(matrices)
def test_int4_is_off_by_half_a_scale_and_settles_at_once(w: np.ndarray) -> None:
    scheme = Int4()
    params = scheme.quantise(w)
    back = scheme.dequantise(params)
    scale = np.repeat(params["weight_scale"].astype(np.float64), GROUP, axis=1)
    assert (np.abs(w.astype(np.float64) - back) <= scale / 2 * (1 + 2**-20)).all()
    again = scheme.quantise(back)
    for suffix, array in params.items():
        np.testing.assert_array_equal(bits(again[suffix]), bits(array))


@given(matrices)
def test_fp8_is_off_by_half_a_step_and_settles_at_once(w: np.ndarray) -> None:
    scheme = SCHEMES["fp8"]
    params = scheme.quantise(w)
    back = scheme.dequantise(params)
    step = np.maximum(
        np.abs(w.astype(np.float64)) / 8, params["weight_scale_inv"].max() * 2.0**-9
    )  # 3 bits of mantissa
    assert (np.abs(w.astype(np.float64) - back) <= step / 2 * (1 + 1e-5)).all()
    again = scheme.quantise(back)
    np.testing.assert_array_equal(bits(again["weight"]), bits(params["weight"]))
    np.testing.assert_allclose(scheme.dequantise(again), back, rtol=2**-22)


@given(hnp.arrays(np.int8, st.tuples(st.integers(1, 4), st.integers(1, 40)), elements=st.integers(-8, 7)))
def test_packed_codes_come_back(codes: np.ndarray) -> None:
    np.testing.assert_array_equal(unpack(pack(codes), codes.shape[1]), codes)


def test_zeros_keep_a_scale_that_divides() -> None:
    for name in ("fp8", "int4"):
        params = SCHEMES[name].quantise(np.zeros((2, 64), np.float32))
        scales = params["weight_scale" if name == "int4" else "weight_scale_inv"].astype(np.float32)
        assert (scales == TINY).all()
        assert (SCHEMES[name].dequantise(params) == 0).all()


def test_fp8_equals_transformers() -> None:
    """Their quantisation multiplies by a reciprocal: scales within an ulp, dequantisation of ours exact."""
    from transformers.integrations.finegrained_fp8 import Fp8Dequantize

    w = weights((256, 384))
    params = SCHEMES["fp8"].quantise(w)
    theirs = Fp8Dequantize(None)._dequantize_one(
        to_torch(params["weight"]), to_torch(params["weight_scale_inv"]), torch.float32
    )
    np.testing.assert_array_equal(theirs.numpy(), SCHEMES["fp8"].dequantise(params))


def test_fp8_codes_are_the_nearest() -> None:
    """Against all 256 values of E4M3."""
    table = np.arange(256, dtype=np.uint8).view(ml_dtypes.float8_e4m3fn).astype(np.float64)
    table = table[np.isfinite(table)]
    w = np.random.default_rng(3).normal(0, 1, (128, 128)).astype(np.float32)
    params = SCHEMES["fp8"].quantise(w)
    scaled = (w / params["weight_scale_inv"][0, 0]).astype(np.float64)
    nearest = np.abs(scaled[..., None] - table).min(axis=-1)
    np.testing.assert_allclose(np.abs(scaled - params["weight"].astype(np.float64)), nearest, atol=1e-12)
