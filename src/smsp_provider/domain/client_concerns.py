"""What somebody should look at in a registration: nothing here decides who is let in."""

from collections.abc import Iterator, Mapping
from datetime import datetime, timedelta
from typing import Final

from smsp_provider.domain.clients import REVIEW_NOTICE_DAYS, Client, FingerprintPin, Pin, PinState, SignaturePolicy
from smsp_provider.domain.organisations import ASIDDirectory

__all__ = ["concerns", "end_of"]

_SOON: Final = timedelta(days=REVIEW_NOTICE_DAYS)


def end_of(pin: Pin, ends: Mapping[str, datetime]) -> datetime | None:
    """When a pin lets nobody in any more: at its own end, or that of its certificate where that is known.

    ``ends`` are the ends of the registered certificates, by fingerprint.
    """
    certificate_end = ends.get(pin.fingerprint) if isinstance(pin, FingerprintPin) else None
    return min((end for end in (pin.until, certificate_end) if end is not None), default=None)


def concerns(client: Client, at: datetime, shared: ASIDDirectory, ends: Mapping[str, datetime]) -> Iterator[str]:
    """One text for each concern, at the moment ``at``; ``shared`` are the ASIDs of the settings.

    A disabled client is of no other concern than that.
    """
    if not client.enabled:
        yield "disabled"
        return
    days = client.days_to_review(at.date())
    if days < 0:
        yield f"authority to access was to be reviewed {-days} days ago: refused in live"
    elif days <= REVIEW_NOTICE_DAYS:
        yield f"authority to access is to be reviewed in {days} days"
    if client.signatures is SignaturePolicy.IGNORE:
        yield "signatures are ignored; in live they are verified all the same"
    yield from _concerns_of_pins(client, at, ends)
    without = [
        organisation.code
        for organisation, asid in client.organisations.items()
        if asid is None and organisation not in shared.by_ods_code and shared.default is None
    ]
    if without:
        yield f"no ASID for {', '.join(sorted(without))}"


def _concerns_of_pins(client: Client, at: datetime, ends: Mapping[str, datetime]) -> Iterator[str]:
    holding = [(pin, end_of(pin, ends)) for pin in client.pins]
    holding = [(pin, end) for pin, end in holding if end is None or at < end]
    if not holding:
        yield "no certificate lets it in"
        return
    if any(end is None or end > at + _SOON for _, end in holding):
        return
    last = max(end for _, end in holding if end is not None)
    following = "" if any(pin.state is PinState.NEXT for pin, _ in holding) else ", and no next one is registered"
    yield f"its last certificate ends in {(last - at).days} days{following}"
