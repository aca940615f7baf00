"""Cars and people of the rendered street, as meshes of a few dozen faces.

Who is where is a function of time alone, so that a picture can be rendered again.
"""

from __future__ import annotations

import itertools
import math
from dataclasses import dataclass

import numpy as np

from lsm_monitor.demo.scene_paint import Face
from lsm_monitor.demo.scene_style import SceneStyle
from lsm_monitor.demo.scene_view import Floats

Corner = tuple[float, float, float]
_PAINTS = (
    (196, 198, 202),
    (58, 62, 68),
    (148, 40, 36),
    (52, 74, 118),
    (128, 130, 132),
    (226, 226, 222),
    (34, 36, 38),
)
_COATS = ((52, 66, 96), (128, 46, 44), (64, 70, 62), (170, 140, 70))
_GLASS = (46, 54, 62)
_HALF_WIDTH_M = 0.88
# Outline of a saloon seen from its side: (along, up) in metres, front first, z forward.
_OUTLINE_M = (
    (2.15, 0.28),
    (2.18, 0.62),
    (2.0, 0.78),
    (1.0, 0.93),
    (0.35, 1.4),
    (-0.95, 1.42),
    (-1.65, 0.98),
    (-2.12, 0.95),
    (-2.15, 0.3),
)
_WINDSCREEN, _REAR_WINDOW = 3, 5
_SIDE_WINDOWS_M = (
    ((0.86, 0.95), (0.3, 1.34), (-0.22, 1.36), (-0.22, 0.95)),
    ((-0.3, 0.95), (-0.3, 1.36), (-0.9, 1.36), (-1.4, 1.0)),
)
_CABIN_M = _OUTLINE_M[3:7]
_CABIN_FROM_M = 0.99  # at this height begins what is narrower than the doors
_AXLES_M = (1.35, -1.35)
_WHEEL_RADIUS_M = 0.33
_SPEED_M_PER_S = 5.5
_WALK_M_PER_S = 1.3
_FAR_M = 75.0


@dataclass(frozen=True, slots=True)
class Actor:
    """Something that moves or could: where it is, and which way it goes.

    Attributes:
        x_m: Across the road.
        z_m: Along the road.
        heading: +1 away from the camera, -1 towards it.
        kind: Its number in the traffic; chooses its colour.
        is_car: Otherwise it is a person.
    """

    x_m: float
    z_m: float
    heading: int
    kind: int
    is_car: bool


