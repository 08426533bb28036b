"""The token endpoint of the embedded Spine, asked with assertions put together by hand; and our own assertions."""

import base64
import json
import subprocess
import time
import uuid
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import pytest
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import padding, rsa
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from smsp_provider.connectors.pds_fhir_token import SigningKey, make_assertion
from smsp_provider.simulator.fhir_token import Application, TokenDesk

URL = "https://fhir.example.invalid/oauth2/token"
FORM = "application/x-www-form-urlencoded"
KEY = rsa.generate_private_key(65537, 2048)
STRANGER = rsa.generate_private_key(65537, 2048)
JWT_BEARER = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"


def encoded(part: object) -> bytes:
    return base64.urlsafe_b64encode(json.dumps(part).encode()).rstrip(b"=")


def decoded(part: bytes) -> Any:
    return json.loads(base64.urlsafe_b64decode(part + b"=" * (-len(part) % 4)))


def assertion(
    header: dict[str, Any] | None = None, claims: dict[str, Any] | None = None, key: rsa.RSAPrivateKey = KEY
) -> str:
    """Signed with cryptography alone; a value None leaves a member out."""
    whole_header = {"alg": "RS512", "typ": "JWT", "kid": "test-1"} | (header or {})
    whole_claims = {
        "iss": "an-api-key",
        "sub": "an-api-key",
        "aud": URL,
        "jti": str(uuid.uuid4()),
        "exp": int(time.time()) + 200,
    } | (claims or {})
    signed = b".".join(
        encoded({name: value for name, value in part.items() if value is not None})
        for part in (whole_header, whole_claims)
    )
    signature = key.sign(signed, padding.PKCS1v15(), hashes.SHA512())
    return (signed + b"." + base64.urlsafe_b64encode(signature).rstrip(b"=")).decode()


def desk() -> TokenDesk:
    return TokenDesk(Application("an-api-key", {"test-1": KEY.public_key()}), URL)


def ask(at: TokenDesk, signed: str, **fields: str) -> tuple[int, dict[str, Any]]:
    form = {"grant_type": "client_credentials", "client_assertion_type": JWT_BEARER, "client_assertion": signed}
    return at.answer(FORM, urlencode(form | fields).encode())


def test_a_good_assertion_gets_a_token_that_is_known_again() -> None:
    at = desk()
    status, document = ask(at, assertion())
    assert status == 200
    assert (document["token_type"], document["expires_in"]) == ("Bearer", "599")
    assert at.knows(f"Bearer {document['access_token']}")
    assert at.knows(f"bearer {document['access_token']}")
    assert not at.knows("Bearer something")
    assert not at.knows(f"Basic {document['access_token']}")
    assert not at.knows("")


def test_a_token_ends() -> None:
    at = desk()
    _, document = ask(at, assertion())
    at.clock = lambda: datetime.now(UTC) + timedelta(seconds=600)
    assert not at.knows(f"Bearer {document['access_token']}")


def in_seconds(seconds: int) -> Callable[[], dict[str, Any]]:
    return lambda: {"claims": {"exp": int(time.time()) + seconds}}


WRONG: dict[str, tuple[int, Callable[[], dict[str, Any]]]] = {
    "another algorithm": (400, lambda: {"header": {"alg": "RS256"}}),
    "no algorithm": (400, lambda: {"header": {"alg": "none"}}),
    "another type": (400, lambda: {"header": {"typ": "JOSE"}}),
    "no type": (400, lambda: {"header": {"typ": None}}),
    "no kid": (400, lambda: {"header": {"kid": None}}),
    "a kid that is no text": (400, lambda: {"header": {"kid": 1}}),
    "an unknown kid": (401, lambda: {"header": {"kid": "test-2"}}),
    "no issuer": (400, lambda: {"claims": {"iss": None}}),
    "no subject": (400, lambda: {"claims": {"sub": None}}),
    "issuer and subject differ": (400, lambda: {"claims": {"sub": "another"}}),
    "an unknown application": (401, lambda: {"claims": {"iss": "another", "sub": "another"}}),
    "no audience": (401, lambda: {"claims": {"aud": None}}),
    "an audience with a slash more": (401, lambda: {"claims": {"aud": URL + "/"}}),
    "an audience of another environment": (401, lambda: {"claims": {"aud": URL.replace("fhir", "int.fhir")}}),
    "an audience in another case": (401, lambda: {"claims": {"aud": URL.upper()}}),
    "a list of audiences": (401, lambda: {"claims": {"aud": [URL]}}),
    "no jti": (400, lambda: {"claims": {"jti": None}}),
    "a jti that is no text": (400, lambda: {"claims": {"jti": 7}}),
    "no expiry": (400, lambda: {"claims": {"exp": None}}),
    "an expiry with a fraction": (400, lambda: {"claims": {"exp": time.time() + 100.5}}),
    "an expiry that is text": (400, lambda: {"claims": {"exp": str(int(time.time()) + 100)}}),
    "expired": (400, in_seconds(-20)),
    "too far ahead": (400, in_seconds(330)),
    "another key": (401, lambda: {"key": STRANGER}),
}


