"""Whether a provider can start with its client registry, and what an operator should know of it."""

from collections.abc import Iterator
from datetime import UTC, datetime

from smsp_provider.cli.client_session import prepare_registry, registry_of
from smsp_provider.cli.client_view import concerns_of
from smsp_provider.cli.exit_codes import CannotStart
from smsp_provider.config.settings import ClientPolicy, Environment, Settings
from smsp_provider.wiring.provider import shared_asids

__all__ = ["ready_registry", "registry_warnings"]


def ready_registry(settings: Settings) -> tuple[str, ...]:
    """Pass a registry that workers can read, and tell what somebody should look at.

    Outside live a registry in SQLite is made, or brought to the form of this version. In live, and in PostgreSQL, that
    is an operator's decision (``smsp client init``): older providers may still be reading it.

    Raises:
        CannotStart: the registry cannot be read, or is not in the form of this version.
    """
    if settings.clients.policy is ClientPolicy.ANY:
        return ()
    if settings.environment is not Environment.LIVE and _is_sqlite(settings):
        prepare_registry(settings)
    return tuple(_warnings(settings))


def _is_sqlite(settings: Settings) -> bool:
    return not settings.clients.database or settings.clients.database.startswith("sqlite:")


def registry_warnings(settings: Settings) -> Iterator[str]:
    """What somebody should look at in the registry, one that cannot be read included; nothing is made or changed."""
    if settings.clients.policy is ClientPolicy.ANY:
        return
    try:
        yield from _warnings(settings)
    except CannotStart as error:
        yield error.message


def _warnings(settings: Settings) -> Iterator[str]:
    clients = registry_of(settings).clients.values()
    if not clients:
        yield "the client registry is empty: nobody is let in (`smsp client add`)"
    now, shared = datetime.now(UTC), shared_asids(settings)
    for client in clients:
        for text in concerns_of(client, now, shared):
            yield f"client {client.name}: {text}"
