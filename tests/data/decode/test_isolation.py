"""A decoder that dies, hangs or swells takes one image with it, and nothing else."""

from __future__ import annotations

import io
import os
import struct
import subprocess
import sys
from pathlib import Path
from typing import Any

import gdcm
import numpy as np
import pytest
from PIL import Image

from cxresnet.core.errors import ImageError
from cxresnet.data.decode import decoder, isolation
from cxresnet.data.decode.decoder import decode_image, decode_in_process
from cxresnet.data.decode.isolation import decode_isolated, read_message, write_message
from cxresnet.data.decode.limits import DEFAULT_LIMITS, MAX_PLAIN_PIXELS, DecodeLimits


def decode_apart(content: bytes) -> np.ndarray:
    return decode_isolated(content, limits=DEFAULT_LIMITS)[0]


def encode(kind: str, width: int = 60, height: int = 40, **options: Any) -> bytes:
    levels = np.random.default_rng(0).integers(0, 256, (height, width), dtype=np.uint8)
    stream = io.BytesIO()
    Image.fromarray(levels).save(stream, kind, **options)
    return stream.getvalue()


@pytest.fixture
def image(tmp_path: Path, kit: Any) -> bytes:
    """An image in JPEG-LS."""
    return kit.change_syntax(kit.make_image(), gdcm.TransferSyntax.JPEGLSLossless, tmp_path)


def test_an_image_decoded_apart_is_the_same(image: bytes, kit: Any) -> None:
    np.testing.assert_allclose(decode_apart(image), kit.draw_levels() / 4095, atol=1e-6)


def test_what_is_refused_apart_is_refused_here(kit: Any) -> None:
    with pytest.raises(ImageError, match="Modality") as caught:
        decode_apart(kit.make_image(Modality="CT"))
    assert caught.value.code == "not-a-chest-radiograph"


