"""How every agent handles its records: batches, tables, outputs, acknowledgements, and who pays for a failure."""
