"""A toy airplane that turns about one of its axes: yaw, pitch or roll (the warm-up set of GRW-smoothing; grw.md 6).

Our own renderer: a low-poly mesh, shaded by Lambert's cosine law, painted from the farthest face to the nearest on
white. The first pose has the same distribution whatever the class, so that the first frame says nothing about it, and
two frames tell it; speed and sense of the turn are random.

Axes of the airplane: x to the nose, y to the left wing tip, z up. Of the picture: x right, y up, z to the viewer.
Letters: V vertices, F faces, T frames, S side of the picture in pixels before it is halved.
"""

import itertools
import math
from typing import Final, Literal, get_args

import numpy as np
from numpy.typing import NDArray

Rotation = Literal["yaw", "pitch", "roll"]
AIRPLANE_CLASSES: Final = get_args(Rotation)
AXES: Final[dict[str, int]] = {"roll": 0, "pitch": 1, "yaw": 2}

Floats = NDArray[np.float64]

_SPEED_DEG_PER_S = (64.0, 128.0)
_START_DEG = 45.0
_AZIMUTH_DEG, _ELEVATION_DEG = 125.0, 25.0
"""The view from ahead and above that starting poses vary around."""
_DISTANCE = 4.0
"""Of the eye, in half lengths of the airplane."""
_FILL = 0.47
_SIDES = 8
_SPAN_PARTS = 3
_RINGS = ((1.0, 0.02, 0.0), (0.8, 0.1, 0.0), (0.35, 0.16, 0.02), (-0.3, 0.14, 0.02), (-1.0, 0.04, 0.06))
"""Of the fuselage: place, radius and height of the centre."""
_COLOUR = np.array([0.50, 0.68, 0.70])
_AMBIENT = 0.3
_LIGHT = np.array([0.35, 0.75, 0.56])


def render_airplane(
    rotation: str, draw: np.random.Generator, *, size: int, num_frames: int, rate_fps: float
) -> NDArray[np.uint8]:
    """The frames of one video: uint8 [T, H, W, 3].

    Args:
        rotation: yaw, pitch or roll.
        draw: Draws sense and speed of the turn, 8 to 16 degrees per 1/8 s, then the first pose, within 45 degrees of a
            three-quarter view about each axis.
        size: H and W, pixels.
        num_frames: T.
        rate_fps: Frames per second.
    """
    speed = math.radians(draw.uniform(*_SPEED_DEG_PER_S)) * (1 if draw.random() < 0.5 else -1)
    first = draw.uniform(-math.radians(_START_DEG), math.radians(_START_DEG), size=3)
    view = _about(0, math.radians(_ELEVATION_DEG - 90.0)) @ _about(2, math.radians(_AZIMUTH_DEG))
    start = view @ _about(2, first[0]) @ _about(1, first[1]) @ _about(0, first[2])
    poses = [start @ _about(AXES[rotation], speed * number / rate_fps) for number in range(num_frames)]
    return np.stack([_picture(pose, size=size) for pose in poses])


def _picture(pose: Floats, *, size: int) -> NDArray[np.uint8]:
    """One frame, uint8 [H, W, 3], painted at twice the size."""
    side = 2 * size
    seen_V3 = _VERTICES @ pose.T
    flat_V2 = seen_V3[:, :2] * (_FILL * side * (_DISTANCE - 1.0) / (_DISTANCE - seen_V3[:, 2:]))
    flat_V2 = flat_V2 * np.array([1.0, -1.0]) + side / 2
    corners_F33 = seen_V3[_FACES]
    normal_F3 = np.cross(corners_F33[:, 1] - corners_F33[:, 0], corners_F33[:, 2] - corners_F33[:, 0])
    normal_F3 /= np.linalg.norm(normal_F3, axis=1, keepdims=True)
    middle_F3 = corners_F33.mean(axis=1)
    to_eye_F3 = np.array([0.0, 0.0, _DISTANCE]) - middle_F3
    normal_F3 *= np.sign((normal_F3 * to_eye_F3).sum(axis=1, keepdims=True))  # plates are seen from both sides
    shade_F = _AMBIENT + (1.0 - _AMBIENT) * np.clip(normal_F3 @ (_LIGHT / np.linalg.norm(_LIGHT)), 0.0, 1.0)
    picture_SS3 = np.ones((side, side, 3))
    for face in np.argsort(-np.linalg.norm(to_eye_F3, axis=1), kind="stable"):
        _fill(picture_SS3, flat_V2[_FACES[face]], _COLOUR * shade_F[face])
    small = picture_SS3.reshape(size, 2, size, 2, 3).mean(axis=(1, 3))
    painted: NDArray[np.uint8] = np.rint(small * 255.0).astype(np.uint8)
    return painted


