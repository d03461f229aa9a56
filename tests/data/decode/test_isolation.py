"""A decoder that dies takes one image with it, and nothing else."""

from __future__ import annotations

import io
import os
import sys
from pathlib import Path
from typing import Any

import gdcm
import numpy as np
import pytest

from cxresnet.core.errors import ImageError
from cxresnet.data.decode.decoder import decode_image
from cxresnet.data.decode import isolation
from cxresnet.data.decode.isolation import decode_isolated, read_message, write_message


@pytest.fixture
def image(tmp_path: Path, kit: Any) -> bytes:
    """An image in JPEG-LS."""
    return kit.change_syntax(kit.make_image(), gdcm.TransferSyntax.JPEGLSLossless, tmp_path)


def test_an_image_decoded_apart_is_the_same(image: bytes, kit: Any) -> None:
    np.testing.assert_allclose(decode_isolated(image)[0], kit.draw_levels() / 4095, atol=1e-6)


def test_what_is_refused_apart_is_refused_here(kit: Any) -> None:
    with pytest.raises(ImageError, match="Modality") as caught:
        decode_isolated(kit.make_image(Modality="CT"))
    assert caught.value.code == "not-a-chest-radiograph"


@pytest.mark.slow
def test_a_crash_costs_one_image(image: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    """The decoder that we start for this test dies of everything."""
    monkeypatch.setattr(isolation, "_decoders", {})
    with monkeypatch.context() as patch:
        patch.setattr(isolation, "_COMMAND", (sys.executable, "-m", "is_no_module"))
        with pytest.raises(ImageError, match="crashed") as caught:
            decode_isolated(image)
    assert caught.value.code == "decoder-crash"
    assert decode_image(image).format == "DICOM"
    isolation._decoders[os.getpid()].close()


@pytest.mark.slow
def test_a_decoder_that_was_killed_while_idle_is_started_again(image: bytes) -> None:
    decode_isolated(image)
    process = isolation._decoders[os.getpid()]._process
    assert process is not None
    process.kill()
    process.wait()
    assert decode_isolated(image)[0].shape == (64, 80)


def test_a_decoder_that_never_answers_is_given_up(
    image: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without end, were it not given up: the decoder started here reads nothing and sleeps."""
    monkeypatch.setattr(isolation, "_decoders", {})
    with monkeypatch.context() as patch:
        patch.setattr(isolation, "_COMMAND", (sys.executable, "-c", "import time; time.sleep(600)"))
        patch.setattr(isolation, "_TIMEOUT_SECONDS", 0.2)
        with pytest.raises(ImageError, match="too long"):
            decode_isolated(image)
    assert decode_isolated(image)[0].shape == (64, 80)
    isolation._decoders[os.getpid()].close()


@pytest.mark.slow
def test_an_answer_in_the_last_moment_counts_and_the_next_image_has_a_new_decoder(
    image: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The kill comes after the answer, and before anybody sees that the process is dying."""

    class LateWatchdog(isolation._Watchdog):
        def cancel(self) -> bool:
            self._kill()
            return super().cancel()

    decode_isolated(image)
    with monkeypatch.context() as patch:
        patch.setattr(isolation, "_Watchdog", LateWatchdog)
        assert decode_isolated(image)[0].shape == (64, 80)
    assert isolation._decoders[os.getpid()]._process is None
    assert decode_isolated(image)[0].shape == (64, 80)


@pytest.mark.slow
def test_a_process_forked_from_ours_has_a_decoder_of_its_own(
    image: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    decode_isolated(image)
    ours = isolation._decoders[os.getpid()]
    monkeypatch.setattr(os, "getpid", lambda: -1)
    decode_isolated(image)
    theirs = isolation._decoders.pop(-1)
    theirs.close()
    assert theirs is not ours


def test_messages_arrive_whole_or_not_at_all() -> None:
    stream = io.BytesIO()
    write_message(stream, b"image")
    assert read_message(io.BytesIO(stream.getvalue())) == b"image"
    assert read_message(io.BytesIO(stream.getvalue()[:-1])) == b""
    assert read_message(io.BytesIO(b"")) == b""
