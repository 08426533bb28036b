"""The policies that a set of settings puts in force, told in sentences: what `config check` explains to a deployer.

A policy is what several settings amount to for a caller or for Spine, and what it protects from; single values stand on
the reference page of the settings.
"""

from collections.abc import Iterator
from dataclasses import dataclass

from smsp_provider.config.audit import AuditSettings
from smsp_provider.config.operators import OperatorPolicy
from smsp_provider.config.protection import throttle_policy
from smsp_provider.config.settings import ClientPolicy, ReplayPolicy, Settings
from smsp_provider.domain.clients import SignaturePolicy
from smsp_provider.soap.security import UsernamePolicy

__all__ = ["PolicyInForce", "policies_in_force"]


@dataclass(frozen=True, slots=True)
class PolicyInForce:
    """``subject`` is what the policy is about, ``value`` the setting that decides, ``meaning`` what follows from it."""

    subject: str
    value: str
    meaning: str


_CLIENTS = {
    ClientPolicy.REGISTERED: "Only clients of the registry are answered, each within what it is registered for; "
    "everybody else gets fault 3000.",
    ClientPolicy.ANY: "Everybody with a certificate of the authority may ask for every organisation of "
    "spine.ods_to_asid: not for live.",
}
_OPERATORS = {
    OperatorPolicy.ACCOUNTS: "Who administers logs in with an account of their own, a password and a code, and may do "
    "what their roles give.",
    OperatorPolicy.OS_USER: "Whoever may run a command may do everything: not for live.",
}
_USERNAMES = {
    UsernamePolicy.REQUIRE_MATCH: "wsse:Username must be the common name of the TLS certificate.",
    UsernamePolicy.KNOWN_NAME: "wsse:Username must be one of the names that the client is registered with.",
    UsernamePolicy.IGNORE: "wsse:Username must be there and is compared with nothing: not for live.",
}
_SIGNATURES = {
    SignaturePolicy.VERIFY_IF_PRESENT: "A message may come without a signature; one that is there must cover body and "
    "timestamp and verify with a registered certificate.",
    SignaturePolicy.REQUIRE: "Every message must be signed, body and timestamp, with a registered certificate.",
    SignaturePolicy.IGNORE: "Signatures are noted in the audit and not looked at: not for live.",
}
_REPEATS = {
    ReplayPolicy.ANSWER: "A MessageID that its client used before is answered again, and marked in the audit.",
    ReplayPolicy.REJECT: "A MessageID that its client used before is refused with fault 1000.",
}


def policies_in_force(settings: Settings) -> Iterator[PolicyInForce]:
    """Every policy, in the order in which a request meets them."""
    yield from _listeners(settings)
    clients, security, service = settings.clients, settings.security, settings.service
    yield PolicyInForce("clients", clients.policy.value, _CLIENTS[clients.policy])
    yield PolicyInForce(
        "registry",
        f"{clients.refresh_seconds:g} s, {clients.stale_seconds:g} s",
        "Each worker looks for changes as often as the first says; without the registry for longer than the second, "
        "every request is fault 2100.",
    )
    yield PolicyInForce("operators", settings.operators.policy.value, _OPERATORS[settings.operators.policy])
    yield PolicyInForce("usernames", security.username.value, _USERNAMES[security.username])
    yield PolicyInForce("signatures", security.signatures.value, _SIGNATURES[security.signatures])
    if security.allow_sha1:
        yield PolicyInForce("signatures with SHA-1", "accepted", "They can be forged with effort: not for live.")
    yield PolicyInForce(
        "timestamps",
        f"{service.clock_skew_seconds:g} s, {service.max_message_seconds:g} s",
        "wsu:Created may be as far ahead of this machine's clock as the first says; wsu:Expires must not have passed, "
        "and lies no further behind wsu:Created than the second.",
    )
    yield PolicyInForce("repeats", service.replay_policy.value, _REPEATS[service.replay_policy])
    yield PolicyInForce(
        "addresses",
        f"{len(service.accepted_to)} listed" if service.accepted_to else "any",
        "wsa:To must be one of service.accepted_to." if service.accepted_to else "Any wsa:To is accepted.",
    )
    yield PolicyInForce(
        "tracing",
        "confirmed" if service.confirm_trace else "unconfirmed",
        "A traced NHS number is retrieved under itself before it is given out."
        if service.confirm_trace
        else "A traced NHS number is given out on one answer of Spine alone.",
    )
    yield from _protection(settings)
    yield PolicyInForce(
        "probing",
        "watched" if settings.probing.enabled else "off",
        "Callers who seem to guess raise the alert probing-suspected; nothing is refused."
        if settings.probing.enabled
        else "Callers who guess are not told of.",
    )
    yield PolicyInForce(
        "audit",
        settings.audit.synchronous,
        "Nothing is asked and nothing answered that is not on the disk."
        if settings.audit.synchronous == "FULL"
        else "The last records may be lost in a power cut: not for live.",
    )
    yield _witness(settings.audit)