def _fill(picture_SS3: Floats, corners_32: Floats, colour: Floats) -> None:
    """Paint the pixels whose centre lies within a triangle of corners (x, y)."""
    side = len(picture_SS3)
    left, top = np.clip(np.floor(corners_32.min(axis=0)).astype(int), 0, side)
    right, bottom = np.clip(np.ceil(corners_32.max(axis=0)).astype(int), 0, side)
    y, x = np.mgrid[top:bottom, left:right] + 0.5
    edges = [
        (x - ax) * (by - ay) - (y - ay) * (bx - ax)
        for (ax, ay), (bx, by) in zip(corners_32, np.roll(corners_32, -1, axis=0), strict=True)
    ]
    inside = np.logical_and.reduce([edge >= 0 for edge in edges]) | np.logical_and.reduce([edge <= 0 for edge in edges])
    picture_SS3[top:bottom, left:right][inside] = colour


def _about(axis: int, angle: float) -> Floats:
    """The rotation by an angle about a coordinate axis."""
    cos, sin = math.cos(angle), math.sin(angle)
    first, second = (axis + 1) % 3, (axis + 2) % 3
    matrix = np.eye(3)
    matrix[[first, first, second, second], [first, second, first, second]] = cos, -sin, sin, cos
    return matrix


def _mesh() -> tuple[Floats, NDArray[np.int64]]:
    """Vertices [V, 3] and triangles [F, 3] of fuselage, wings, tail and fin."""
    faces: list[Floats] = []
    angles = np.linspace(0.0, 2.0 * math.pi, _SIDES, endpoint=False)
    rings = [
        np.stack([np.full(_SIDES, x), radius * np.cos(angles), height + radius * np.sin(angles)], axis=1)
        for x, radius, height in _RINGS
    ]
    for front, back in itertools.pairwise(rings):
        for one, two in zip(range(_SIDES), np.roll(range(_SIDES), -1), strict=True):
            faces += _quad(front[one], front[two], back[two], back[one])
    for sense in (1.0, -1.0):
        root = np.array([[0.35, 0.1 * sense, -0.02], [-0.15, 0.1 * sense, -0.02]])
        tip = np.array([[-0.05, 0.98 * sense, 0.08], [-0.3, 0.98 * sense, 0.08]])
        for part in range(_SPAN_PARTS):
            near, far = (root + (tip - root) * (part + end) / _SPAN_PARTS for end in (0, 1))
            faces += _quad(near[0], near[1], far[1], far[0])
        faces += _quad(
            np.array([-0.72, 0.03 * sense, 0.07]),
            np.array([-0.98, 0.03 * sense, 0.07]),
            np.array([-1.02, 0.4 * sense, 0.1]),
            np.array([-0.88, 0.4 * sense, 0.1]),
        )
    fin = ((-0.62, 0.08), (-0.98, 0.08), (-1.06, 0.48), (-0.9, 0.48))
    faces += _quad(*(np.array([x, 0.0, z]) for x, z in fin))
    corners_F33 = np.stack(faces)
    return corners_F33.reshape(-1, 3), np.arange(3 * len(faces)).reshape(-1, 3)


def _quad(a: Floats, b: Floats, c: Floats, d: Floats) -> list[Floats]:
    return [np.stack([a, b, c]), np.stack([a, c, d])]


_VERTICES, _FACES = _mesh()
