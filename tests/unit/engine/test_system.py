import os
import threading
import uuid
import warnings

from smsp_provider.engine.system import RandomIds, SystemClock


def test_ids_are_random_uuids_in_upper_case() -> None:
    ids = {RandomIds().new_uuid() for _ in range(2000)}
    assert len(ids) == 2000
    for text in ids:
        parsed = uuid.UUID(text)
        assert (parsed.version, parsed.variant) == (4, uuid.RFC_4122)
        assert str(parsed).upper() == text


def test_threads_and_forked_children_never_share_an_id() -> None:
    ids = RandomIds()
    made: list[str] = [ids.new_uuid()]
    threads = [threading.Thread(target=lambda: made.extend([ids.new_uuid() for _ in range(500)])) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    reading, writing = os.pipe()
    with warnings.catch_warnings():
        # Python 3.12 and later warn of threads, which a test runner may have.
        warnings.simplefilter("ignore", DeprecationWarning)
        child = os.fork()
    if child == 0:
        os.write(writing, "".join(ids.new_uuid() for _ in range(100)).encode())
        os._exit(0)
    os.close(writing)
    with os.fdopen(reading) as pipe:
        text = pipe.read()
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    made += [text[at : at + 36] for at in range(0, len(text), 36)]
    made += [ids.new_uuid() for _ in range(100)]
    assert len(made) == 1 + 4 * 500 + 100 + 100
    assert len(set(made)) == len(made)


def test_the_clock_is_aware_and_in_utc() -> None:
    moment = SystemClock().now().utcoffset()
    assert moment is not None
    assert not moment
