"""Label maps made elsewhere: by any program, for the synthetic images and for the references."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from recontrast.errors import DataError
from recontrast.evaluation.segmentation import SEGMENTERS, Segmentation, SegmentationInput, Segmenter
from recontrast.evaluation.segmentation.freesurfer import structures_of
from recontrast.io.bids import sidecar_path
from recontrast.io.nifti import read_volume
from recontrast.io.tables import read_table, require_columns
from recontrast.volume import Volume, require_same_grid


@SEGMENTERS.register("labels")
class Labels(Segmenter):
    """Reads a label map. Names come from the `.tsv` beside it (index, name), else they are FreeSurfer's."""

    title = "label maps made elsewhere"

    def version(self) -> str:
        """Unknown: it stands with the program that made the maps."""
        return "as given"

    def segment(self, given: SegmentationInput) -> Segmentation:
        """Read the map and put its voxels in the order of the image.

        Raises:
            DataError: No label map is given, or it has no known label.
            GeometryError: It lies on another grid.
        """
        if given.labels is None:
            raise DataError(
                f"{given.what}: no label map; give --labels FOLDER with a subfolder reference and a subfolder "
                "synthetic that hold sub-01_dseg.nii.gz"
            )
        return read_labels(given.labels, given.image, given.what)


def read_labels(path: Path, image: Volume, what: str) -> Segmentation:
    """Read a label map as a segmentation of `image`.

    Args:
        path: NIfTI label map; a table of its names may lie beside it (same name, `.tsv`; columns index, name).
        image: The image it divides.
        what: Names the image in messages.

    Raises:
        DataError: It has no known label.
        GeometryError: It lies on another grid.
        FormatError: A file cannot be read.
    """
    labels = read_volume(path, np.int32).reoriented(image.orientation)
    require_same_grid(image, labels, f"{what}: image and label map {path.name}")
    table = sidecar_path(path).with_suffix(".tsv")
    present = {int(number) for number in np.unique(labels.data) if number != 0}
    if table.is_file():
        content = read_table(table, text_columns=("name",))
        require_columns(table, content, ("index", "name"))
        structures: dict[str, tuple[int, ...]] = {}
        for index, name in zip(content["index"], content["name"], strict=True):
            if int(index) != 0:
                structures[str(name)] = (*structures.get(str(name), ()), int(index))
    else:
        structures = structures_of(present)
    if not structures:
        raise DataError(
            f"{path}: none of its labels ({', '.join(map(str, sorted(present)[:8])) or 'it is empty'}) has a "
            f"FreeSurfer number; put {table.name} (columns index, name) beside it"
        )
    return Segmentation(Volume(labels.data, image.affine), structures)