@pytest.mark.slow
def test_a_crash_costs_one_image(image: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    """The decoder that we start for this test dies of everything."""
    monkeypatch.setattr(isolation, "_decoders", {})
    with monkeypatch.context() as patch:
        patch.setattr(isolation, "_COMMAND", (sys.executable, "-c", ""))
        with pytest.raises(ImageError, match="crashed") as caught:
            decode_apart(image)
    assert caught.value.code == "decoder-crash"
    assert decode_image(image).format == "DICOM"
    isolation._decoders[os.getpid()].close()


@pytest.mark.slow
def test_a_decoder_that_was_killed_while_idle_is_started_again(image: bytes) -> None:
    decode_apart(image)
    process = isolation._decoders[os.getpid()]._process
    assert process is not None
    process.kill()
    process.wait()
    assert decode_apart(image).shape == (64, 80)


@pytest.mark.parametrize(("says_hello", "code"), [(True, "too-slow"), (False, "decoder-crash")])
def test_a_decoder_that_never_answers_is_given_up(
    says_hello: bool, code: str, image: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without end, were it not given up: the decoder started here reads nothing and sleeps."""
    hello = struct.pack(">Q", 5) + b"ready" if says_hello else b""
    script = f"import os, time; os.write(1, {hello!r}); time.sleep(600)"
    monkeypatch.setattr(isolation, "_decoders", {})
    monkeypatch.setattr(isolation, "_COMMAND", (sys.executable, "-c", script))
    monkeypatch.setattr(isolation, "_WALL_FACTOR", 0.05)
    monkeypatch.setattr(isolation, "_START_SECONDS", 30 if says_hello else 0.2)
    with pytest.raises(ImageError) as caught:
        decode_apart(image)
    assert caught.value.code == code
    assert isolation._decoders[os.getpid()]._process is None


@pytest.mark.slow
def test_an_answer_in_the_last_moment_counts_and_the_next_image_has_a_new_decoder(
    image: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The kill comes after the answer, and before anybody sees that the process is dying."""

    class LateWatchdog(isolation._Watchdog):
        def cancel(self) -> bool:
            self._kill()
            return super().cancel()

    decode_apart(image)
    with monkeypatch.context() as patch:
        patch.setattr(isolation, "_Watchdog", LateWatchdog)
        assert decode_apart(image).shape == (64, 80)
    assert isolation._decoders[os.getpid()]._process is None
    assert decode_apart(image).shape == (64, 80)


@pytest.mark.slow
def test_a_process_forked_from_ours_has_a_decoder_of_its_own(
    image: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    decode_apart(image)
    ours = isolation._decoders[os.getpid()]
    monkeypatch.setattr(os, "getpid", lambda: -1)
    decode_apart(image)
    theirs = isolation._decoders.pop(-1)
    theirs.close()
    assert theirs is not ours


def test_messages_arrive_whole_or_not_at_all() -> None:
    stream = io.BytesIO()
    write_message(stream, b"image")
    assert read_message(io.BytesIO(stream.getvalue())) == b"image"
    assert read_message(io.BytesIO(stream.getvalue()[:-1])) is None
    assert read_message(io.BytesIO(b"")) is None


# Limits


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["TIFF", "DICOM", "PNG"])
def test_an_image_that_needs_more_memory_than_it_may_have_is_refused(kind: str, kit: Any) -> None:
    """4 million pixels, of which the floats alone take 16 MB; the PNG has 9 million."""
    side = 3000 if kind == "PNG" else 2000
    content = (
        kit.make_image(np.arange(side**2, dtype=np.uint16).reshape(side, side) % 4096)
        if kind == "DICOM"
        else encode(kind, side, side)
    )
    # A fresh process: what earlier images left free would not count.
    isolation._find_decoder().close()
    with pytest.raises(ImageError, match=r"more than 8 MiB .*data\.decode_memory_mib") as caught:
        decode_image(content, limits=DecodeLimits(memory_mib=8))
    assert caught.value.code == "too-large"
    assert decode_image(content).pixels.shape == (side, side)


@pytest.mark.slow
def test_a_decoder_that_computes_for_too_long_is_ended() -> None:
    script = (
        "from cxresnet.data.decode.limits import DecodeLimits\n"
        "from cxresnet.data.decode.worker import _limited\n"
        "with _limited(DecodeLimits(seconds=1)):\n"
        "    while True: pass\n"
    )
    done = subprocess.run([sys.executable, "-c", script], check=False)
    assert done.returncode == -isolation._OUT_OF_TIME


def test_an_image_whose_decoder_ran_out_of_time_is_too_slow(
    image: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    hello = struct.pack(">Q", 5) + b"ready"
    script = (
        f"import os, signal; os.write(1, {hello!r}); os.read(0, 9); "
        "os.kill(os.getpid(), signal.SIGXCPU)"
    )
    monkeypatch.setattr(isolation, "_decoders", {})
    monkeypatch.setattr(isolation, "_COMMAND", (sys.executable, "-c", script))
    with pytest.raises(ImageError, match=r"longer than 10 s.*data\.decode_seconds") as caught:
        decode_apart(image)
    assert caught.value.code == "too-slow"


# Which images


@pytest.mark.parametrize(
    ("content", "is_apart"),
    [
        (encode("PNG"), False),
        (encode("JPEG"), False),
        (encode("JPEG", progressive=True), True),
        (encode("BMP"), True),
        (encode("TIFF"), True),
        (encode("WEBP"), True),
        (encode("PNG")[:16] + struct.pack(">II", 8, MAX_PLAIN_PIXELS // 8 + 1), True),
        (encode("PNG")[:16] + struct.pack(">II", 60_000, 60_000) + encode("PNG")[24:], False),
        (encode("PNG")[:33] + encode("PNG")[8:], True),  # two headers: the second may be large
        (encode("PNG")[:8] + struct.pack(">I4s13xI", 13, b"tEXt", 0) + encode("PNG")[8:], True),
        (bytes(128) + b"DICM", True),
    ],
)
def test_only_plain_pictures_are_decoded_in_this_process(
    content: bytes, is_apart: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_arguments: object, **_options: object) -> None:
        raise ImageError("apart", "It would be decoded in another process.")

    monkeypatch.setattr(decoder, "decode_isolated", refuse)
    code = ""
    try:
        decode_image(content)
    except ImageError as error:
        code = error.code
    assert (code == "apart") == is_apart


def test_an_image_is_the_same_in_either_process() -> None:
    content = encode("TIFF")
    here, apart = decode_in_process(content), decode_image(content)
    np.testing.assert_array_equal(here.pixels, apart.pixels)
    assert apart.pixels.flags.writeable
    assert vars(here) | {"pixels": 0} == vars(apart) | {"pixels": 0}


# A folder of images that holds Python code


@pytest.mark.slow
def test_the_decoder_imports_nothing_from_the_current_folder(
    image: bytes, hostile_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(isolation, "_decoders", {})
    monkeypatch.chdir(hostile_folder)
    assert decode_apart(image).shape == (64, 80)
    assert not (hostile_folder / "ran.txt").exists()
    isolation._decoders[os.getpid()].close()
