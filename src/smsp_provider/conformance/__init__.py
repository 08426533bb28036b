"""The conformance harness: an outside view of any SMSP and of any client, sharing no reader with the provider.

It builds its own messages, breaks them, and judges answers by XPath on the bytes that came; of the rest of the product
it may use the schema files alone (a contract of the import linter holds it to that), so that a mistake of the
provider's readers cannot hide itself.
"""
