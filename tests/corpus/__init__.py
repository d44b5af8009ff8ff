"""Spans of real libraries, and what retraind must make of them."""
