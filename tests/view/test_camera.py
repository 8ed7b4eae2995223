"""A camera without perspective."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from jaxdem_ac.view.figures.camera import ABOVE, Camera

POINTS = np.random.default_rng(0).normal(size=(20, 3))


@given(st.floats(-90, 90), st.floats(-360, 360))
def test_it_turns_and_changes_no_size(elevation: float, azimuth: float) -> None:
    camera = Camera(elevation, azimuth)
    np.testing.assert_allclose(camera.axes @ camera.axes.T, np.eye(3), atol=1e-12)
    assert np.linalg.det(camera.axes) > 0
    seen = camera.project(POINTS)
    np.testing.assert_allclose(np.linalg.norm(seen, axis=-1), np.linalg.norm(POINTS, axis=-1))


def test_a_plane_is_seen_as_it_is() -> None:
    flat = POINTS[:, :2]
    np.testing.assert_allclose(ABOVE.project(flat), np.column_stack([flat, np.zeros(20)]), atol=1e-12)


def test_from_the_side_x_comes_nearer() -> None:
    np.testing.assert_allclose(Camera(0.0, 0.0).project(POINTS), POINTS[:, [1, 2, 0]], atol=1e-12)
