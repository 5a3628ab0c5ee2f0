"""Reading requests (bodies, limits) and writing answers (JSON, DICOM, problem documents)."""
