"""The door for DICOM: no bytes bring it down, and nobody's name comes out."""

from __future__ import annotations

import io
import logging
import pickle
import sys
from pathlib import Path
from typing import Any

import gdcm
import numpy as np
import pytest
from PIL import Image
from pydicom import uid

from cxresnet.core.errors import ImageError, MissingExtraError
from cxresnet.data.decode import isolation, worker
from cxresnet.data.decode.decoder import decode_image
from cxresnet.data.decode.dicom import read_dicom_image
from cxresnet.data.decode.limits import DEFAULT_LIMITS


def encode_picture(image: Image.Image, kind: str, **options: Any) -> bytes:
    stream = io.BytesIO()
    image.save(stream, kind, **options)
    return stream.getvalue()


def test_a_missing_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "cxresnet.data.decode.dicom.reader", None)
    monkeypatch.delattr("cxresnet.data.decode.dicom.reader", raising=False)
    with pytest.raises(MissingExtraError, match=r"cxresnet\[dicom\]"):
        read_dicom_image(bytes(128) + b"DICM")
    order = {"limits": {}, "options": {}}
    assert worker.reply_to(order, bytes(128) + b"DICM")[0] == {"failure": "extra"}
    error = isolation._explain_failure("extra", DEFAULT_LIMITS)
    assert isinstance(error, MissingExtraError)


def hurt(content: bytes, rng: np.random.Generator) -> bytes:
    """Flip some bytes, cut, or overwrite a piece; mostly in the header."""
    changed = bytearray(content)
    reach = len(changed) if rng.random() < 0.2 else min(len(changed), 1_200)
    kind = rng.integers(4)
    place = int(rng.integers(reach))
    if kind == 0:
        for position in rng.integers(reach, size=rng.integers(1, 5)):
            changed[position] = rng.integers(256)
    elif kind == 1:
        del changed[place:]
    elif kind == 2:
        changed[place : place + 4] = b"\xff" * 4
    else:
        changed[place : place + 8] = rng.bytes(8)
    return bytes(changed)


def list_seeds(folder: Path, kit: Any) -> list[bytes]:
    plain = kit.make_image()
    image = Image.fromarray(kit.draw_levels(8).astype(np.uint8))
    deflated = kit.make_dataset(kit.draw_levels())
    deflated.file_meta.TransferSyntaxUID = uid.DeflatedExplicitVRLittleEndian
    syntaxes = ("JPEGLSLossless", "JPEGLosslessProcess14_1", "JPEG2000Lossless", "RLELossless")
    return [
        plain,
        kit.make_image(VOILUTSequence=[kit.make_table(np.arange(64, dtype=np.uint16), bits=16)]),
        kit.make_image(WindowCenter=["9", "8"], WindowWidth=["99", "8"], PixelPaddingValue=7),
        kit.encapsulate(encode_picture(image, "JPEG"), uid.JPEGBaseline8Bit, bits=8),
        kit.save(deflated),
        *(
            kit.change_syntax(plain, getattr(gdcm.TransferSyntax, name), folder)
            for name in syntaxes
        ),
    ]


@pytest.mark.slow
def test_no_bytes_bring_the_door_down_or_give_a_name_away(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str], kit: Any
) -> None:
    caplog.set_level(logging.DEBUG)
    rng = np.random.default_rng(20_26)
    seeds = list_seeds(tmp_path, kit)
    said = []
    for index in range(200):
        content = hurt(seeds[index % len(seeds)], rng)
        try:
            image = decode_image(content)
        except ImageError as error:
            said.append(str(error))
            assert error.__suppress_context__ or error.__context__ is None  # noqa: PT017
        else:
            assert np.isfinite(image.pixels).all()
            assert 0 <= image.pixels.min() < image.pixels.max() <= 1
    out, err = capfd.readouterr()
    spoken = "\n".join([*said, caplog.text, out, err]).lower()
    assert len(said) > 50
    assert "canary" not in spoken
    assert "1961" not in spoken


def test_an_error_keeps_its_code_between_processes(kit: Any) -> None:
    with pytest.raises(ImageError) as caught:
        read_dicom_image(kit.make_image(Modality="CT"))
    assert pickle.loads(pickle.dumps(caught.value)).code == "not-a-chest-radiograph"  # noqa: S301
