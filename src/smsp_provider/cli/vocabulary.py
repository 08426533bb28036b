"""What a response code means, in the words of the packaged vocabulary."""

from functools import cache

from smsp_provider.config.vocabulary import load_vocabulary
from smsp_provider.domain.response_codes import ResponseCode, Vocabulary
from smsp_provider.xmlcore.resources import config_file

__all__ = ["has_patient", "meaning_of"]


@cache
def _packaged() -> Vocabulary:
    return load_vocabulary(config_file("vocabulary.toml"))[0]


def meaning_of(code: str | None) -> str:
    """The display text of a response code; empty for one that the packaged vocabulary does not know."""
    vocabulary = _packaged()
    return next((vocabulary.displays[name] for name, wire in vocabulary.codes.items() if wire == code), "")


def has_patient(code: str | None) -> bool:
    """Whether a code says that the patient was found: success, or found under a newer number."""
    codes = _packaged().codes
    return code in (codes[ResponseCode.SUCCESS], codes[ResponseCode.SUPERSEDED])
