"""How the DICOM node listens, what it allows, and where its objects go."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

from cxresnet.core.errors import ConfigError
from cxresnet.serve.settings import is_loopback

_TITLE = re.compile(r"[!-\[\]-~](?:[ -\[\]-~]{0,14}[!-\[\]-~])?")
"""Of an application entity: 1 to 16 printable ASCII characters without backslash."""

_RECEIVER = re.compile(r"(?P<aet>[^@]+)@(?P<host>\[[0-9A-Fa-f:.]+\]|[^:\[\]@]+):(?P<port>\d{1,5})")


@dataclass(frozen=True)
class Receiver:
    """A node that objects are sent to.

    Attributes:
        aet: Its title.
        host: Name or address.
        port: Of it.
    """

    aet: str
    host: str
    port: int


@dataclass(frozen=True, kw_only=True)
class NodeSettings:
    """How the node listens and what it allows.

    Attributes:
        out: Folder that the objects are written to.
        host: Address that it listens on; only this machine can reach the default.
        port: Likewise; 0 for any that is free.
        aet: Its title; whoever calls another one is refused.
        allowed: Titles of the nodes that may call; empty for any.
        send_to: Where the objects are sent, beside being written; None for nowhere.
        method: Attribution method of the map; "" for the first that passed the sanity checks.
        queue_images: That wait at most.
        max_associations: At once.
        max_image_bytes: Largest image.
        wait_seconds: For the other side to say something.
        answer_seconds: For an image to be classified, waiting included.
        retry_seconds: Before what was not taken is sent again; doubles, up to twenty times this.
    """

    out: Path
    host: str = "127.0.0.1"
    port: int = 11112
    aet: str = "CXRESNET"
    allowed: tuple[str, ...] = ()
    send_to: Receiver | None = None
    method: str = ""
    queue_images: int = 64
    max_associations: int = 8
    max_image_bytes: int = 160 * 2**20
    wait_seconds: float = 30.0
    answer_seconds: float = 60.0
    retry_seconds: float = 30.0

    @property
    def is_loopback(self) -> bool:
        """Whether only this machine can reach the node."""
        return is_loopback(self.host)


def check_title(title: str) -> str:
    """Check the title of an application entity.

    Raises:
        ConfigError: It is empty, too long, or has other than printable ASCII characters.

    >>> check_title("CXRESNET")
    'CXRESNET'
    """
    if not _TITLE.fullmatch(title):
        raise ConfigError(
            f"'{title}' is no AE title. It has 1 to 16 ASCII characters without backslash."
        )
    return title


def parse_receiver(text: str) -> Receiver:
    """Parse the address of another node.

    Raises:
        ConfigError: It is not of the form AET@HOST:PORT.

    >>> parse_receiver("PACS@127.0.0.1:4242")
    Receiver(aet='PACS', host='127.0.0.1', port=4242)
    """
    found = _RECEIVER.fullmatch(text)
    if found is None or not 0 < int(found["port"]) <= 65535:
        raise ConfigError(f"'{text}' is not of the form AET@HOST:PORT, as PACS@127.0.0.1:4242.")
    return Receiver(check_title(found["aet"]), found["host"].strip("[]"), int(found["port"]))