def cars_at(style: SceneStyle, t_s: float) -> list[Actor]:
    """Return the cars that drive at ``t_s``: one lane each way, keeping left or right."""
    if style.cars_per_minute < 0.1:  # noqa: PLR2004 - none in ten minutes
        return []
    rng = np.random.default_rng(style.seed)
    gap_m = 60.0 / style.cars_per_minute * 2 * _SPEED_M_PER_S
    cars = []
    for heading in (1, -1):
        lane_x_m = heading * style.road_width_m * 0.24
        shift_m = rng.uniform(0, gap_m)
        travelled_m = t_s * _SPEED_M_PER_S + shift_m
        newest = int(travelled_m // gap_m)
        for number in range(newest, newest - int(_FAR_M / gap_m) - 2, -1):
            way_m = travelled_m - number * gap_m
            if way_m <= _FAR_M:
                z_m = way_m if heading > 0 else _FAR_M - way_m
                wobble_m = 0.25 * np.sin(number * 2.1)
                kind = number * 3 + (heading > 0)
                cars.append(Actor(lane_x_m + wobble_m, z_m, heading, kind, is_car=True))
    return cars


def walkers_at(style: SceneStyle, t_s: float) -> list[Actor]:
    """Return the people who walk at ``t_s``, one on each pavement."""
    way_m = t_s * _WALK_M_PER_S + style.seed % 17
    side_m = style.road_width_m / 2 + 1.4
    return [
        Actor(side_m, 8 + way_m % 40, 1, style.seed, is_car=False),
        Actor(-side_m - 0.3, 44 - (way_m + 13) % 40, -1, style.seed + 1, is_car=False),
    ]


def car_faces(car: Actor, light: float, *, lamps: bool) -> list[Face]:
    """Return the mesh of ``car``.

    Args:
        car: Where it stands.
        light: Brightness of the day, [0, 1].
        lamps: Whether its lamps are on.
    """
    paint = np.array(_PAINTS[car.kind % len(_PAINTS)], np.float32)
    faces = []
    for index, (front, back) in enumerate(itertools.pairwise(_OUTLINE_M)):
        inset = _cabin_inset_m(front[1]), _cabin_inset_m(back[1])
        corners = [
            (-_HALF_WIDTH_M + inset[0], front[1], front[0]),
            (_HALF_WIDTH_M - inset[0], front[1], front[0]),
            (_HALF_WIDTH_M - inset[1], back[1], back[0]),
            (-_HALF_WIDTH_M + inset[1], back[1], back[0]),
        ]
        # The outline runs from the front over the roof to the back: its normal is outwards.
        outwards = (0.0, front[0] - back[0], back[1] - front[1])
        is_glass = index in (_WINDSCREEN, _REAR_WINDOW)
        upwards = outwards[1] / math.hypot(*outwards)
        colour = np.array(_GLASS) * 1.3 if is_glass else paint * (0.5 + 0.55 * upwards)
        faces.append(_face(car, corners, colour * light, outwards))
    for side in (-1, 1):
        faces += _side_faces(car, side, paint, light)
    faces += _end_faces(car, light, lamps=lamps)
    return faces


def _cabin_inset_m(up_m: float) -> float:
    return 0.0 if up_m < _CABIN_FROM_M else 0.18  # the roof is narrower than the doors


def _side_faces(car: Actor, side: int, paint: Floats, light: float) -> list[Face]:
    x_m = side * _HALF_WIDTH_M
    outwards = (float(side), 0.0, 0.0)
    body = [(x_m, up, along) for along, up in _OUTLINE_M if up < _CABIN_FROM_M]
    cabin = [(x_m * (1 if up < _CABIN_FROM_M else 0.8), up, along) for along, up in _CABIN_M]
    faces = [
        _face(car, body, paint * 0.66 * light, outwards),
        _face(car, cabin, paint * 0.6 * light, outwards),
    ]
    for window in _SIDE_WINDOWS_M:
        corners = [(x_m * (1.0 - 0.2 * (up - 0.95) / 0.45), up, along) for along, up in window]
        faces.append(_face(car, corners, np.array(_GLASS) * light, outwards, is_detail=True))
    angles = np.linspace(0, 2 * np.pi, 12, endpoint=False)
    for axle_m in _AXLES_M:
        for radius_m, grey in ((_WHEEL_RADIUS_M, 24.0), (0.18, 96.0)):
            wheel = [
                (x_m, _WHEEL_RADIUS_M + radius_m * np.sin(a), axle_m + radius_m * np.cos(a))
                for a in angles
            ]
            colour = np.full(3, grey * light)
            faces.append(_face(car, wheel, colour, outwards, is_detail=True))
    return faces


def _end_faces(car: Actor, light: float, *, lamps: bool) -> list[Face]:
    """Return lamps, number plates and the dark grille."""
    white, red = np.array((255, 246, 220)), np.array((226, 40, 30))
    dim_white, dim_red = np.array((176, 180, 184)) * light, np.array((120, 24, 22)) * light
    plate, grille = np.array((206, 206, 196)) * light, np.full(3, 30) * light
    parts = [
        (2.17, (-0.6, 0.6), (0.44, 0.58), grille),
        (2.18, (-0.26, 0.26), (0.36, 0.46), plate),
        (-2.16, (-0.26, 0.26), (0.6, 0.7), plate),
    ]
    for left_m in (-0.84, 0.54):
        parts.append((2.19, (left_m, left_m + 0.3), (0.6, 0.72), white if lamps else dim_white))
        parts.append((-2.16, (left_m, left_m + 0.3), (0.68, 0.84), red if lamps else dim_red))
    faces = []
    for z_m, (left_m, right_m), (low_m, high_m), colour in parts:
        corners = [
            (left_m, low_m, z_m),
            (right_m, low_m, z_m),
            (right_m, high_m, z_m),
            (left_m, high_m, z_m),
        ]
        faces.append(_face(car, corners, colour, (0.0, 0.0, np.sign(z_m)), is_detail=True))
    return faces


def walker_faces(walker: Actor, light: float, *, umbrella: bool) -> list[Face]:
    """Return the mesh of a person; see :func:`car_faces`."""
    coat = np.array(_COATS[walker.kind % len(_COATS)], np.float32) * light
    step_m = 0.28 * np.sin(walker.z_m * 4.2)
    angles = np.linspace(0, 2 * np.pi, 10, endpoint=False)
    parts: list[tuple[list[Corner], Floats]] = []
    for swing_m in (step_m, -step_m):
        leg = [
            (-0.09, 0.85, 0.0),
            (0.09, 0.85, 0.0),
            (0.08, 0.0, swing_m),
            (-0.08, 0.0, swing_m),
        ]
        parts.append((leg, np.array((38, 40, 50)) * light))
    torso = [(-0.24, 1.4, 0.0), (0.24, 1.4, 0.0), (0.2, 0.75, 0.0), (-0.2, 0.75, 0.0)]
    parts.append((torso, coat))
    head = [(0.12 * np.cos(a), 1.58 + 0.14 * np.sin(a), 0.0) for a in angles]
    parts.append((head, np.array((150, 112, 92)) * light))
    if umbrella:
        dome = [(0.55 * np.cos(a), 1.7 + 0.4 * abs(np.sin(a)), 0.0) for a in angles[:6]]
        parts.append((dome, coat[::-1] * 0.7))
    # Flat and turned to the camera, which is towards smaller z.
    outwards = (0.0, 0.0, -float(walker.heading))
    return [_face(walker, corners, colour, outwards) for corners, colour in parts]


def _face(
    actor: Actor,
    corners: list[Corner],
    colour: Floats,
    outwards: tuple[float, float, float],
    *,
    is_detail: bool = False,
) -> Face:
    points, normal = np.array(corners, np.float32), np.array(outwards, np.float32)
    for turned in (points, normal[None]):
        turned[:, [0, 2]] *= actor.heading  # turned around, not mirrored
    points += np.array((actor.x_m, 0.0, actor.z_m), np.float32)
    red, green, blue = np.clip(colour, 0, 255)
    return Face(points, (float(red), float(green), float(blue)), normal, is_detail)
