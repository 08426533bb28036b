"""``smsp call``: one request to a provider, ours or another, and its answer as a table."""

import contextlib
from pathlib import Path
from typing import Final

import click
from lxml import etree

from smsp_provider.cli.exit_codes import ExitCode, ReadableError
from smsp_provider.cli.files import regular_file
from smsp_provider.cli.itk_answer import FaultSeen, PatientSeen, ServiceAnswer
from smsp_provider.cli.itk_client import ClientTLSFiles, ITKClient, NoAnswer
from smsp_provider.cli.itk_request import CallerIdentity
from smsp_provider.cli.request_signing import RequestSigner
from smsp_provider.cli.seconds import Seconds
from smsp_provider.cli.table import print_table
from smsp_provider.cli.vocabulary import has_patient, meaning_of
from smsp_provider.domain.identifiers import OID, LocalIdentifier
from smsp_provider.domain.requests import RequestFields
from smsp_provider.domain.service import Service

__all__ = ["call", "patient_rows"]

_OPERATIONS: Final = {service.value.removesuffix("-v1-0"): service for service in Service}


class _Unreachable(ReadableError):
    exit_code = ExitCode.UNREACHABLE


@click.command()
@click.argument("operation", type=click.Choice(list(_OPERATIONS), case_sensitive=False), metavar="OPERATION")
@click.option("--url", required=True, help="Address of the service, e.g. https://localhost:8443/smsp/pds.")
@click.option("--nhs-number", help="Ten digits.")
@click.option("--dob", help="Date of birth, YYYYMMDD; getNHSNumber also takes YYYYMM and YYYY.")
@click.option("--family", help="Surname.")
@click.option("--given", help="Forename.")
@click.option("--gender", help="0 not known, 1 male, 2 female, 9 not specified.")
@click.option("--postcode", help="Postcode, with its space.")
@click.option("--local-id", help="Your own patient number: reflected in the answer.")
@click.option("--local-id-root", default=OID.LOCAL_IDENTIFIER, show_default=True, help="OID of --local-id.")
@click.option("--username", default="smsp-call", show_default=True, help="Over TLS: the common name of --cert.")
@click.option("--ods", default="X26", show_default=True, help="ODS code of the asking organisation; '' leaves it out.")
@click.option("--asid", help="ASID of the asking system, as an audit identity.")
@click.option("--cert", type=regular_file, help="PEM file of the client certificate.")
@click.option("--key", type=regular_file, help="PEM file of its key, where it is not in --cert.")
@click.option("--sign", is_flag=True, help="Sign timestamp and body with the key of --cert.")
@click.option("--ca", type=regular_file, help="PEM file of the authority that signed the server's certificate.")
@click.option("--timeout", type=Seconds(0.1), default=60.0, show_default=True, help="Seconds.")
@click.option("--packaged-wsdl", is_flag=True, help="Use the packaged WSDL instead of fetching URL?wsdl.")
@click.option("--raw", is_flag=True, help="Also print both messages. They hold patient data.")
def call(
    *,
    operation: str,
    url: str,
    nhs_number: str | None,
    dob: str | None,
    family: str | None,
    given: str | None,
    gender: str | None,
    postcode: str | None,
    local_id: str | None,
    local_id_root: str,
    username: str,
    ods: str,
    asid: str | None,
    cert: Path | None,
    key: Path | None,
    sign: bool,
    ca: Path | None,
    timeout: float,
    packaged_wsdl: bool,
    raw: bool,
) -> int:
    """Send one request and print the answer.

    OPERATION is verifyNHSNumber, getNHSNumber, getPatientDetailsByNHSNumber, getPatientDetailsBySearch or
    getPatientDetails.
    Fields are sent as they are given, right or wrong: the provider judges them.
    """
    fields = RequestFields(
        dob, gender, nhs_number, family, given, postcode, LocalIdentifier(local_id_root, local_id) if local_id else None
    )
    identity = CallerIdentity(username, ods or None, asid)
    tls = ClientTLSFiles(ca, cert, key)
    signer = _signer(cert, key) if sign else None
    try:
        client = ITKClient(
            url, identity, tls=tls, timeout_seconds=timeout, served_wsdl=not packaged_wsdl, signer=signer
        )
        with contextlib.closing(client):
            answer = client.call(_OPERATIONS[operation], fields)
    except NoAnswer as failure:
        raise _Unreachable(str(failure)) from None
    except ValueError:
        raise click.UsageError("a field holds a character that XML cannot carry") from None
    if raw:
        _print_message("request", answer.request)
        _print_message("response", answer.response)
    _print_answer(answer)
    return _exit_code_of(answer)


def _signer(certificate: Path | None, key: Path | None) -> RequestSigner:
    if certificate is None:
        raise click.UsageError("--sign needs --cert, and --key where the key is not in the same file")
    try:
        return RequestSigner(certificate, key)
    except ValueError:
        raise click.UsageError("--sign needs a PEM certificate and an RSA or EC key without a password") from None


def _exit_code_of(answer: ServiceAnswer) -> ExitCode:
    """The row of the table for an answer."""
    if answer.fault is not None:
        return ExitCode.FAULT
    return ExitCode.OK if has_patient(answer.code) else ExitCode.UNEXPECTED


def _print_answer(answer: ServiceAnswer) -> None:
    """Print an answer as a table."""
    if answer.fault is not None:
        rows = _fault_rows(answer.fault)
    else:
        rows = [("response code", f"{answer.code}  {meaning_of(answer.code)}"), *patient_rows(answer.patient)]
    print_table(("what", "value"), [*rows, ("time", f"{answer.seconds * 1000:.0f} ms")])


def _fault_rows(fault: FaultSeen) -> list[tuple[str, str]]:
    rows = [
        ("SOAP fault", f"{fault.faultcode}  {fault.faultstring}"),
        ("error code", fault.error_code),
        ("error id", fault.error_id),
        ("error text", fault.error_text),
        ("for the administrator", fault.diagnostic),
    ]
    return [row for row in rows if row[1]]


def patient_rows(patient: PatientSeen | None) -> list[tuple[str, str]]:
    """What an answer says about the patient, line by line; what it does not give has no line."""
    if patient is None:
        return []
    rows = [
        ("NHS number", patient.nhs_number or ""),
        ("local identifier", patient.local_identifier or ""),
        ("name", " ".join(part for part in (patient.prefix, *patient.given, patient.family) if part)),
        ("gender", patient.gender or ""),
        ("date of birth", patient.birth_time or ""),
        ("date of death", patient.deceased_time or ""),
    ]
    for address in patient.addresses:
        parts = [line for line in (*address.lines, address.postcode or "") if line]
        rows.append((f"address ({address.use})", ", ".join(parts)))
    rows += [(f"telecom ({use})", value) for use, value in patient.telecoms]
    rows.append(("practice", patient.practice or ""))
    return [row for row in rows if row[1]]


def _print_message(what: str, message: bytes) -> None:
    """A message as it went over the line, but for line breaks and indentation; as it is where it is no XML."""
    try:
        parser = etree.XMLParser(remove_blank_text=True, resolve_entities=False, no_network=True, load_dtd=False)
        text = etree.tostring(etree.fromstring(message, parser), pretty_print=True, encoding="unicode")
    except etree.XMLSyntaxError:
        text = message.decode("utf-8", errors="replace")
    click.echo(f"--- {what}\n{text}")
