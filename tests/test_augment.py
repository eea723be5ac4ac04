from __future__ import annotations

import pytest
import torch
from closeness import rounding
from gpu import DEVICE, on_gpu

from nnlab_helpers.augment import Compose, Erase, Flip, Jitter, Noise, Rotate, Shift, rotate, shift


def seeded(seed=0):
    return torch.Generator().manual_seed(seed)


def batch(count=16, channels=1, height=20, width=28, dtype=torch.float32):
    return torch.rand(count, channels, height, width, generator=seeded(99)).to(dtype)


ALL = [
    Shift(3),
    Rotate(40),
    Flip(),
    Flip(vertical=True),
    Noise(0.1),
    Jitter(0.5, 0.5),
    Erase(1.0),
    Compose([Shift(2), Rotate(10), Noise(0.1)]),
]
IDENTITIES = [Shift(0), Rotate(0), Flip(0), Noise(0), Jitter(), Erase(0), Compose([])]


@pytest.mark.parametrize("transform", ALL, ids=repr)
class TestEveryTransform:
    @pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.float16, torch.uint8])
    @pytest.mark.parametrize("channels", [1, 3])
    def test_keeps_shape_dtype_and_range(self, transform, dtype, channels):
        x = batch(channels=channels)
        x = (x * 255).to(dtype) if dtype == torch.uint8 else x.to(dtype)
        y = transform(x, generator=seeded())
        assert (y.shape, y.dtype, y.device) == (x.shape, x.dtype, x.device)
        assert y.min() >= 0
        assert y.max() <= (255 if dtype == torch.uint8 else 1.001)
        assert not torch.equal(y, x)

    def test_leaves_its_input_alone(self, transform):
        x = batch()
        before = x.clone()
        transform(x, generator=seeded()).add_(1)
        assert torch.equal(x, before)

    def test_is_repeatable_and_leaves_the_global_generator_alone(self, transform):
        x = batch()
        state = torch.get_rng_state()
        assert torch.equal(transform(x, generator=seeded(3)), transform(x, generator=seeded(3)))
        assert not torch.equal(transform(x, generator=seeded(3)), transform(x, generator=seeded(4)))
        assert torch.equal(torch.get_rng_state(), state)

    def test_gives_each_image_its_own_change(self, transform):
        x = batch(1).expand(64, -1, -1, -1)
        y = transform(x, generator=seeded())
        assert len(torch.unique(y.flatten(1), dim=0)) >= 2

    def test_without_a_generator_uses_the_global_one(self, transform):
        x = batch()
        torch.manual_seed(5)
        first = transform(x)
        torch.manual_seed(5)
        assert torch.equal(transform(x), first)

    def test_takes_an_empty_batch(self, transform):
        assert transform(batch(0)).shape == (0, 1, 20, 28)

    @pytest.mark.parametrize("shape", [(28, 28), (1, 28, 28), (1, 1, 1, 28, 28)])
    def test_refuses_other_shapes(self, transform, shape):
        with pytest.raises(ValueError, match=r"\[B, C, H, W\]"):
            transform(torch.zeros(shape))

    def test_refuses_other_dtypes(self, transform):
        with pytest.raises(TypeError, match="int64"):
            transform(torch.zeros(2, 1, 28, 28, dtype=torch.int64))

    def test_shows_its_parameters(self, transform):
        text = repr(transform)
        assert text.startswith(type(transform).__name__)
        assert repr(eval(text)) == text


@pytest.mark.parametrize("transform", IDENTITIES, ids=repr)
@pytest.mark.parametrize("dtype", [torch.float32, torch.uint8])
def test_parameters_that_change_nothing(transform, dtype):
    x = (batch() * 255).to(dtype) if dtype == torch.uint8 else batch()
    y = transform(x, generator=seeded())
    torch.testing.assert_close(y, x, atol=rounding(steps=128), rtol=0)
    assert y.data_ptr() != x.data_ptr()


def test_shift_matches_torchvision():
    from torchvision.transforms.v2 import functional as reference

    x = batch(6, 3)
    down, right = torch.tensor([0, 3, -3, 1, -2, 0]), torch.tensor([0, -3, 3, 2, -1, 1])
    got = shift(x, down, right, 3, fill=0.5)
    for i in range(6):
        expected = reference.affine(
            x[i], angle=0, translate=[int(right[i]), int(down[i])], scale=1, shear=[0.0], fill=0.5
        )
        assert torch.equal(got[i], expected)


