"""A Spine Mini Service Provider: ITK SOAP on one side, HL7 V3 PDS queries on the other."""

__all__ = ["__version__"]

__version__ = "0.1.0"
