import uuid

from smsp_provider.engine.system import RandomIds, SystemClock


def test_ids_are_random_uuids_in_upper_case() -> None:
    ids = {RandomIds().new_uuid() for _ in range(2000)}
    assert len(ids) == 2000
    for text in ids:
        parsed = uuid.UUID(text)
        assert (parsed.version, parsed.variant) == (4, uuid.RFC_4122)
        assert str(parsed).upper() == text


def test_the_clock_is_aware_and_in_utc() -> None:
    moment = SystemClock().now().utcoffset()
    assert moment is not None
    assert not moment
