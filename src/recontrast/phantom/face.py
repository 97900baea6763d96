"""Below and in front of the brain: orbits and eyes, nose and sinuses, jaws, tongue, pharynx, petrous bone.

Positions are MNI millimetres, read off the usual landmarks of the average head and rounded.
"""

from __future__ import annotations

import numpy as np

from recontrast.phantom.canvas import Canvas, Point, soft
from recontrast.phantom.grids import Array


def paint_face(canvas: Canvas, distance: Array, texture: Array) -> None:
    """Paint the face and the base of the skull.

    Args:
        canvas: Soft tissue is already there.
        distance: Distance from the brain's surface, mm; nothing is painted inside the skull.
        texture: A smooth random field that makes air cells and cancellous bone uneven.
    """
    outside = soft((distance - 2.0) / 2.0)
    for side in (-1, 1):
        _paint_bones(canvas, side, outside, texture)
        _paint_sinuses(canvas, side, outside)
    _paint_airway(canvas, outside)
    for side in (-1, 1):
        _paint_orbit(canvas, side, outside)
    _paint_nose(canvas)


def _at(side: int, *points: Point) -> tuple[Point, ...]:
    return tuple((side * x, y, z) for x, y, z in points)


def _paint_bones(canvas: Canvas, side: int, outside: Array, texture: Array) -> None:
    """Mandible, maxilla, cheek bone, petrous bone, mastoid; and the soft bodies between them."""
    jaw = _at(side, (47, 2, -52), (46, 6, -98), (30, 56, -118), (0, 80, -121))
    canvas.tube("skull", jaw, 6.0, outside)
    canvas.tube("marrow", jaw, 3.6, outside)
    cheek = _at(side, (42, 66, -56), (60, 48, -52), (66, 18, -48), (66, -8, -46))
    canvas.tube("skull", cheek, 4.2, outside)
    canvas.tube("marrow", cheek, 2.2, outside)
    teeth = _at(side, (27, 42, -92), (20, 66, -92), (0, 78, -92))
    canvas.tube("skull", teeth, 5.5, outside)
    palate = _at(side, (4, 40, -80), (4, 74, -80))
    canvas.tube("skull", palate, 4.0, outside)
    canvas.tube("marrow", palate, 2.0, outside)
    clivus = _at(side, (4, -4, -40), (4, -20, -62))
    canvas.tube("skull", clivus, 6.5, outside)
    canvas.tube("marrow", clivus, 4.8, outside)
    canvas.tube("skull", _at(side, (58, -30, -44), (34, -22, -42), (16, -8, -42)), 8.5, outside)
    canvas.blob("skull", (side * 54, -36, -50), (13, 15, 19), 1.0, outside)
    canvas.blob("marrow", (side * 54, -40, -58), (9, 9, 10), 0.5, outside)
    cells = soft((texture - 0.3) * 3)
    canvas.blob("air", (side * 54, -34, -46), (10, 12, 14), 0.9, outside * cells)
    canvas.tube("air", _at(side, (92, -24, -44), (58, -22, -43)), 3.0, outside)
    # Fluid of the inner ear, bright on T2w.
    canvas.blob("CSF", (side * 26, -26, -38), (4.0, 2.2, 2.2))
    canvas.blob("fat", (side * 60, -4, -78), (10, 15, 20), 0.55, outside)
    canvas.blob("fat", (side * 45, 48, -82), (9, 14, 16), 0.9, outside)
    canvas.blob("fat", (side * 22, 4, -78), (5, 8, 16), 0.7, outside)


def _paint_sinuses(canvas: Canvas, side: int, outside: Array) -> None:
    """Maxillary, frontal, ethmoid and sphenoid sinuses: air, lined with mucosa, in a shell of bone."""
    sinuses: tuple[tuple[Point, Point], ...] = (
        ((29, 54, -70), (12, 16, 14)),
        ((9, 83, -14), (8, 4, 9)),
        ((8, 52, -40), (5, 20, 10)),
        ((7, 15, -48), (6, 11, 8)),
    )
    for (x, y, z), radii in sinuses:
        a, b, c = radii
        canvas.blob("skull", (side * x, y, z), (a + 2.4, b + 2.4, c + 2.4), 1.0, outside)
        canvas.blob("mucosa", (side * x, y, z), (a + 1.2, b + 1.2, c + 1.2), 1.0, outside)
        canvas.blob("air", (side * x, y, z), radii, 1.0, outside)


def _paint_airway(canvas: Canvas, outside: Array) -> None:
    """Nasal cavity with septum and turbinates, pharynx, tongue."""
    canvas.blob("muscle", (0, 44, -103), (23, 31, 16), 1.0, outside)
    canvas.blob("fat", (0, 44, -103), (20, 27, 13), 0.22, outside)
    canvas.blob("mucosa", (0, 58, -64), (16, 34, 18), 1.0, outside)
    canvas.blob("air", (0, 58, -64), (14, 32, 16), 1.0, outside)
    canvas.tube("mucosa", ((0, 12, -58), (0, 4, -74), (0, 0, -100), (0, 0, -138)), 10.5, outside)
    canvas.tube("air", ((0, 30, -66), (0, 12, -64), (0, 5, -76), (0, 2, -100), (0, 2, -138)), 7.5, outside)
    canvas.blob("mucosa", (0, 2, -32), (6, 4.5, 3.5))
    for height, length in ((-58, 70), (-70, 82)):
        for side in (-1, 1):
            canvas.tube("mucosa", _at(side, (8, 36, height), (8, length, height)), 3.6)
    box = canvas.box((-3, 30, -82), (3, 96, -46))
    if box is not None:
        x = canvas.grid.axes()[0][box[0]][:, None, None]
        sheet = np.broadcast_to(soft((1.2 - np.abs(x)) / canvas.grid.spacing[0]), canvas.fractions[(0, *box)].shape)
        canvas.lay("mucosa", sheet * (canvas.fractions[(slice(None), *box)].sum(axis=0) < 0.9), box)


def _paint_nose(canvas: Canvas) -> None:
    """Nostrils."""
    for side in (-1, 1):
        canvas.tube("air", _at(side, (5, 84, -74), (6, 100, -80), (6, 102, -90)), 3.4)


def _paint_orbit(canvas: Canvas, side: int, outside: Array) -> None:
    """A cone of fat in a shell of bone, with the eye, its muscles and the optic nerve."""
    centre = (31.0, 70.0, -40.0)
    apex = (14.0, 24.0, -36.0)
    canvas.blob("skull", (side * 28, 52, -40), (18.5, 29, 18), 1.0, outside)
    canvas.blob("fat", (side * 29, 56, -40), (16.5, 30, 16), 1.0, outside)
    for dx, dz in ((12, 0), (-12, 0), (0, 12), (0, -12)):
        insertion = (centre[0] + dx, centre[1] + 2, centre[2] + dz)
        middle = (centre[0] + dx - 5, centre[1] - 22, centre[2] + 0.9 * dz)
        canvas.tube("muscle", _at(side, apex, middle, insertion), 2.0)
    nerve = _at(side, (8, 14, -28), apex, (centre[0] - 1, centre[1] - 11, centre[2]))
    canvas.tube("CSF", nerve, 3.0, outside)
    canvas.tube("nerve", nerve, 1.9, outside)
    place = (side * centre[0], centre[1], centre[2])
    canvas.blob("meninges", place, (12.9, 12.9, 12.6))
    canvas.blob("eyes", place, (11.9, 11.9, 11.6))
    canvas.blob("lens", (side * centre[0], centre[1] + 8.6, centre[2]), (4.6, 2.2, 4.6))
