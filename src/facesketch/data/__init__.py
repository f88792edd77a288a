"""Data sets: listing, sampling, reading, drawing, checking and downloading."""
