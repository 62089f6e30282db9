"""How do messages leave for mail, chat and pagers? Through apprise: an address is one of its URLs, and often a secret.

URLs come from the operator's settings and from nowhere else. A message is plain text: no template is filled in, nothing
is attached, no escape, emoji or markup in it means anything, and no answer sends us elsewhere.
"""

import hashlib
import logging

import apprise
from apprise.plugins import NotifyBase

from lockgate.core.notice import Notice
from lockgate.errors import UnavailableError, VerificationError

_SECONDS = 20.0


class AppriseChannel:
    """One address (port `Channel`)."""

    def __init__(self, url: str, number: int, secret: bytes) -> None:
        """Read the `number`th URL; raise `VerificationError`, without repeating it, for one that makes no sense.

        `secret` keeps the name from telling anything of the URL to who guesses it.
        """
        logging.getLogger("apprise").setLevel(logging.CRITICAL + 1)  # it names hosts; what matters we say ourselves
        self._asset = apprise.AppriseAsset(
            async_mode=False,
            http_redirects=False,
            interpret_emojis=False,
            interpret_escapes=False,
            allow_templates=False,
            pgp_autogen=False,
            pem_autogen=False,
            storage_mode="memory",
            service_timeout=_SECONDS,
        )
        found = apprise.Apprise.instantiate(url, asset=self._asset)
        if not isinstance(found, NotifyBase):
            raise VerificationError(f"notify: the URL number {number} is none that apprise knows")
        for odd, why in (
            (not found.verify_certificate, "leaves the check of certificates out"),
            (found.redirects, "follows redirects"),
            (found.optional, "is optional, so nobody would notice that it fails"),
        ):
            if odd:
                raise VerificationError(f"notify: the URL number {number} {why}")
        self._service = found
        digest = hashlib.blake2b(url.encode(), digest_size=4, key=secret).hexdigest()
        self._name = f"{url.partition(':')[0].lower()}-{digest}"

    @property
    def name(self) -> str:
        """The kind of address, and four bytes that follow from its URL."""
        return self._name

    def tell(self, notice: Notice) -> None:
        """Send a message."""
        sender = apprise.Apprise(asset=self._asset)
        sender.add(self._service)
        taken = sender.notify(
            body=notice.text,
            title=notice.title,
            notify_type=apprise.NotifyType.WARNING,
            body_format=apprise.NotifyFormat.TEXT,
            interpret_escapes=False,
        )
        if not taken:
            raise UnavailableError(f"the channel {self._name} did not take a message")