def _witness(audit: AuditSettings) -> PolicyInForce:
    kinds = {"a file": audit.witness_file is not None, "a service": bool(audit.witness_url)}
    named = " and ".join(kind for kind, is_set in kinds.items() if is_set)
    if named:
        return PolicyInForce("witness", named, "Gets each root of the trail, and tells who rewrites it.")
    weakness = "Who holds database and signing key can rewrite the trail unseen"
    if audit.without_witness:
        return PolicyInForce("witness", "none", f"{weakness}, which is accepted: {audit.without_witness}.")
    return PolicyInForce("witness", "none", f"{weakness}: not for live.")


def _protection(settings: Settings) -> Iterator[PolicyInForce]:
    throttle, breaker, server = settings.throttle_in_force(), settings.breaker, settings.server
    limits = throttle_policy(
        throttle,
        breaker,
        workers=server.workers,
        threads=server.threads,
        request_seconds=settings.limits.request_seconds,
    )
    yield PolicyInForce(
        "queries to Spine",
        f"{throttle.rate_per_second * throttle.host_share:g} a second",
        f"This host asks no more in the long run, and within any second at most "
        f"{max(1, int(throttle.burst * throttle.host_share))} more.",
    )
    yield PolicyInForce(
        "requests at Spine",
        f"{limits.max_in_flight}",
        f"Of this host's {server.workers * server.threads} threads in each listener no more are at Spine at once; in "
        f"each worker at most {limits.process_limit} of {server.threads} are there or wait, so that one is left to say "
        "that the service is busy.",
    )
    yield PolicyInForce(
        "waiting",
        f"{throttle.max_wait_seconds:g} s, {throttle.max_queue} queries",
        "A query waits no longer for its turn, half of that where a person waits; who cannot have one by then gets "
        "fault 2100 at once. Attended requests go before unattended ones, which keep every fifth turn.",
    )
    yield PolicyInForce(
        "breaker",
        f"{breaker.failures} failures in {breaker.window_seconds:g} s",
        f"That many queries that fail or take {breaker.slow_seconds:g} s, being {breaker.failing_part:.0%} of all, "
        f"leave Spine alone: SMSP-0004 at once, with one query every {breaker.probe_seconds:g} s until it is well.",
    )
    yield PolicyInForce(
        "health and metrics",
        server.ops or "none",
        "A process of its own answers /healthz, /readyz and /metrics there, however busy the workers are."
        if server.ops is not None
        else "Only the workers answer /healthz and /readyz, when they have a thread to spare; there are no metrics.",
    )


def _listeners(settings: Settings) -> Iterator[PolicyInForce]:
    server = settings.server
    if server.http is not None:
        yield PolicyInForce("plain HTTP", server.http, "Callers on this machine, without any proof of who they are.")
    for name, listener in (("mutual TLS", server.https), ("mutual TLS at nginx", server.proxy)):
        if listener is not None:
            revocation = (
                "revoked certificates are refused by the lists of crl"
                if listener.crl is not None
                else "revoked certificates are NOT refused (no crl)"
            )
            yield PolicyInForce(
                name, listener.bind, f"TLS {listener.min_tls.value} and later, certificates of client_ca; {revocation}."
            )
    if server.https is not None or server.proxy is not None:
        yield PolicyInForce(
            "client certificates",
            "clientAuth",
            "RSA from 2048 bits or a curve from P-256, no SHA-1, issued for clients; all else is refused. A change of "
            "the lists counts at once (nginx: after its reload), for kept connections and resumed TLS sessions too.",
        )
    if server.proxy is not None:
        group = f", group {server.proxy.socket_group}" if server.proxy.socket_group else ""
        yield PolicyInForce(
            "headers of nginx",
            f"{server.proxy.socket_mode}{group}",
            "The caller's certificate and address are taken from headers at the unix socket, and nowhere else.",
        )
