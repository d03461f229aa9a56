"""From the bytes of a file to grey levels: formats, limits, DICOM, worker pool."""
