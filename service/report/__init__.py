"""A prediction as a DICOM structured report."""