@pytest.mark.parametrize("what", WRONG)
def test_each_wrong_header_and_claim_is_refused(what: str) -> None:
    status, changes = WRONG[what]
    at = desk()
    answered, document = ask(at, assertion(**changes()))
    assert answered == status
    assert document["error"] in ("invalid_request", "public_key error")
    assert document["message_id"]
    assert at.issued == 0
    assert ask(at, assertion())[0] == 200


@pytest.mark.parametrize("seconds", [-1, 1, 299, 305], ids=["just ended", "ends soon", "five minutes", "tolerated"])
def test_an_expiry_within_the_allowances_is_accepted(seconds: int) -> None:
    assert ask(desk(), assertion(**in_seconds(seconds)()))[0] == 200


def test_an_assertion_is_good_once() -> None:
    at, signed = desk(), assertion()
    assert ask(at, signed)[0] == 200
    status, document = ask(at, signed)
    assert (status, document["error"]) == (400, "invalid_request")
    assert "jti" in document["error_description"]


def test_the_form_must_be_right() -> None:
    at = desk()
    assert ask(at, assertion(), grant_type="password")[0] == 400
    assert ask(at, assertion(), client_assertion_type="jwt")[0] == 400
    for broken in ("", "a.b.c", "a.b", assertion()[:-9], "\ud7ff"):
        assert ask(at, broken)[0] in (400, 401)
    assert at.answer("application/json", b"{}")[0] == 400
    assert at.answer(FORM, b"\xff\xfe")[0] == 400
    assert at.issued == 0


# Our own assertions


def test_our_assertion_is_accepted_and_holds_what_the_platform_wants_and_no_more() -> None:
    now = datetime.now(UTC)
    signed = make_assertion(SigningKey("test-1", KEY), "an-api-key", URL, "7E1A", now)
    header, claims = (decoded(part) for part in signed.encode().split(b".")[:2])
    assert header == {"alg": "RS512", "typ": "JWT", "kid": "test-1"}
    assert claims == {
        "iss": "an-api-key",
        "sub": "an-api-key",
        "aud": URL,
        "jti": "7E1A",
        "exp": int((now + timedelta(seconds=150)).timestamp()),
    }
    assert isinstance(claims["exp"], int)
    assert ask(desk(), signed)[0] == 200


@pytest.mark.parametrize("seconds", [-140, 140], ids=["our clock is behind", "our clock is ahead"])
def test_our_assertion_bears_clocks_that_differ(seconds: int) -> None:
    now = datetime.now(UTC) + timedelta(seconds=seconds)
    assert ask(desk(), make_assertion(SigningKey("test-1", KEY), "an-api-key", URL, "7E1A", now))[0] == 200


def test_openssl_verifies_our_assertion(tmp_path: Path) -> None:
    signed, _, signature = (
        make_assertion(SigningKey("test-1", KEY), "an-api-key", URL, "7E1A", datetime.now(UTC))
        .encode()
        .rpartition(b".")
    )
    public, text, raw = tmp_path / "public.pem", tmp_path / "signed", tmp_path / "signature"
    public.write_bytes(KEY.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo))
    raw.write_bytes(base64.urlsafe_b64decode(signature + b"=" * (-len(signature) % 4)))
    command = ["openssl", "dgst", "-sha512", "-verify", str(public), "-signature", str(raw), str(text)]
    text.write_bytes(signed)
    assert subprocess.run(command, check=False, capture_output=True).stdout == b"Verified OK\n"
    text.write_bytes(signed + b"x")
    assert subprocess.run(command, check=False, capture_output=True).returncode == 1