@pytest.mark.parametrize("size", [(28, 28), (20, 33), (33, 20)])
@pytest.mark.parametrize("fill", [0.0, 0.7])
def test_rotate_matches_torchvision(size, fill):
    from torchvision.transforms import InterpolationMode
    from torchvision.transforms.v2 import functional as reference

    x = batch(5, 2, *size)
    degrees = torch.tensor([0.0, 30.0, -77.0, 90.0, 180.0])
    got = rotate(x, degrees, fill)
    for i in range(5):
        if fill:  # torchvision blends its fill in another way at the rim: compare without
            expected = reference.rotate(x[i] - fill, float(degrees[i]), interpolation=InterpolationMode.BILINEAR) + fill
        else:
            expected = reference.rotate(x[i], float(degrees[i]), interpolation=InterpolationMode.BILINEAR)
        torch.testing.assert_close(got[i], expected, atol=1e-4, rtol=0)


def test_a_quarter_turn_is_anticlockwise():
    x = batch(1, 1, 28, 28)
    torch.testing.assert_close(rotate(x, torch.tensor([90.0])), x.rot90(1, (2, 3)), atol=1e-4, rtol=0)


def test_shift_reaches_every_offset_about_equally():
    x = torch.zeros(5000, 1, 9, 9)
    x[:, :, 4, 4] = 1
    y = Shift(2)(x, generator=seeded())
    hits = y.sum(dim=(0, 1))
    assert hits[2:7, 2:7].sum() == 5000
    assert hits[2:7, 2:7].min() > 130  # 200 expected, deviation 14
    assert hits[2:7, 2:7].max() < 270


def test_rotate_stays_within_its_limit_and_reaches_it():
    x = torch.zeros(2000, 1, 33, 33)
    x[:, :, 16, 26] = 1  # ten pixels right of the centre
    y = Rotate(30)(x, generator=seeded())
    rows, columns = torch.arange(33.0) - 16, torch.arange(33.0) - 16
    mass = y.sum(dim=(1, 2, 3))
    down = (y.sum(dim=(1, 3)) * rows).sum(1) / mass
    right = (y.sum(dim=(1, 2)) * columns).sum(1) / mass
    degrees = torch.rad2deg(torch.atan2(-down, right))
    assert -31 < degrees.min() < -28
    assert 28 < degrees.max() < 31
    assert abs(degrees.mean()) < 2


@pytest.mark.parametrize(("vertical", "dim"), [(False, -1), (True, -2)])
def test_flip_mirrors_the_right_share(vertical, dim):
    x = batch(2000)
    y = Flip(0.3, vertical)(x, generator=seeded())
    mirrored = (y == x.flip(dim)).flatten(1).all(1)
    same = (y == x).flatten(1).all(1)
    assert (mirrored ^ same).all()
    assert 0.26 < mirrored.float().mean() < 0.34
    assert torch.equal(Flip(1, vertical)(x), x.flip(dim))


def test_noise_has_its_standard_deviation():
    x = torch.full((50, 1, 28, 28), 0.5)
    y = Noise(0.05)(x, generator=seeded())
    assert (y - x).std().item() == pytest.approx(0.05, rel=0.03)
    wild = Noise(1.0)(x, generator=seeded())
    assert (wild.min(), wild.max()) == (0, 1)
    assert Noise(1.0, clamp=False)(x, generator=seeded()).max() > 2


@pytest.mark.parametrize("kind", ["brightness", "contrast", "saturation"])
def test_jitter_matches_torchvision(kind, monkeypatch):
    from torchvision.transforms.v2 import functional as reference

    x = batch(6, 3)
    factors = torch.linspace(0.5, 1.5, 6)
    monkeypatch.setattr(Jitter, "_factor", staticmethod(lambda *_: factors.view(-1, 1, 1, 1)))
    got = Jitter(**{kind: 0.5})(x)
    for i in range(6):
        expected = getattr(reference, f"adjust_{kind}")(x[i], float(factors[i]))
        torch.testing.assert_close(got[i], expected, atol=rounding(steps=128), rtol=0)


