"""A decoder that dies takes one film with it, and nothing else."""

from __future__ import annotations

import io
import os
import sys
from pathlib import Path
from typing import Any

import gdcm
import numpy as np
import pytest

from cxresnet.core.errors import FilmError
from cxresnet.data.dicom import apart
from cxresnet.data.dicom.apart import decode_apart, read_message, write_message
from cxresnet.data.image import decode_film


@pytest.fixture
def film(tmp_path: Path, kit: Any) -> bytes:
    """A film in JPEG-LS."""
    return kit.change_syntax(kit.make_film(), gdcm.TransferSyntax.JPEGLSLossless, tmp_path)


def test_a_film_decoded_apart_is_the_same(film: bytes, kit: Any) -> None:
    np.testing.assert_allclose(decode_apart(film), kit.draw_levels() / 4095, atol=1e-6)


def test_what_is_refused_apart_is_refused_here(kit: Any) -> None:
    with pytest.raises(FilmError, match="Modality") as caught:
        decode_apart(kit.make_film(Modality="CT"))
    assert caught.value.code == "not-a-chest-film"


@pytest.mark.slow
def test_a_crash_costs_one_film(film: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    """The decoder that we start for this test dies of everything."""
    monkeypatch.setattr(apart, "_decoders", {})
    with monkeypatch.context() as patch:
        patch.setattr(apart, "_COMMAND", (sys.executable, "-m", "is_no_module"))
        with pytest.raises(FilmError, match="died") as caught:
            decode_apart(film)
    assert caught.value.code == "decoder-crash"
    assert decode_film(film).format == "DICOM"
    apart._decoders[os.getpid()].close()


@pytest.mark.slow
def test_a_decoder_that_was_killed_while_idle_is_started_again(film: bytes) -> None:
    decode_apart(film)
    process = apart._decoders[os.getpid()]._process
    assert process is not None
    process.kill()
    process.wait()
    assert decode_apart(film).shape == (64, 80)


def test_a_decoder_that_never_answers_is_given_up(
    film: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without end, were it not given up: the decoder started here reads nothing and sleeps."""
    monkeypatch.setattr(apart, "_decoders", {})
    with monkeypatch.context() as patch:
        patch.setattr(apart, "_COMMAND", (sys.executable, "-c", "import time; time.sleep(600)"))
        patch.setattr(apart, "_TIMEOUT_SECONDS", 0.2)
        with pytest.raises(FilmError, match="too long"):
            decode_apart(film)
    assert decode_apart(film).shape == (64, 80)
    apart._decoders[os.getpid()].close()


@pytest.mark.slow
def test_an_answer_in_the_last_moment_counts_and_the_next_film_has_a_new_decoder(
    film: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The kill comes after the answer, and before anybody sees that the process is dying."""

    class LateWatchdog(apart._Watchdog):
        def call_off(self) -> bool:
            self._bite()
            return super().call_off()

    decode_apart(film)
    with monkeypatch.context() as patch:
        patch.setattr(apart, "_Watchdog", LateWatchdog)
        assert decode_apart(film).shape == (64, 80)
    assert apart._decoders[os.getpid()]._process is None
    assert decode_apart(film).shape == (64, 80)


@pytest.mark.slow
def test_a_process_forked_from_ours_has_a_decoder_of_its_own(
    film: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    decode_apart(film)
    ours = apart._decoders[os.getpid()]
    monkeypatch.setattr(os, "getpid", lambda: -1)
    decode_apart(film)
    theirs = apart._decoders.pop(-1)
    theirs.close()
    assert theirs is not ours


def test_messages_arrive_whole_or_not_at_all() -> None:
    stream = io.BytesIO()
    write_message(stream, b"film")
    assert read_message(io.BytesIO(stream.getvalue())) == b"film"
    assert read_message(io.BytesIO(stream.getvalue()[:-1])) == b""
    assert read_message(io.BytesIO(b"")) == b""
