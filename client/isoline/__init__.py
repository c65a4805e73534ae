"""The Python client of Isoline: upload electrocardiograms, get measurements."""
