"""Area averaging is OpenCV's `INTER_AREA`."""

import cv2
import numpy as np
import pytest

from worldmodels.envs.area_resize import area_resize


def reference(screen, size):
    return cv2.resize(screen, (size, size), interpolation=cv2.INTER_AREA)


def test_the_default_screen_is_exact():
    screen = np.random.default_rng(0).integers(0, 256, (100, 160, 3), np.uint8)
    np.testing.assert_array_equal(area_resize(screen, 64), reference(screen, 64))


@pytest.mark.parametrize("shape", [(200, 320), (400, 640), (120, 160), (64, 64), (67, 129), (100, 65)])
def test_other_screens_are_within_one(shape):
    screen = np.random.default_rng(1).integers(0, 256, (*shape, 3), np.uint8)
    difference = area_resize(screen, 64).astype(int) - reference(screen, 64)
    assert np.abs(difference).max() <= 1


@pytest.mark.parametrize("value", [0, 1, 127, 254, 255])
def test_a_flat_screen_stays_flat(value):
    screen = np.full((100, 160, 3), value, np.uint8)
    assert (area_resize(screen, 64) == value).all()


def test_a_view_of_a_larger_screen():
    screen = np.random.default_rng(2).integers(0, 256, (120, 160, 3), np.uint8)
    np.testing.assert_array_equal(area_resize(screen[:100], 64), area_resize(screen[:100].copy(), 64))
