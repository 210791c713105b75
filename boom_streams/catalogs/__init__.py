"""Importing catalogues: from the files that people have to documents and packed tiles in MongoDB."""
