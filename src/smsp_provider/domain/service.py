"""The five PDS mini services and what is sent in their name."""

from enum import Enum

__all__ = ["Service"]


class Service(Enum):
    """A mini service; the value is the operation name of the WSDL."""

    # Members are unique, so that they can be told apart as any objects are; Enum's own way is a function in Python.
    __hash__ = object.__hash__

    VERIFY_NHS_NUMBER = "verifyNHSNumber-v1-0"
    GET_NHS_NUMBER = "getNHSNumber-v1-0"
    GET_PATIENT_DETAILS_BY_NHS_NUMBER = "getPatientDetailsByNHSNumber-v1-0"
    GET_PATIENT_DETAILS_BY_SEARCH = "getPatientDetailsBySearch-v1-0"
    GET_PATIENT_DETAILS = "getPatientDetails-v1-0"
