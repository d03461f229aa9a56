"""DICOM: read films and the few tags that are needed, and let nobody's name out.

`film.py` is the door. What imports pydicom (`reader.py`, `pixels.py`, `tags.py`) is loaded when the
first file is read; what may crash is decoded in another process (`apart.py`, `worker.py`).
"""

from cxresnet.data.dicom.film import (
    DicomFilm,
    DicomHeader,
    read_dicom_film,
    read_dicom_header,
)

__all__ = ["DicomFilm", "DicomHeader", "read_dicom_film", "read_dicom_header"]
