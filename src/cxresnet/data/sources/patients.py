"""Words that stand where a patient's id should be."""

from __future__ import annotations

import re

_STAND_INS = {
    "na", "nan", "none", "null", "nil", "no", "missing", "unknown", "unk", "anon", "anonym",
    "anonymous", "anonymised", "anonymized", "anonymouspatient", "deidentified", "removed",
    "redacted", "notavailable", "notapplicable", "notrecorded", "unspecified", "undefined", "test",
    "patient", "patientid",
}  # fmt: skip


def is_missing_patient(text: str) -> bool:
    """Say whether an id is a stand-in for "nobody known", which many images share.

    >>> [is_missing_patient(text) for text in ("", "-", "N/A", "XXXX", "000", "0042", "Xu")]
    [True, True, True, True, True, False, False]
    """
    plain = re.sub(r"[\W_]+", "", text.casefold())
    return not plain or plain in _STAND_INS or set(plain) in ({"x"}, {"0"})
