"""TIFF: which page is the photograph, and which library reads it right."""
