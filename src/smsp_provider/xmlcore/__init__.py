"""The only parser, the only builder, the schemas and the names of the XML vocabularies."""
