"""DICOM folders to a BIDS data set."""