def test_jitter_factors_fill_their_range():
    x = torch.full((2000, 1, 2, 2), 0.4)
    factor = Jitter(brightness=0.3)(x, generator=seeded())[:, 0, 0, 0] / 0.4
    assert 0.699 < factor.min() < 0.71
    assert 1.29 < factor.max() < 1.301
    assert (Jitter(brightness=3.0)(x, generator=seeded()) >= 0).all()


def test_jitter_saturation_needs_colour():
    with pytest.raises(ValueError, match="RGB"):
        Jitter(saturation=0.1)(batch())


def test_erase_covers_one_rectangle_of_the_right_size():
    x = torch.ones(3000, 1, 40, 30)
    y = Erase(0.7, area=(0.1, 0.2), aspect=(0.5, 2.0), value=0.25)(x, generator=seeded())
    gone = y[:, 0] != 1
    assert (y[:, 0][gone] == 0.25).all()
    hit = gone.flatten(1).any(1)
    assert 0.67 < hit.float().mean() < 0.73
    rows, columns = gone.any(2).sum(1)[hit], gone.any(1).sum(1)[hit]
    cells = gone.flatten(1).sum(1)[hit]
    assert torch.equal(rows * columns, cells), "not a rectangle"
    share = cells / (40 * 30)
    assert 0.08 < share.min() < 0.12  # sides are whole pixels
    assert 0.18 < share.max() < 0.22
    ratio = rows / columns
    assert 0.4 < ratio.min() < 0.6
    assert 1.7 < ratio.max() < 2.3
    # Every place is reached, the four corners too.
    often = gone.float().mean(0)
    assert min(often[0, 0], often[0, -1], often[-1, 0], often[-1, -1]) > 0


def test_erase_gives_up_where_nothing_fits():
    x = torch.ones(8, 1, 4, 40)
    assert torch.equal(Erase(1.0, area=(0.9, 0.9), aspect=(1, 1))(x, generator=seeded()), x)


def test_compose_is_its_parts_in_order():
    x = batch()
    shifted, turned = Shift(3), Rotate(20)
    one, two = seeded(1), seeded(1)
    assert torch.equal(Compose([shifted, turned])(x, generator=one), turned(shifted(x, generator=two), generator=two))


def test_compose_takes_any_function():
    def invert(x, generator=None):
        return 1 - x

    assert torch.equal(Compose([invert])(batch()), 1 - batch())
    with pytest.raises(TypeError, match="transforms"):
        Compose([3])


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Shift(-1), "max_pixels"),
        (lambda: Shift(1.5), "max_pixels"),
        (lambda: Shift(True), "max_pixels"),
        (lambda: Shift(2, fill=float("nan")), "fill"),
        (lambda: Rotate(-1), "max_degrees"),
        (lambda: Rotate(181), "max_degrees"),
        (lambda: Flip(1.1), "p must"),
        (lambda: Noise(-0.1), "std"),
        (lambda: Noise(float("inf")), "std"),
        (lambda: Jitter(brightness=-1), "brightness"),
        (lambda: Jitter(contrast=-1), "contrast"),
        (lambda: Jitter(saturation=-1), "saturation"),
        (lambda: Erase(-0.5), "p must"),
        (lambda: Erase(area=(0.0, 0.5)), "area"),
        (lambda: Erase(area=(0.5, 0.2)), "area"),
        (lambda: Erase(area=(0.5, 1.2)), "area"),
        (lambda: Erase(aspect=(0, 1)), "aspect"),
    ],
)
def test_bad_parameters(make, message):
    with pytest.raises(ValueError, match=message):
        make()


@pytest.mark.parametrize("transform", [Shift(1, fill=-1), Shift(1, fill=0.5), Erase(1.0, value=256)])
def test_a_filling_that_is_no_byte(transform):
    with pytest.raises(ValueError, match="is no uint8 pixel"):
        transform((batch() * 255).to(torch.uint8))
    assert transform(batch()).shape == batch().shape


def test_shift_beyond_the_image():
    with pytest.raises(ValueError, match="out of sight"):
        Shift(20)(batch())


@on_gpu
@pytest.mark.parametrize("transform", ALL, ids=repr)
def test_on_a_gpu(transform):
    x = batch().to(DEVICE)
    y = transform(x, generator=torch.Generator(DEVICE).manual_seed(0))
    assert (y.shape, y.dtype, y.device) == (x.shape, x.dtype, x.device)
    with pytest.raises(ValueError, match="generator"):
        transform(x, generator=seeded())
