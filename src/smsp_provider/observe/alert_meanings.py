"""What each kind of alert means and asks for: docs/reference/alerts.md is made from it."""

from collections.abc import Mapping
from typing import Final, NamedTuple

from smsp_provider.audit.operator_events import AlertKind

__all__ = ["MEANINGS", "Meaning"]


class Meaning(NamedTuple):
    """What has happened, and what somebody should do."""

    what: str
    todo: str


MEANINGS: Final[Mapping[AlertKind, Meaning]] = {
    AlertKind.GATE_REFUSED: Meaning(
        "An answer of Spine, or one of ours, was of another person or not what was asked for; nothing of it went out.",
        "Look at the exchange on the audit trail, and tell Spine's service desk.",
    ),
    AlertKind.SPINE_REFUSED_US: Meaning(
        "Spine refused our message, or redirected it.", "Check endpoints, ASIDs and what is agreed with Spine."
    ),
    AlertKind.UNMAPPED_PDS_CODE: Meaning(
        "PDS gave a code that the map does not know; the caller got DEMOG-9999.",
        "Find out what it means, and give the vocabulary file a row for it.",
    ),
    AlertKind.SENSITIVE_RECORD: Meaning(
        "Somebody touched a sensitive (S-flagged) record, whatever they were answered.",
        "The privacy officer asks who it was and why; the audit trail has the exchange.",
    ),
    AlertKind.AUDIT_UNAVAILABLE: Meaning(
        "A record could not be written, so its request got fault 2100.",
        "Look at disk and database; the provider goes on by itself when it can write.",
    ),
    AlertKind.REPLAY_MEMORY_UNAVAILABLE: Meaning(
        "The memory of used MessageIDs cannot be asked; where repeats are rejected, requests get fault 2100.",
        "Look at `replay.table` beside the audit trail.",
    ),
    AlertKind.UNEXPECTED_FAILURE: Meaning(
        "A defect of this provider; the caller got a fault or SMSP-9999.",
        "Report it, with the exchange id and the log.",
    ),
    AlertKind.TLS_FILES_REFUSED: Meaning(
        "New certificate files cannot be used; the ones of before stay in force.",
        "Put files there that belong together.",
    ),
    AlertKind.CERTIFICATE_ENDING: Meaning(
        "A certificate or revocation list ends soon or has ended.", "See how-to/rotate-certificates.md."
    ),
    AlertKind.CLIENT_REGISTRY_UNAVAILABLE: Meaning(
        "A worker cannot read the registry of clients, or not in time; after `clients.stale_seconds` every request "
        "gets fault 2100.",
        "Look at the database of the registry.",
    ),
    AlertKind.CLIENT_UNREADABLE: Meaning(
        "What the registry holds of a client is no registration; the client is refused.",
        "Remove the client, or import it anew.",
    ),
    AlertKind.CLIENT_REVIEW_DUE: Meaning(
        "A client's authority to access is to be reviewed soon, or was.", "Review it: `smsp client set --review-on`."
    ),
    AlertKind.PROBING: Meaning("A caller seems to guess.", "See how-to/detect-probing.md."),
    AlertKind.PROBING_WATCH_UNAVAILABLE: Meaning(
        "A worker cannot use the table in which guessing is counted.", "Look at `probing.table` beside the audit trail."
    ),
    AlertKind.OPERATOR_LOGIN_REFUSED: Meaning(
        "Somebody was not let in as an operator.", "If it was nobody you know: `smsp user disable`, and ask."
    ),
    AlertKind.OPERATOR_LOCKED: Meaning(
        "An operator's account is locked after too many failures.",
        "Ask the person, then `smsp user unlock` or `reset`.",
    ),
    AlertKind.REFUSALS_NOT_COUNTED: Meaning(
        "Requests refused before anybody was known could not be counted together.",
        "Look at `refusals.table` beside the audit trail.",
    ),
    AlertKind.CHAIN_FAILED: Meaning(
        "The audit trail was changed: a head, link or content is not what it was.",
        "Keep everything as it is, and run `smsp audit verify`.",
    ),
    AlertKind.WITNESS_UNAVAILABLE: Meaning(
        "A witness does not take roots of the audit trail; they are sent when it does.",
        "Look at the witness. One that has no root although the trail has waits for `smsp audit witness begin`: see "
        "how-to/verify-the-audit-trail.md.",
    ),
    AlertKind.KEEPER_DOWN: Meaning(
        "The keeper ended by itself and is started again; or it gives no sign of life, or again one (`over:`).",
        "Look into the log for why; where it hangs, look at its disks and witnesses.",
    ),
    AlertKind.KEEPER_TASK_FAILED: Meaning(
        "Something beside the requests fails and is tried again, or works again (`over:`).", "Look at what it names."
    ),
    AlertKind.SPINE_OUTAGE: Meaning(
        "The circuit breaker of this host opened: Spine fails or is slow, and callers get SMSP-0004 at once.",
        "Ask Spine's service desk; see how-to/protect-spine.md.",
    ),
    AlertKind.SPINE_OUTAGE_OVER: Meaning("The breaker is closed again; the text says after how long.", "Nothing."),
    AlertKind.CLOCK_DRIFT: Meaning(
        "The clock is off, or nobody can say that it is not; or it is right again (`over:`).",
        "Look at the time daemon; `smsp clock` shows the state.",
    ),
    AlertKind.THROUGHPUT: Meaning(
        "More or fewer requests than `alerts.most_requests` or `alerts.least_requests`; or no longer (`over:`).",
        "Find out who sends them, or why nobody does.",
    ),
    AlertKind.MESSAGE_SIZES: Meaning(
        "Requests are larger than `alerts.most_bytes` in the mean; or no longer (`over:`).", "Find out who sends them."
    ),
    AlertKind.ERRORS: Meaning(
        "More errors than `alerts.most_errors` and `alerts.errors_part` allow; or no longer (`over:`).",
        "Look at which codes: `smsp_requests_total` of the metrics.",
    ),
    AlertKind.BACKLOG: Meaning(
        "More requests wait for Spine than `alerts.most_waiting`; or no longer (`over:`).",
        "See how-to/protect-spine.md.",
    ),
    AlertKind.LIMITS_UNAVAILABLE: Meaning(
        "The table of limits was lost and made anew, or cannot be used, and then nothing passes.",
        "Look at `throttle.table` beside the audit trail; leave it alone while the provider runs.",
    ),
    AlertKind.ALERTS_UNDELIVERED: Meaning(
        "A sink does not take alerts, or works again; `count` is how many it lost. The operator log has them all.",
        "Look at the sink; try it with `smsp alerts test`.",
    ),
    AlertKind.TEST: Meaning("Somebody ran `smsp alerts test`.", "Nothing."),
}
"""Every kind, and no other."""
