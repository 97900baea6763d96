"""DICOM series to volumes and back. Everything that is DICOM (LPS, milliseconds, pydicom) stays in this folder."""
