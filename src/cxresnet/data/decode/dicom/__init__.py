"""DICOM: read images and the few tags that are needed, without revealing a name.

`image.py` is the entry point. Modules that import pydicom (`reader.py`, `pixels.py`) are
loaded when the first file is read. A decoder may crash: `decoder.decode_image` runs all of them in
another process.
"""

from cxresnet.data.decode.dicom.image import (
    DicomHeader,
    DicomImage,
    read_dicom_header,
    read_dicom_image,
)

__all__ = ["DicomHeader", "DicomImage", "read_dicom_header", "read_dicom_image"]
